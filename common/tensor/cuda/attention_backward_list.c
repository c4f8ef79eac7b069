#include "tensor/cuda/attention_backward_list.h"
#include "base/mem.h"
#include "tensor/cuda/attention_list.h"
#include <limits.h>

/* Pages have no gradient; row numbers times the group's heads are counted by int. */
static err_t check(const struct segment *segments, int count, const struct attention_shape *shape)
{
    enum { SPARE = 1 << 12 }; // of a block's last rows
    size_t rows = 0;
    for (int s = 0; s < count; s++)
        if (segments[s].kv)
            return err_new(ERR_INVALID, "segment %d: no gradient through pages", s);
    TRY(cuda_attention_check(shape));
    TRY(segments_check(segments, count, shape, 0));
    const size_t most = (size_t)(INT_MAX - SPARE) / (size_t)(shape->H / shape->K);
    for (int s = 0; s < count; s++) {
        const size_t end = (size_t)segments[s].start + (size_t)segments[s].count;
        rows += (size_t)segments[s].count;
        if (rows > most || end > most)
            return err_new(ERR_UNIMPLEMENTED,
                           "the gradient of attention over %zu rows: CUDA counts up to %zu",
                           rows > end ? rows : end, most);
    }
    return OK;
}

static size_t blocks_of(const struct segment *s, int rows, int heads)
{
    return ((size_t)s->count * (size_t)heads + (size_t)rows - 1) / (size_t)rows;
}

static void measure(const struct segment *segments, int count, const struct attention_shape *shape,
                    struct attention_backward_list *list)
{
    const int block = ATTENTION_BACKWARD_BLOCK(attention_width(shape->D));
    size_t rounds = 0, keys = 0, queries = 0;
    int longest = 0;
    for (int s = 0; s < count; s++) {
        const int end = segments[s].start + segments[s].count;
        longest = end > longest ? end : longest;
        list->rows += (size_t)segments[s].count;
        rounds += blocks_of(&segments[s], ROUND_ROWS, 1);
        keys += blocks_of(&segments[s], block, 1);
        queries += blocks_of(&segments[s], block, shape->H / shape->K);
    }
    list->window = shape->window > 0 && shape->window < longest ? shape->window : 0;
    list->segments = count;
    list->rounds = (int)rounds;
    list->key_blocks = (int)keys;
    list->query_blocks = (int)queries;
    list->bytes = (size_t)count * sizeof(struct attention_backward_segment) +
                  (rounds + keys + queries) * sizeof(struct attention_item);
}

static void put_segments(const struct segment *segments, int count,
                         struct attention_backward_segment *to)
{
    struct attention_backward_segment *owner = NULL;
    int32_t base = 0;
    for (int s = 0; s < count; s++) {
        to[s] = (struct attention_backward_segment){.first = segments[s].first,
                                                    .count = segments[s].count,
                                                    .start = segments[s].start,
                                                    .base = base};
        base += segments[s].count;
        if (!segments[s].start)
            owner = &to[s];
        else {
            to[s].prefix = owner->base;
            owner->sharers++;
        }
    }
}

/* Those with the most to go through first: early keys, late queries. */
static void put_blocks(const struct segment *segments, int count,
                       const struct attention_shape *shape, struct attention_item *to)
{
    const int block = ATTENTION_BACKWARD_BLOCK(attention_width(shape->D));
    for (int s = 0; s < count; s++)
        for (size_t i = 0; i < blocks_of(&segments[s], ROUND_ROWS, 1); i++)
            *to++ = (struct attention_item){.segment = s, .tile = (int)i};
    for (int s = 0; s < count; s++)
        for (size_t i = 0; i < blocks_of(&segments[s], block, 1); i++)
            *to++ = (struct attention_item){.segment = s, .tile = (int)i};
    for (int s = 0; s < count; s++)
        for (size_t i = blocks_of(&segments[s], block, shape->H / shape->K); i-- > 0;)
            *to++ = (struct attention_item){.segment = s, .tile = (int)i};
}

err_t attention_backward_list_make(const struct segment *segments, int count,
                                   const struct attention_shape *shape,
                                   struct attention_backward_list *ret)
{
    TRY(check(segments, count, shape));
    struct attention_backward_list list = {0};
    measure(segments, count, shape, &list);
    list.data = mem_new(list.bytes + 1);
    struct attention_backward_segment *at = (struct attention_backward_segment *)list.data;
    put_segments(segments, count, at);
    put_blocks(segments, count, shape, (struct attention_item *)(at + count));
    *ret = list;
    return OK;
}

void attention_backward_list_place(const struct attention_backward_list *list, const void *there,
                                   struct attention_backward_call *call)
{
    call->segment = there;
    call->round = (const struct attention_item *)(call->segment + list->segments);
    call->keys = call->round + list->rounds;
    call->queries = call->keys + list->key_blocks;
    call->rounds = list->rounds;
    call->key_blocks = list->key_blocks;
    call->query_blocks = list->query_blocks;
    call->window = list->window;
    call->rows = list->rows;
}

void attention_backward_list_done(struct attention_backward_list *list)
{
    mem_free(list->data);
    *list = (struct attention_backward_list){0};
}
