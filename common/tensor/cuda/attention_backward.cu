/* Attention's gradient begins: rows are rounded once for all blocks that read them, and D of each
 * query is computed. */
#include "tensor/cuda/attention_backward_tile.h"

enum { THREADS = 128 };

static size_t rounded_rows(const attention_backward_call &a)
{
    return a.rows * (size_t)attention_width(a.D);
}

size_t attention_backward_scratch(const attention_backward_call *call)
{
    return 2 * (size_t)(call->H + call->K) * rounded_rows(*call) * sizeof(uint16_t) +
           2 * (size_t)call->H * call->rows * sizeof(float);
}

void attention_backward_place(attention_backward_call *call, void *memory)
{
    const size_t rows = rounded_rows(*call);
    call->queries_there = (uint16_t *)memory;
    call->grads_there = call->queries_there + call->H * rows;
    call->keys_there = call->grads_there + call->H * rows;
    call->values_there = call->keys_there + call->K * rows;
    call->stats = (float *)(call->values_there + call->K * rows);
}

__device__ __forceinline__ float element(uint32_t pairs, int high)
{
    return __uint_as_float(high ? pairs & 0xffff0000u : pairs << 16);
}

/* Elements 8c..8c+7 of d_o . o, with d_o rounded as the passes' products have it. */
__device__ __forceinline__ float dot_of(const uint4 &grad, const float *o, int c, int D,
                                        bool aligned)
{
    const uint32_t pairs[4] = {grad.x, grad.y, grad.z, grad.w};
    float sum = 0.0f;
    if (aligned && c * 8 + 8 <= D) {
        const float4 low = *(const float4 *)(o + c * 8), high = *(const float4 *)(o + c * 8 + 4);
        const float x[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int e = 0; e < 8; e++)
            sum = __fmaf_rn(element(pairs[e / 2], e % 2), x[e], sum);
        return sum;
    }
#pragma unroll
    for (int e = 0; e < 8; e++)
        if (c * 8 + e < D)
            sum = __fmaf_rn(element(pairs[e / 2], e % 2), o[c * 8 + e], sum);
    return sum;
}

/* A block for each (segment, ROUND_ROWS queries, kv head); LANES threads for a row, each with eight
 * elements. */
template <int D>
__global__ void __launch_bounds__(THREADS) attention_round_kernel(attention_backward_call a)
{
    constexpr int PIECES = D / 8, LANES = PIECES <= 2    ? 2
                                          : PIECES <= 4  ? 4
                                          : PIECES <= 8  ? 8
                                          : PIECES <= 16 ? 16
                                                         : 32;
    const attention_item item = a.round[blockIdx.x];
    const attention_backward_segment s = a.segment[item.segment];
    const int head = blockIdx.y, group = a.H / a.K, query0 = item.tile * ROUND_ROWS;
    const int queries = min(s.count - query0, (int)ROUND_ROWS), c = threadIdx.x % LANES;
    const size_t to = head_rows(a, head, 1) + s.base + query0;
    for (int r = threadIdx.x / LANES; r - (int)threadIdx.x / LANES < queries * group;
         r += THREADS / LANES) {
        const bool there = r < queries * group && c < PIECES;
        const size_t from = (size_t)(s.first + query0 + r / group) * a.H + head * group + r % group;
        float delta = 0.0f;
        if (there) {
            const uint4 grad = eight_of(a.d_o + from * a.D, c, a.D, a.aligned);
            *(uint4 *)(a.grads_there + (to * group + r) * D + c * 8) = grad;
            *(uint4 *)(a.queries_there + (to * group + r) * D + c * 8) =
                eight_of(a.q + from * a.D, c, a.D, a.aligned);
            delta = dot_of(grad, a.o + from * a.D, c, a.D, a.aligned);
        }
#pragma unroll
        for (int with = LANES / 2; with; with /= 2)
            delta = __fadd_rn(delta, __shfl_xor_sync(0xffffffffu, delta, with));
        if (there && c == 0)
            ((float2 *)a.stats)[to * group + r] = make_float2(a.lse[from], delta);
    }
    for (int i = threadIdx.x; i < queries * PIECES; i += THREADS) {
        const int r = i / PIECES, piece = i % PIECES;
        const size_t from = ((size_t)(s.first + query0 + r) * a.K + head) * a.D;
        const size_t at = (to + r) * D + piece * 8;
        *(uint4 *)(a.keys_there + at) = eight_of(a.k + from, piece, a.D, a.aligned);
        *(uint4 *)(a.values_there + at) = eight_of(a.v + from, piece, a.D, a.aligned);
    }
}

static cudaError_t attention_run_round(cudaStream_t stream, const attention_backward_call *call)
{
    switch (attention_width(call->D)) {
#define ROUND_OF(D)                                                                                \
    case D:                                                                                        \
        return launch(attention_round_kernel<D>, dim3(call->rounds, call->K), dim3(THREADS), 0,    \
                      stream, *call);
        ATTENTION_WIDTHS(ROUND_OF)
    default:
        return cudaErrorInvalidValue;
    }
}

cudaError_t attention_backward_run(cudaStream_t stream, const attention_backward_call *call)
{
    if (!call->rows)
        return cudaSuccess;
    TRY_CUDA(attention_run_round(stream, call));
    TRY_CUDA(attention_backward_run_keys(stream, call));
    return attention_backward_run_queries(stream, call);
}
