/* Checks of what attention is asked: every backend refuses the same, in the same words, before it
 * writes anything.
 *
 *     TRY(attention_shape_check(shape));
 *     TRY(segments_check(segments, count, shape, layer));
 *
 * A backend's struct kv_pages begins with a struct kv_extent. Any thread. */
#pragma once
#include "base/err.h"
#include "tensor/backend.h"

struct kv_extent {
    struct attention_shape shape;
    int layers, pages;
};

/* INVALID: no heads, kv heads that do not divide them, a size that is not even. */
err_t attention_shape_check(const struct attention_shape *shape);
/* RANGE: see struct segment. */
err_t segments_check(const struct segment *segments, int count, const struct attention_shape *shape,
                     int layer);

static inline long segment_pages(const struct segment *segment)
{
    return ((long)segment->start + segment->count + KV_PAGE - 1) / KV_PAGE;
}
