#include "weights/codec/staging.h"
#include "base/mem.h"
#include "tensor/digest.h"
#include "weights/codec/changelist.h"
#include "weights/codec/deltachunk.h"
#include <stdlib.h>

/* Changes `from` to from + count of the lists. */
struct stretch {
    size_t first; // flat element
    size_t from;
    uint32_t count, tensor;
    bool dense; // without offsets: count elements from first on
};

struct staging {
    const struct layout *layout;
    struct deltachunk_place place;
    size_t stretches, stretch_capacity, count, capacity;
    struct stretch *stretch;
    uint32_t *offset; // (capacity) from the stretch's first
    uint16_t *now;    // (capacity)
    uint16_t *step;   // (capacity) of the stretch that is being read
    struct digest change;
};

struct staging *staging_new(const struct layout *layout)
{
    struct staging *staging = mem_new(sizeof *staging);
    staging->layout = layout;
    return staging;
}

static void reserve(struct staging *staging, size_t more)
{
    if (staging->stretches == staging->stretch_capacity) {
        staging->stretch_capacity = staging->stretch_capacity * 2 + 64;
        staging->stretch =
            mem_grow(staging->stretch, staging->stretch_capacity, sizeof *staging->stretch);
    }
    if (staging->count + more <= staging->capacity)
        return;
    staging->capacity = staging->capacity * 2 + more;
    staging->offset = mem_grow(staging->offset, staging->capacity, sizeof *staging->offset);
    staging->now = mem_grow(staging->now, staging->capacity, sizeof *staging->now);
}

/* Changes lie some cache lines apart, in lines that are not there yet: so many are asked for
 * ahead. */
enum { AHEAD = 16 };

/* Steps to values. */
static void resolve(const uint16_t *values, const struct stretch *stretch, const uint32_t *offset,
                    const uint16_t *step, uint16_t *now)
{
    const uint16_t *from = values + stretch->first;
    if (stretch->dense)
        for (size_t i = 0; i < stretch->count; i++)
            now[i] = (uint16_t)(from[i] + step[i]);
    else
        for (size_t i = 0; i < stretch->count; i++) {
            __builtin_prefetch(from + offset[i + AHEAD < stretch->count ? i + AHEAD : i]);
            now[i] = (uint16_t)(from[offset[i]] + step[i]);
        }
}

static err_t add_section(struct staging *staging, const uint16_t *values, struct deltachunk *chunk)
{
    struct deltachunk_section section;
    TRY(deltachunk_next(chunk, staging->layout, &staging->place, &section));
    reserve(staging, section.count);
    const size_t from = staging->count;
    const struct stretch stretch = {staging->layout->tensor[section.tensor].offset + section.first,
                                    from, section.count, section.tensor, section.dense};
    uint32_t *offset = staging->offset + from;
    TRY(deltachunk_read(chunk, staging->layout, &section, &staging->place, offset, staging->step));
    resolve(values, &stretch, offset, staging->step, staging->now + from);
    staging->change =
        weights_digest_steps(staging->change, stretch.first, section.dense ? NULL : offset,
                             staging->now + from, staging->step, section.count);
    staging->count += section.count;
    staging->stretch[staging->stretches++] = stretch;
    return OK;
}

static err_t add_sections(struct staging *staging, const uint16_t *values, struct deltachunk *chunk)
{
    while (chunk->sections)
        TRY(add_section(staging, values, chunk));
    return OK;
}

err_t staging_add(struct staging *staging, const uint16_t *values, const uint8_t *data, size_t len)
{
    const struct staging before = *staging;
    SCOPED_VALUE(deltachunk) chunk = {0};
    TRY(deltachunk_open(data, len, &chunk));
    if (!staging->step) // a section has at most as many steps as its chunk has bytes
        staging->step = mem_array(DELTACHUNK_RAW_MAX, sizeof *staging->step);
    err_t failed = add_sections(staging, values, &chunk);
    if (err_failed(failed)) {
        staging->place = before.place;
        staging->stretches = before.stretches;
        staging->count = before.count;
        staging->change = before.change;
    }
    return failed;
}

enum { PIECE = DELTACHUNK_RAW_MAX }; // changes that `step` has room for

/* Some changes of one tensor. */
static void add_listed(struct staging *staging, const uint16_t *values, int tensor,
                       const uint32_t *index, const uint16_t *value, uint32_t count)
{
    const size_t first = staging->layout->tensor[tensor].offset;
    reserve(staging, count);
    for (uint32_t i = 0; i < count; i++) {
        __builtin_prefetch(values + first + index[i + AHEAD < count ? i + AHEAD : i]);
        staging->step[i] = (uint16_t)(value[i] - values[first + index[i]]);
    }
    staging->change =
        weights_digest_steps(staging->change, first, index, value, staging->step, count);
    memcpy(staging->offset + staging->count, index, count * sizeof *index);
    memcpy(staging->now + staging->count, value, count * sizeof *value);
    staging->stretch[staging->stretches++] =
        (struct stretch){first, staging->count, count, (uint32_t)tensor, false};
    staging->count += count;
}

void staging_add_list(struct staging *staging, const uint16_t *values,
                      const struct changelist *list)
{
    const uint32_t *index = list->index;
    const uint16_t *value = list->value;
    if (!staging->step)
        staging->step = mem_array(PIECE, sizeof *staging->step);
    for (int t = 0; t < staging->layout->count; t++)
        for (uint32_t left = list->count[t], some; left; left -= some) {
            some = left < PIECE ? left : PIECE;
            add_listed(staging, values, t, index, value, some);
            index += some;
            value += some;
        }
}

uint64_t staging_count(const struct staging *staging)
{
    return staging->count;
}

struct digest staging_change(const struct staging *staging)
{
    return staging->change;
}

void staging_each(const struct staging *staging,
                  void (*fn)(void *arg, size_t first, const uint32_t *offset, const uint16_t *now,
                             size_t count),
                  void *arg)
{
    for (size_t i = 0; i < staging->stretches; i++) {
        const struct stretch *stretch = &staging->stretch[i];
        fn(arg, stretch->first, stretch->dense ? NULL : staging->offset + stretch->from,
           staging->now + stretch->from, stretch->count);
    }
}

static void write_stretch(void *arg, size_t first, const uint32_t *offset, const uint16_t *now,
                          size_t count)
{
    uint16_t *to = (uint16_t *)arg + first;
    if (!offset)
        memcpy(to, now, count * sizeof *to);
    else
        for (size_t i = 0; i < count; i++) {
            __builtin_prefetch(to + offset[i + AHEAD < count ? i + AHEAD : i], 1);
            to[offset[i]] = now[i];
        }
}

void staging_apply(const struct staging *staging, uint16_t *values, bool *changed)
{
    staging_each(staging, write_stretch, values);
    for (size_t i = 0; changed && i < staging->stretches; i++)
        changed[staging->stretch[i].tensor] = true;
}

void staging_clear(struct staging *staging)
{
    staging->stretches = staging->count = 0;
    staging->place = (struct deltachunk_place){0};
    staging->change = (struct digest){0};
}

void staging_free(struct staging *staging)
{
    if (!staging)
        return;
    free(staging->stretch);
    free(staging->offset);
    free(staging->now);
    free(staging->step);
    free(staging);
}
