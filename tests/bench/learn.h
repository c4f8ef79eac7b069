/* The learner's way back (learner/round/step.c), for benches whose slopes are known beforehand:
 * stretch by stretch, so that logits are computed once.
 *
 *     TRY(forward_run(fw, ...));
 *     TRY(bench_backward(fw, row, target, dlogp, count, logp, grad)); */
#pragma once
#include "model/backward.h"

enum { BENCH_HEAD_ROWS = 512 }; // of forward_new, as in step.c

static inline err_t bench_backward(struct forward *fw, const int32_t *row, const int32_t *target,
                                   const float *dlogp, int count, float *logp,
                                   struct gradient *grad)
{
    TRY(backward_begin(fw));
    for (int at = 0; at < count; at += BENCH_HEAD_ROWS) {
        const int rows = count - at < BENCH_HEAD_ROWS ? count - at : BENCH_HEAD_ROWS;
        TRY(forward_logp(fw, row + at, target + at, rows, 1, logp + at, NULL));
        TRY(backward_head(fw, row + at, target + at, dlogp + at, rows, 1, grad));
    }
    return backward_body(fw, grad);
}
