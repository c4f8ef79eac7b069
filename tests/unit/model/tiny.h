/* A model small enough for tests, and sequences to run through it. */
#pragma once
#include "base/mem.h"
#include "base/rng.h"
#include "model/optimizer.h"
#include "testing/models.h"
#include "testing/testing.h"
#include <string.h>

static inline struct model_config tiny_config(bool tied)
{
    return config_default(37, 64, 48, 2, 4, 2, 96, tied);
}

static inline struct backend *tiny_backend(int threads)
{
    struct backend *be = NULL;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = threads}, &be));
    return be;
}

/* Sequences without caches, as the learner runs them; every row but a sequence's last predicts the
 * next token. */
struct tiny_batch {
    int N, count, rows;
    int32_t *token, *position, *row, *target;
    float *dlogp;
    struct segment *segment;
};

static inline void tiny_batch_done(struct tiny_batch *b)
{
    free(b->token);
    free(b->position);
    free(b->row);
    free(b->target);
    free(b->dlogp);
    free(b->segment);
}

/* Sequence i of any batch is the same for the same seed: batches of first..first+count-1 join up.
 */
static inline struct tiny_batch tiny_batch_of(const int *lengths, int first, int count, int V,
                                              uint64_t seed)
{
    struct tiny_batch b = {.count = count,
                           .segment = mem_array((size_t)count, sizeof(struct segment))};
    for (int s = 0; s < count; s++) {
        b.segment[s] = (struct segment){.first = b.N, .count = lengths[first + s]};
        b.N += lengths[first + s];
    }
    b.token = mem_array((size_t)b.N, sizeof *b.token);
    b.position = mem_array((size_t)b.N, sizeof *b.position);
    b.row = mem_array((size_t)b.N, sizeof *b.row);
    b.target = mem_array((size_t)b.N, sizeof *b.target);
    b.dlogp = mem_array((size_t)b.N, sizeof *b.dlogp);
    for (int s = 0; s < count; s++) {
        struct rng rng = rng_keyed(seed, RNG_TEST, (uint64_t)(first + s), 0);
        for (int i = 0, at = b.segment[s].first; i < b.segment[s].count; i++, at++) {
            b.token[at] = (int32_t)rng_below(&rng, (uint64_t)(2 * i), (uint64_t)V);
            b.position[at] = i;
            if (i == 0)
                continue;
            b.row[b.rows] = at - 1;
            b.target[b.rows] = b.token[at];
            b.dlogp[b.rows++] = (float)(rng_uniform(&rng, (uint64_t)(2 * i + 1)) - 0.3);
        }
    }
    return b;
}

static inline void tiny_forward(struct forward *fw, const struct tiny_batch *b)
{
    assert_ok(forward_run(fw, b->token, b->position, b->N, b->segment, b->count));
}

/* Adds the gradient of sum dlogp * logp of the batch. */
static inline void tiny_backward(struct forward *fw, const struct tiny_batch *b,
                                 struct gradient *grad)
{
    tiny_forward(fw, b);
    assert_ok(backward_run(fw, b->row, b->target, b->dlogp, b->rows, 0.8f, grad));
}
