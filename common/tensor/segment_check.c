#include "tensor/segment_check.h"

err_t attention_shape_check(const struct attention_shape *shape)
{
    const int H = shape->H, K = shape->K, D = shape->D;
    if (H < 1 || K < 1 || H % K || D < 2 || D % 2)
        return err_new(ERR_INVALID, "attention with %d heads, %d kv heads of size %d", H, K, D);
    return OK;
}

static err_t pages_check(const struct segment *segment, int s, const struct attention_shape *shape,
                         int layer)
{
    const struct kv_extent *kv = (const struct kv_extent *)segment->kv;
    const long pages = segment_pages(segment);
    if (layer < 0 || layer >= kv->layers || kv->shape.K != shape->K || kv->shape.D != shape->D)
        return err_new(ERR_RANGE, "segment %d: its pages have no layer %d of this shape", s, layer);
    for (long i = 0; i < pages; i++)
        if (segment->page[i] < 0 || segment->page[i] >= kv->pages)
            return err_new(ERR_RANGE, "segment %d: page %ld of it is %d, there are %d", s, i,
                           segment->page[i], kv->pages);
    return OK;
}

/* Of a segment with rows before its own; owner: the last before it that starts at 0. */
static err_t prefix_check(const struct segment *segment, int s, const struct segment *owner)
{
    if (owner && segment->prefix == owner->first && segment->start <= owner->count)
        return OK;
    return err_new(ERR_RANGE,
                   "segment %d starts at %d without pages, its prefix at row %d: those rows must "
                   "begin the last segment before it that starts at 0",
                   s, segment->start, segment->prefix);
}

err_t segments_check(const struct segment *segments, int count, const struct attention_shape *shape,
                     int layer)
{
    const struct segment *owner = NULL;
    for (int s = 0; s < count; s++) {
        const struct segment *segment = &segments[s];
        if (segment->first < 0 || segment->count < 0 || segment->start < 0)
            return err_new(ERR_RANGE, "segment %d: a negative number", s);
        if (segment->kv)
            TRY(pages_check(segment, s, shape, layer));
        else if (segment->start)
            TRY(prefix_check(segment, s, owner));
        else
            owner = segment;
    }
    return OK;
}
