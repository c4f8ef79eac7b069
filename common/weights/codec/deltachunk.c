#include "weights/codec/deltachunk.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "base/zst.h"
#include <assert.h>
#include <inttypes.h>
#include <string.h>

enum { MAGIC_BYTES = 4, CHUNK_VERSION = 1, VARINT_MAX = 10 };
static const uint8_t magic[MAGIC_BYTES] = {'R', 'L', 'W', 'D'};

/* ---- varints */

static uint8_t *write_varint(uint8_t *p, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        *p++ = (uint8_t)(value | 128);
    *p++ = (uint8_t)value;
    return p;
}

static void put_varint(struct bytes *out, uint64_t value)
{
    uint8_t text[VARINT_MAX];
    bytes_put(out, text, (size_t)(write_varint(text, value) - text));
}

/* The shortest form only, so that equal numbers are equal bytes; below 2^63. NULL: malformed or cut
 * short. */
static const uint8_t *read_varint(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 63 && p < end; shift += 7) {
        const uint8_t byte = *p++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *ret = value;
            return byte || !shift ? p : NULL;
        }
    }
    return NULL;
}

static bool take_varint(struct reader *in, uint64_t *ret)
{
    const uint8_t *end = in->data + in->left, *next = read_varint(in->data, end, ret);
    if (!next)
        return false;
    *in = (struct reader){next, (size_t)(end - next)};
    return true;
}

/* +1, -1, +2, ... as 2, 1, 4, ...: small either way. */
static inline uint16_t zigzag(uint16_t step)
{
    return (uint16_t)((unsigned)step << 1 ^ (step & 0x8000 ? 0xffffu : 0));
}

static inline uint16_t unzigzag(uint16_t coded)
{
    return (uint16_t)(coded >> 1 ^ (coded & 1 ? 0xffffu : 0));
}

/* ---- writing */

static void put_sparse(struct deltachunk_writer *writer, const uint32_t *offset,
                       const uint16_t *step, size_t count)
{
    enum { GAP_BYTES = 5, STEP_BYTES = 3 };
    const size_t where_len = writer->where.len, what_len = writer->what.len;
    uint8_t *p = bytes_extend(&writer->where, GAP_BYTES * count);
    for (size_t i = 1; i < count; i++)
        p = write_varint(p, offset[i] - offset[i - 1] - 1);
    writer->where.len = (size_t)(p - writer->where.data);
    p = bytes_extend(&writer->what, STEP_BYTES * count);
    for (size_t i = 0; i < count; i++)
        p = write_varint(p, zigzag(step[i]));
    writer->what.len = (size_t)(p - writer->what.data);
    assert(writer->where.len >= where_len && writer->what.len >= what_len + count);
}

void deltachunk_put(struct deltachunk_writer *writer, const struct deltachunk_section *section,
                    const uint32_t *offset, const uint16_t *step)
{
    writer->sections++;
    put_varint(&writer->where, (uint64_t)section->tensor << 1 | section->dense);
    put_varint(&writer->where, section->first);
    put_varint(&writer->where, section->count);
    if (!section->dense) {
        put_sparse(writer, offset, step, section->count);
        return;
    }
    uint8_t *p = bytes_extend(&writer->what, 2 * (size_t)section->count);
    for (size_t i = 0; i < section->count; i++) {
        p[2 * i] = (uint8_t)step[i];
        p[2 * i + 1] = (uint8_t)(step[i] >> 8);
    }
}

size_t deltachunk_raw(const struct deltachunk_writer *writer)
{
    return writer->where.len + writer->what.len;
}

static void store(uint64_t sections, const struct reader raw[2], const struct reader stored[2],
                  struct bytes *ret)
{
    bytes_put(ret, magic, sizeof magic);
    bytes_u8(ret, CHUNK_VERSION);
    put_varint(ret, sections);
    for (int i = 0; i < 2; i++) {
        put_varint(ret, raw[i].left);
        put_varint(ret, stored[i].left);
    }
    for (int i = 0; i < 2; i++)
        bytes_put(ret, stored[i].data, stored[i].left);
}

void deltachunk_store(const struct deltachunk_writer *writer, struct bytes *ret)
{
    const struct reader raw[2] = {{writer->where.data, writer->where.len},
                                  {writer->what.data, writer->what.len}};
    store(writer->sections, raw, raw, ret);
}

