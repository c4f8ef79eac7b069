/* The parts of which record.c and record_rounds.c make the bytes of records.
 *
 *     put_header(&out, 'S');                              -- then the fields, in order
 *     good = get_header(&in, 'S') && get_digest(&in, &digest) && ...
 *
 * Any thread. */
#pragma once
#include "base/mem.h"
#include "learner/store/record.h"
#include <string.h>

static inline void put_header(struct bytes *out, char magic)
{
    bytes_u8(out, (uint8_t)magic);
    bytes_u8(out, STORE_FORMAT);
}

static inline void put_digest(struct bytes *out, const struct digest *digest)
{
    bytes_put(out, digest->byte, sizeof digest->byte);
}

static inline void put_text(struct bytes *out, const char *text)
{
    bytes_be32(out, text ? (uint32_t)strlen(text) : 0);
    bytes_text(out, text ? text : "");
}

static inline void put_all(struct bytes *out, const uint64_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes_be64(out, numbers[i]);
}

/* A run that was begun in an older format and upgraded once keeps records of it. */
static inline err_t damaged(const char *what, const uint8_t *data, size_t len)
{
    if (len > 1 && data[1] && data[1] < STORE_FORMAT_OLDEST)
        return err_new(ERR_DATA_LOSS,
                       "damaged %s record, or one of format %d, which this build does not read: "
                       "finish the run with the build before this one",
                       what, data[1]);
    return err_new(ERR_DATA_LOSS, "damaged %s record", what);
}

/* The format that the rest is to be read as. */
static inline bool get_format(struct reader *in, char magic, uint8_t *ret)
{
    uint8_t first;
    return read_u8(in, &first) && read_u8(in, ret) && first == (uint8_t)magic &&
           *ret >= STORE_FORMAT_OLDEST && *ret <= STORE_FORMAT;
}

/* Of a record that is the same in every format that is read. */
static inline bool get_header(struct reader *in, char magic)
{
    uint8_t format;
    return get_format(in, magic, &format);
}

static inline bool get_digest(struct reader *in, struct digest *ret)
{
    const uint8_t *data;
    if (!read_bytes(in, sizeof ret->byte, &data))
        return false;
    memcpy(ret->byte, data, sizeof ret->byte);
    return true;
}

/* Text without zeros, of at most max bytes; owned. */
static inline bool get_text(struct reader *in, size_t max, char **ret)
{
    uint32_t len;
    const uint8_t *data;
    if (!read_be32(in, &len) || len > max || !read_bytes(in, len, &data) || memchr(data, 0, len))
        return false;
    *ret = mem_new(len + 1);
    memcpy(*ret, data, len);
    return true;
}

/* A byte that names one of 0 .. max. */
static inline bool get_kind(struct reader *in, uint8_t max, uint8_t *ret)
{
    return read_u8(in, ret) && *ret <= max;
}

static inline bool get_all(struct reader *in, uint64_t *ret, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!read_be64(in, &ret[i]))
            return false;
    return true;
}
