/* A growing run of bytes, and the fixed-width numbers written into it.
 *
 *     SCOPED_VALUE(bytes) out = {0};
 *     bytes_be64(&out, slot);              -- big-endian: keys sort as numbers do
 *     bytes_put(&out, data, len);
 *
 *     struct reader in = {data, len};      -- bounded reads: false once too little is left, and nothing is read
 *     if (!read_be64(&in, &slot) || in.left)
 *         return err_new(ERR_DATA_LOSS, ...);
 *
 * Zero-initialised values are valid and empty. One thread at a time. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
    /* Owned; data[len] is always 0 once anything was put, so text can be read as a string */
    uint8_t *data;
    size_t len, capacity;
};

void bytes_done(struct bytes *bytes);  // frees; leaves it valid and empty
void bytes_clear(struct bytes *bytes); // keeps the memory
/* Appends count zeroed bytes, returns where they begin */
uint8_t *bytes_extend(struct bytes *bytes, size_t count);
void bytes_put(struct bytes *bytes, const void *data, size_t len);
void bytes_u8(struct bytes *bytes, uint8_t value);
void bytes_be32(struct bytes *bytes, uint32_t value);
void bytes_be64(struct bytes *bytes, uint64_t value);
void bytes_f64(struct bytes *bytes, double value);      // its bits, big-endian
void bytes_text(struct bytes *bytes, const char *text); // without the terminator
void bytes_printf(struct bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The rest of borrowed bytes that are being read. */
struct reader {
    const uint8_t *data;
    size_t left;
};

bool read_u8(struct reader *in, uint8_t *ret);
bool read_be32(struct reader *in, uint32_t *ret);
bool read_be64(struct reader *in, uint64_t *ret);
bool read_f64(struct reader *in, double *ret);
bool read_bytes(struct reader *in, size_t len, const uint8_t **ret); // borrowed from the input

static inline uint64_t be64_load(const void *data)
{
    const uint8_t *p = (const uint8_t *)data;
    uint64_t value = 0;
    for (int i = 0; i < 8; i++)
        value = value << 8 | p[i];
    return value;
}
static inline void be64_store(void *data, uint64_t value)
{
    uint8_t *p = (uint8_t *)data;
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(value >> (56 - 8 * i));
}
