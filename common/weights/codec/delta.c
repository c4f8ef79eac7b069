#include "weights/codec/delta.h"
#include "base/mem.h"
#include "tensor/digest.h"
#include "weights/codec/changelist.h"
#include "weights/codec/deltachunk.h"
#include <stdlib.h>
#include <string.h>

enum { BLOCK = LAYOUT_ALIGN, SPAN = DELTACHUNK_SPAN, DENSE_LEAST = 32 };
_Static_assert(BLOCK == 32, "a block is 64 bytes, and its changes are the bits of 32");

/* What a delta is being made of. The arrays hold the changes of one span of a tensor. */
struct encoder {
    const struct layout *layout;
    struct delta *delta;
    struct deltachunk_writer writer;
    uint32_t *offset;     // (SPAN) from the span's first element
    uint16_t *now, *step; // (SPAN)
};

static void encoder_init(struct encoder *encoder, const struct layout *layout)
{
    size_t most = 1; // changes of a span
    for (int t = 0; t < layout->count && most < SPAN; t++)
        if (layout->tensor[t].count > most)
            most = layout->tensor[t].count < SPAN ? layout->tensor[t].count : SPAN;
    *encoder = (struct encoder){.layout = layout,
                                .delta = mem_new(sizeof *encoder->delta),
                                .offset = mem_array(most, sizeof *encoder->offset),
                                .now = mem_array(most, sizeof *encoder->now),
                                .step = mem_array(most, sizeof *encoder->step)};
}

static void flush(struct encoder *encoder)
{
    struct delta *delta = encoder->delta;
    if (!encoder->writer.sections)
        return;
    delta->chunk = mem_grow(delta->chunk, delta->chunks + 1, sizeof *delta->chunk);
    struct bytes *chunk = &delta->chunk[delta->chunks++];
    *chunk = (struct bytes){0};
    deltachunk_store(&encoder->writer, chunk);
    delta->bytes += chunk->len;
    encoder->writer.sections = 0;
    bytes_clear(&encoder->writer.where);
    bytes_clear(&encoder->writer.what);
}

static struct delta *encoder_finish(struct encoder *encoder)
{
    flush(encoder);
    deltachunk_writer_done(&encoder->writer);
    free(encoder->offset);
    free(encoder->now);
    free(encoder->step);
    return encoder->delta;
}

/* The steps with zeros between them, in place, from the back. */
static void spread(struct encoder *encoder, size_t count, size_t range)
{
    const uint32_t first = encoder->offset[0];
    size_t to = range;
    for (size_t i = count; i-- > 0;) {
        const uint16_t step = encoder->step[i];
        const size_t at = encoder->offset[i] - first;
        while (to > at)
            encoder->step[--to] = 0;
        encoder->step[at] = step;
    }
}

/* A section of the count changes that the arrays hold, of a span that begins at element `begin` of
 * the tensor. */
static void put_section(struct encoder *encoder, int tensor, uint64_t begin, size_t count)
{
    enum { SECTION_MAX = DELTACHUNK_RAW_MAX - 32 };
    uint32_t *offset = encoder->offset;
    const uint32_t first = offset[0];
    const size_t range = offset[count - 1] - first + 1;
    const bool dense = count >= DENSE_LEAST && count > range / 2;
    const size_t most = dense ? 2 * range : 3 * count + 3 * count; // a span's gaps have 3 bytes
    if (deltachunk_raw(&encoder->writer) + most > SECTION_MAX)
        flush(encoder);
    const struct deltachunk_section section = {(uint32_t)tensor, (uint32_t)(dense ? range : count),
                                               dense, begin + first};
    encoder->delta->changed += count;
    if (dense)
        spread(encoder, count, range);
    else
        for (size_t i = 0; i < count; i++)
            offset[i] -= first;
    deltachunk_put(&encoder->writer, &section, offset, encoder->step);
}

/* ---- looking for changes */

