/* The changes of all versions that came since one was taken: a flag per tensor, and where that is
 * asked for a mark per value.
 *
 *     SCOPED(touched) touched = touched_new(layout, true);
 *     touched_follow(touched, staging);  staging_apply(staging, values, touched->tensor);
 *     touched_all(touched);                       -- all values came
 *     if (touched->tensor[t]) ... touched_marks(touched) ...
 *     touched_clear(touched);                     -- the version was taken
 *
 * Marks take an eighth of a byte a value, from the first changes on. Owner: the loop's thread; any
 * thread may read while a version is taken. */
#pragma once
#include "base/scoped.h"
#include "weights/codec/staging.h"
#include <stdbool.h>
#include <stdint.h>

struct touched {
    const struct layout *layout; // borrowed
    bool marks;                  // are asked for
    bool all;                    // all values came
    bool *tensor;                // (tensors) some value of it may differ
    uint32_t *mark;              // bit i % 32 of word i / 32: flat element i may; NULL: none yet
};

struct touched *touched_new(const struct layout *layout, bool marks);
void touched_follow(struct touched *touched, const struct staging *staging); // the marks alone
void touched_all(struct touched *touched);
void touched_clear(struct touched *touched);

/* NULL: none were asked for, or nothing but the flags is known. */
static inline const uint32_t *touched_marks(const struct touched *touched)
{
    return touched->all ? NULL : touched->mark;
}

void touched_free(struct touched *touched);
DEFINE_SCOPED(touched)