void deltachunk_compress(const uint8_t *chunk, size_t len, struct bytes *ret)
{
    SCOPED_VALUE(deltachunk) in = {0};
    err_t e = deltachunk_open(chunk, len, &in);
    assert(!err_failed(e));
    err_free(e);
    const struct reader raw[2] = {in.where, in.what};
    struct reader stored[2] = {in.where, in.what};
    SCOPED_MEM uint8_t *packed = mem_array(2, DELTACHUNK_RAW_MAX);
    for (int i = 0; i < 2; i++) {
        uint8_t *to = packed + (size_t)i * DELTACHUNK_RAW_MAX;
        const size_t got =
            raw[i].left ? zst_compress(raw[i].data, raw[i].left, to, DELTACHUNK_RAW_MAX) : 0;
        if (got && got < raw[i].left)
            stored[i] = (struct reader){to, got};
    }
    store(in.sections, raw, stored, ret);
}

void deltachunk_writer_done(struct deltachunk_writer *writer)
{
    bytes_done(&writer->where);
    bytes_done(&writer->what);
}

/* ---- reading */

static err_t unpack(const struct reader *in, uint8_t *to, uint64_t raw)
{
    size_t got;
    TRY(err_wrap(zst_decompress(in->data, in->left, to, raw, &got), "delta"));
    if (got != raw)
        return err_new(ERR_INVALID, "delta: %zu bytes unpacked; %" PRIu64 " are announced", got,
                       raw);
    return OK;
}

/* in: what follows the head. raw, stored: bytes of where and of what. */
static err_t take_parts(struct reader *in, const uint64_t raw[2], const uint64_t stored[2],
                        struct deltachunk *chunk)
{
    struct reader *const part[2] = {&chunk->where, &chunk->what};
    uint8_t *to = NULL;
    if (stored[0] < raw[0] || stored[1] < raw[1])
        to = chunk->unpacked = mem_array(raw[0] + raw[1] + 1, 1);
    for (int i = 0; i < 2; i++) {
        struct reader packed = {.left = stored[i]};
        if (!read_bytes(in, stored[i], &packed.data))
            return err_new(ERR_INVALID, "delta: %zu bytes left of a part of %" PRIu64, in->left,
                           stored[i]);
        *part[i] = packed;
        if (stored[i] == raw[i])
            continue;
        TRY(unpack(&packed, to, raw[i]));
        *part[i] = (struct reader){to, raw[i]};
        to += raw[i];
    }
    if (in->left)
        return err_new(ERR_INVALID, "delta: %zu bytes after its end", in->left);
    return OK;
}

err_t deltachunk_open(const uint8_t *data, size_t len, struct deltachunk *ret)
{
    struct reader in = {data, len};
    const uint8_t *head;
    uint8_t version;
    uint64_t raw[2], stored[2];
    SCOPED_VALUE(deltachunk) chunk = {0};
    if (!read_bytes(&in, MAGIC_BYTES, &head) || memcmp(head, magic, sizeof magic) != 0)
        return err_new(ERR_INVALID, "delta: no chunk of a delta");
    if (!read_u8(&in, &version) || version != CHUNK_VERSION)
        return err_new(ERR_INVALID, "delta: of another version than %d", CHUNK_VERSION);
    if (!take_varint(&in, &chunk.sections) || !take_varint(&in, &raw[0]) ||
        !take_varint(&in, &stored[0]) || !take_varint(&in, &raw[1]) ||
        !take_varint(&in, &stored[1]))
        return err_new(ERR_INVALID, "delta: its head is malformed");
    if (raw[0] > DELTACHUNK_RAW_MAX || raw[1] > DELTACHUNK_RAW_MAX - raw[0] || stored[0] > raw[0] ||
        stored[1] > raw[1])
        return err_new(ERR_INVALID,
                       "delta: parts of %" PRIu64 " and %" PRIu64 " bytes; at most %d are allowed",
                       raw[0], raw[1], DELTACHUNK_RAW_MAX);
    TRY(take_parts(&in, raw, stored, &chunk));
    if (!chunk.sections && (raw[0] || raw[1]))
        return err_new(ERR_INVALID, "delta: bytes without a section");
    *ret = chunk;
    chunk.unpacked = NULL;
    return OK;
}