static inline uint64_t load64(const uint16_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

static inline bool block_differs(const uint16_t *a, const uint16_t *b)
{
    uint64_t any = 0;
    for (int i = 0; i < BLOCK; i += 4)
        any |= load64(a + i) ^ load64(b + i);
    return any != 0;
}

/* Bit i: element i of the block differs. Four at a time: a lane that is not 0 gets its highest bit,
 * and one multiplication brings the four bits together (little-endian: lane 0 is the lowest). */
static inline uint32_t block_changes(const uint16_t *a, const uint16_t *b)
{
    const uint64_t low = 0x7fff7fff7fff7fff, high = 0x8000800080008000;
    uint32_t bits = 0;
    for (int i = 0; i < BLOCK; i += 4) {
        const uint64_t x = load64(a + i) ^ load64(b + i);
        const uint64_t set = (((x & low) + low) | x) & high;
        bits |= (uint32_t)((set >> 15) * 0x1000200040008000 >> 60) << i;
    }
    return bits;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "lanes are counted from the low end");

/* Changes among `count` elements from flat element `begin` on, a block's first, into the encoder's
 * arrays; how many. */
static size_t collect(struct encoder *encoder, const uint16_t *old, const uint16_t *now,
                      size_t begin, size_t count)
{
    size_t found = 0;
    old += begin;
    now += begin;
    for (size_t at = 0; at < count; at += BLOCK) {
        if (!block_differs(old + at, now + at))
            continue;
        uint32_t bits = block_changes(old + at, now + at);
        if (count - at < BLOCK) // what follows is a gap
            bits &= (1u << (count - at)) - 1;
        for (; bits; bits &= bits - 1) {
            const size_t i = at + (size_t)__builtin_ctz(bits);
            encoder->offset[found] = (uint32_t)i;
            encoder->now[found] = now[i];
            encoder->step[found] = (uint16_t)(now[i] - old[i]);
            found++;
        }
    }
    return found;
}

/* The `found` changes that the arrays hold, of the span that begins at element `begin` of the
 * tensor. */
static void put_span(struct encoder *encoder, int tensor, size_t begin, size_t found)
{
    struct delta *delta = encoder->delta;
    if (!found)
        return;
    delta->change =
        weights_digest_steps(delta->change, encoder->layout->tensor[tensor].offset + begin,
                             encoder->offset, encoder->now, encoder->step, found);
    put_section(encoder, tensor, begin, found);
}

struct delta *delta_encode(const struct layout *layout, const uint16_t *old, const uint16_t *now)
{
    struct encoder encoder;
    encoder_init(&encoder, layout);
    for (int t = 0; t < layout->count; t++) {
        const struct layout_tensor *tensor = &layout->tensor[t];
        for (size_t begin = 0; begin < tensor->count; begin += SPAN) {
            const size_t left = tensor->count - begin, first = tensor->offset + begin;
            put_span(&encoder, t, begin,
                     collect(&encoder, old, now, first, left < SPAN ? left : SPAN));
        }
    }
    return encoder_finish(&encoder);
}

/* ---- changes that a list has */

/* Those among the list's `count` elements that lie before element `end` of the tensor; how many
 * elements those were. */
static uint32_t collect_listed(struct encoder *encoder, const uint16_t *old, size_t begin,
                               uint64_t end, const uint32_t *index, const uint16_t *value,
                               uint32_t count, size_t *ret_found)
{
    size_t found = 0;
    uint32_t i = 0;
    for (; i < count && index[i] < end; i++) {
        const uint16_t before = old[index[i]];
        if (value[i] == before)
            continue;
        encoder->offset[found] = (uint32_t)(index[i] - begin);
        encoder->now[found] = value[i];
        encoder->step[found++] = (uint16_t)(value[i] - before);
    }
    *ret_found = found;
    return i;
}

struct delta *delta_of_list(const struct layout *layout, const uint16_t *old,
                            const struct changelist *list)
{
    struct encoder encoder;
    encoder_init(&encoder, layout);
    const uint32_t *index = list->index;
    const uint16_t *value = list->value;
    for (int t = 0; t < layout->count; t++) {
        for (uint32_t left = list->count[t], some; left; left -= some) {
            const size_t begin = index[0] / SPAN * (size_t)SPAN;
            size_t found;
            some = collect_listed(&encoder, old + layout->tensor[t].offset, begin, begin + SPAN,
                                  index, value, left, &found);
            put_span(&encoder, t, begin, found);
            index += some;
            value += some;
        }
    }
    return encoder_finish(&encoder);
}

/* ---- composing */

/* All changes of a delta by flat element, ascending. */
struct changes {
    size_t count, capacity;
    uint64_t *at;
    uint16_t *step;
};

static void changes_done(struct changes *changes)
{
    free(changes->at);
    free(changes->step);
}

static void changes_reserve(struct changes *changes, size_t more)
{
    if (changes->count + more <= changes->capacity)
        return;
    changes->capacity = changes->capacity * 2 + more;
    changes->at = mem_grow(changes->at, changes->capacity, sizeof *changes->at);
    changes->step = mem_grow(changes->step, changes->capacity, sizeof *changes->step);
}

static void changes_put(struct changes *changes, uint64_t at, uint16_t step)
{
    if (!step)
        return;
    changes->at[changes->count] = at;
    changes->step[changes->count++] = step;
}

static err_t list_chunk(const struct layout *layout, const struct bytes *bytes,
                        struct deltachunk_place *place, struct changes *ret)
{
    SCOPED_VALUE(deltachunk) chunk = {0};
    TRY(deltachunk_open(bytes->data, bytes->len, &chunk));
    while (chunk.sections) {
        struct deltachunk_section section;
        TRY(deltachunk_next(&chunk, layout, place, &section));
        SCOPED_MEM uint32_t *offset = mem_array(section.count, sizeof *offset);
        SCOPED_MEM uint16_t *step = mem_array(section.count, sizeof *step);
        TRY(deltachunk_read(&chunk, layout, &section, place, offset, step));
        const uint64_t first = layout->tensor[section.tensor].offset + section.first;
        changes_reserve(ret, section.count);
        for (uint32_t i = 0; i < section.count; i++)
            changes_put(ret, first + (section.dense ? i : offset[i]), step[i]);
    }
    return OK;
}

static err_t list_changes(const struct layout *layout, const struct delta *delta,
                          struct changes *ret)
{
    struct deltachunk_place place = {0};
    for (size_t i = 0; i < delta->chunks; i++)
        TRY(list_chunk(layout, &delta->chunk[i], &place, ret));
    return OK;
}

/* Steps add up; those of an element that is back at its old value to 0. */
static void merge(const struct changes *a, const struct changes *b, struct changes *ret)
{
    size_t i = 0, j = 0;
    changes_reserve(ret, a->count + b->count);
    while (i < a->count || j < b->count) {
        const uint64_t x = i < a->count ? a->at[i] : UINT64_MAX;
        const uint64_t y = j < b->count ? b->at[j] : UINT64_MAX;
        const uint64_t at = x < y ? x : y;
        uint16_t step = 0;
        if (x == at)
            step = a->step[i++];
        if (y == at)
            step = (uint16_t)(step + b->step[j++]);
        changes_put(ret, at, step);
    }
}

static struct delta *encode_changes(const struct layout *layout, const struct changes *changes)
{
    struct encoder encoder;
    encoder_init(&encoder, layout);
    size_t next = 0;
    for (int t = 0; t < layout->count; t++) {
        const struct layout_tensor *tensor = &layout->tensor[t];
        while (next < changes->count && changes->at[next] < tensor->offset + tensor->count) {
            const uint64_t first = changes->at[next];
            size_t found = 0;
            for (; next < changes->count && changes->at[next] - first < SPAN &&
                   changes->at[next] < tensor->offset + tensor->count;
                 next++) {
                encoder.offset[found] = (uint32_t)(changes->at[next] - first);
                encoder.step[found++] = changes->step[next];
            }
            put_section(&encoder, t, first - tensor->offset, found);
        }
    }
    return encoder_finish(&encoder);
}

err_t delta_compose(const struct layout *layout, const struct delta *const *part, size_t count,
                    struct delta **ret)
{
    SCOPED_VALUE(changes) all = {0};
    struct digest change = {0};
    for (size_t i = 0; i < count; i++) {
        SCOPED_VALUE(changes) next = {0};
        struct changes sum = {0};
        TRY(list_changes(layout, part[i], &next));
        merge(&all, &next, &sum);
        changes_done(&all);
        all = sum;
        change = weights_digest_add(change, part[i]->change);
    }
    struct delta *delta = encode_changes(layout, &all);
    delta->change = change;
    *ret = delta;
    return OK;
}

void delta_free(struct delta *delta)
{
    if (!delta)
        return;
    for (size_t i = 0; i < delta->chunks; i++)
        bytes_done(&delta->chunk[i]);
    free(delta->chunk);
    free(delta);
}
