#include "base/bytes.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_done(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

void bytes_clear(struct bytes *bytes)
{
    bytes->len = 0;
    if (bytes->data)
        bytes->data[0] = 0;
}

uint8_t *bytes_extend(struct bytes *bytes, size_t count)
{
    if (count >= bytes->capacity - bytes->len || !bytes->data) {
        size_t capacity = bytes->capacity * 2 > bytes->len + count + 64 ? bytes->capacity * 2
                                                                        : bytes->len + count + 64;
        bytes->data = mem_grow(bytes->data, capacity, 1);
        bytes->capacity = capacity;
    }
    uint8_t *begin = bytes->data + bytes->len;
    memset(begin, 0, count + 1);
    bytes->len += count;
    return begin;
}

void bytes_put(struct bytes *bytes, const void *data, size_t len)
{
    uint8_t *begin = bytes_extend(bytes, len);
    if (len)
        memcpy(begin, data, len);
}

void bytes_u8(struct bytes *bytes, uint8_t value)
{
    bytes_put(bytes, &value, 1);
}

void bytes_be32(struct bytes *bytes, uint32_t value)
{
    uint8_t *p = bytes_extend(bytes, 4);
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

void bytes_be64(struct bytes *bytes, uint64_t value)
{
    be64_store(bytes_extend(bytes, 8), value);
}

void bytes_f64(struct bytes *bytes, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    bytes_be64(bytes, bits);
}

void bytes_text(struct bytes *bytes, const char *text)
{
    bytes_put(bytes, text, strlen(text));
}

void bytes_printf(struct bytes *bytes, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    if (len < 0)
        abort();
    bytes_put(bytes, text, (size_t)len);
    free(text);
}

bool read_bytes(struct reader *in, size_t len, const uint8_t **ret)
{
    if (in->left < len)
        return false;
    *ret = in->data;
    in->data += len;
    in->left -= len;
    return true;
}

bool read_u8(struct reader *in, uint8_t *ret)
{
    const uint8_t *p;
    if (!read_bytes(in, 1, &p))
        return false;
    *ret = *p;
    return true;
}

bool read_be32(struct reader *in, uint32_t *ret)
{
    const uint8_t *p;
    if (!read_bytes(in, 4, &p))
        return false;
    *ret = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    return true;
}

bool read_be64(struct reader *in, uint64_t *ret)
{
    const uint8_t *p;
    if (!read_bytes(in, 8, &p))
        return false;
    *ret = be64_load(p);
    return true;
}

bool read_f64(struct reader *in, double *ret)
{
    uint64_t bits;
    if (!read_be64(in, &bits))
        return false;
    memcpy(ret, &bits, sizeof bits);
    return true;
}