void deltachunk_done(struct deltachunk *chunk)
{
    mem_free(chunk->unpacked);
}

static err_t malformed(const char *what)
{
    return err_new(ERR_INVALID, "delta: malformed %s", what);
}

err_t deltachunk_next(struct deltachunk *chunk, const struct layout *layout,
                      const struct deltachunk_place *place, struct deltachunk_section *ret)
{
    uint64_t kind, first, count;
    if (!take_varint(&chunk->where, &kind) || !take_varint(&chunk->where, &first) ||
        !take_varint(&chunk->where, &count))
        return malformed("section");
    const uint64_t tensor = kind >> 1;
    const bool dense = kind & 1;
    if (tensor >= (uint64_t)layout->count || first >= layout->tensor[tensor].count)
        return err_new(ERR_INVALID, "delta: no element %" PRIu64 " of tensor %" PRIu64, first,
                       tensor);
    if (tensor < place->tensor || (tensor == place->tensor && first < place->end))
        return err_new(ERR_INVALID, "delta: element %" PRIu64 " of tensor %" PRIu64 " comes late",
                       first, tensor);
    const size_t steps = dense ? chunk->what.left / 2 : chunk->what.left;
    if (count < 1 || count > steps || (!dense && count - 1 > chunk->where.left) ||
        count > layout->tensor[tensor].count - first)
        return err_new(ERR_INVALID,
                       "delta: %" PRIu64 " changes from element %" PRIu64 " of tensor %" PRIu64
                       " on",
                       count, first, tensor);
    *ret = (struct deltachunk_section){(uint32_t)tensor, (uint32_t)count, dense, first};
    return OK;
}

/* Gaps of one byte are nearly all there are. */
static bool read_offsets(struct reader *in, size_t count, uint64_t limit, uint32_t *ret)
{
    const uint8_t *p = in->data, *const end = p + in->left;
    uint64_t at = 0;
    ret[0] = 0;
    for (size_t i = 1; i < count; i++) {
        uint64_t gap;
        if (p < end && *p < 128)
            gap = *p++;
        else if (!(p = read_varint(p, end, &gap)) || gap >= limit)
            return false;
        at += gap + 1;
        if (at >= limit)
            return false;
        ret[i] = (uint32_t)at;
    }
    *in = (struct reader){p, (size_t)(end - p)};
    return true;
}

static bool read_sparse_steps(struct reader *in, size_t count, uint16_t *ret)
{
    const uint8_t *p = in->data, *const end = p + in->left;
    for (size_t i = 0; i < count; i++) {
        uint64_t coded;
        if (p < end && *p < 128)
            coded = *p++;
        else if (!(p = read_varint(p, end, &coded)))
            return false;
        if (coded == 0 || coded > UINT16_MAX)
            return false;
        ret[i] = unzigzag((uint16_t)coded);
    }
    *in = (struct reader){p, (size_t)(end - p)};
    return true;
}

static bool read_dense_steps(struct reader *in, size_t count, uint16_t *ret)
{
    const uint8_t *p;
    if (!read_bytes(in, 2 * count, &p))
        return false;
    for (size_t i = 0; i < count; i++)
        ret[i] = (uint16_t)(p[2 * i] | p[2 * i + 1] << 8);
    return true;
}

err_t deltachunk_read(struct deltachunk *chunk, const struct layout *layout,
                      const struct deltachunk_section *section, struct deltachunk_place *place,
                      uint32_t *ret_offset, uint16_t *ret_step)
{
    const uint64_t left = layout->tensor[section->tensor].count - section->first;
    const uint64_t limit = left < UINT32_MAX ? left : UINT32_MAX;
    uint64_t last = section->count - 1;
    if (section->dense) {
        if (!read_dense_steps(&chunk->what, section->count, ret_step))
            return malformed("steps");
    } else {
        if (!read_offsets(&chunk->where, section->count, limit, ret_offset))
            return malformed("offsets, or one beyond its tensor");
        if (!read_sparse_steps(&chunk->what, section->count, ret_step))
            return malformed("steps");
        last = ret_offset[section->count - 1];
    }
    *place = (struct deltachunk_place){section->tensor, section->first + last + 1};
    if (--chunk->sections == 0 && (chunk->where.left || chunk->what.left))
        return malformed("end: bytes are left");
    return OK;
}
