/* The work of one call of attention's gradient, made on the host for the device.
 *
 *     SCOPED_VALUE(attention_backward_list) list = {0};
 *     TRY(attention_backward_list_make(segments, count, &shape, &list));
 *     TRY(cuda_stage(cuda, list.data, list.bytes, &there));
 *     attention_backward_list_place(&list, there, &call);
 *
 * Any thread. */
#pragma once
#include "tensor/cuda/attention_backward.h"
#include "tensor/segment_check.h"

struct attention_backward_list {
    char *data; // segments, then blocks that round, blocks of keys, blocks of rows
    size_t bytes;
    int segments, rounds, key_blocks, query_blocks;
    int window; // 0: it hides no key
    size_t rows;
};

/* The CPU's errors. UNIMPLEMENTED: heads of more than ATTENTION_SIZE, or more rows than kernels
 * count. */
err_t attention_backward_list_make(const struct segment *segments, int count,
                                   const struct attention_shape *shape,
                                   struct attention_backward_list *ret);

/* Fills call's lists and their lengths; `there` is the copy of data. */
void attention_backward_list_place(const struct attention_backward_list *list, const void *there,
                                   struct attention_backward_call *call);

void attention_backward_list_done(struct attention_backward_list *list); // {0} is allowed
