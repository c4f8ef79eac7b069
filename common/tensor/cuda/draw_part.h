/* The first half of a draw: sums, marks and the largest logit of each part of a row.
 *
 *     TRY_CUDA(draw_parts(stream, &work, logits, V, parts, wide, request, token, count)); */
#pragma once
#include "tensor/cuda/row_part.h"

enum { MARK_WORDS = ROW_PART / 32, NOWHERE = 0x7fffffff };

/* Parts p of request n lie at n * parts + p. */
struct draw_work {
    row_part *plain, *drawn; // of the logits, and of those under the penalty
    float *best;    // the part's largest logit that a greedy draw sees; NaN counts as infinity
    int *best_at;   // the first of its places
    uint32_t *mark; // MARK_WORDS bits of tokens under the penalty
};

/* Enqueues the sums of all parts; V, parts and wide as in load_part. */
cudaError_t draw_parts(cudaStream_t stream, const draw_work &work, const float *logits, int V,
                       int parts, bool wide, const draw_request *request, const int32_t *token,
                       int count);

/* A logit under the penalty (Keskar 2019). */
__device__ __forceinline__ float penalised(float x, float penalty)
{
    return x < 0.0f ? __fmul_rn(x, penalty) : __fdiv_rn(x, penalty);
}

/* The larger of two logits, of equals the first. */
__device__ __forceinline__ void prefer(float &best, int &at, float x, int x_at)
{
    if (x > best || (x == best && x_at < at)) {
        best = x;
        at = x_at;
    }
}

__device__ __forceinline__ void warp_prefer(float &best, int &at)
{
#pragma unroll
    for (int with = 16; with; with /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, best, with);
        prefer(best, at, other, __shfl_xor_sync(0xffffffffu, at, with));
    }
}
