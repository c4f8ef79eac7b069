/* The parts of each request's row: sums, bits of the penalised tokens, the largest logit. */
#include "tensor/cuda/draw_part.h"

/* Bits of the part's tokens that the request penalises. */
__device__ __forceinline__ void mark_part(uint32_t *mark, const int32_t *token, int tokens,
                                          int part)
{
    for (int i = threadIdx.x; i < MARK_WORDS; i += PART_THREADS)
        mark[i] = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < tokens; i += PART_THREADS) {
        const int v = token[i] - part * ROW_PART;
        if (v >= 0 && v < ROW_PART)
            atomicOr(&mark[v / 32], 1u << v % 32);
    }
    __syncthreads();
}

/* The first of the part's largest, in thread 0. */
__device__ __forceinline__ void best_of(const float (&x)[PART_EACH], int part, float &best, int &at,
                                        float (&value)[PART_WARPS], int (&place)[PART_WARPS])
{
    best = MINUS_INFINITY;
    at = NOWHERE;
#pragma unroll
    for (int e = 0; e < PART_EACH; e++)
        prefer(best, at, x[e] == x[e] ? x[e] : -MINUS_INFINITY, part * ROW_PART + place_of(e));
    warp_prefer(best, at);
    if (threadIdx.x % 32 == 0) {
        value[threadIdx.x / 32] = best;
        place[threadIdx.x / 32] = at;
    }
    __syncthreads();
    for (int w = 0; threadIdx.x == 0 && w < PART_WARPS; w++)
        prefer(best, at, value[w], place[w]);
}

__global__ void __launch_bounds__(PART_THREADS)
    draw_part_kernel(draw_work work, const float *logits, int V, int parts, bool wide,
                     const draw_request *request, const int32_t *token)
{
    SHARED(float[2][3][PART_WARPS], scratch);
    SHARED(float[PART_WARPS], value);
    SHARED(int[PART_WARPS], place);
    SHARED(uint32_t[MARK_WORDS], mark);
    early_begin();
    const int n = blockIdx.x / parts, p = blockIdx.x % parts;
    const draw_request &r = request[n];
    float x[PART_EACH], best;
    int at;
    if (r.sums != n)
        return;
    load_part(x, logits + (size_t)r.row * V, p, V, wide);
    const row_part plain = part_of(x, r.inverse_temperature, scratch[0]);
    if (threadIdx.x == 0)
        work.plain[blockIdx.x] = plain;
    if (r.penalty != 0.0f) {
        mark_part(mark, token + r.token, r.tokens, p);
#pragma unroll
        for (int e = 0; e < PART_EACH; e++)
            if (mark[place_of(e) / 32] >> place_of(e) % 32 & 1)
                x[e] = penalised(x[e], r.penalty);
        const row_part drawn = part_of(x, r.inverse_temperature, scratch[1]);
        if (threadIdx.x == 0)
            work.drawn[blockIdx.x] = drawn;
        for (int i = threadIdx.x; i < MARK_WORDS; i += PART_THREADS)
            work.mark[(size_t)blockIdx.x * MARK_WORDS + i] = mark[i];
    }
    if (r.greedy) {
        best_of(x, p, best, at, value, place);
        if (threadIdx.x == 0) {
            work.best[blockIdx.x] = best;
            work.best_at[blockIdx.x] = at;
        }
    }
}

cudaError_t draw_parts(cudaStream_t stream, const draw_work &work, const float *logits, int V,
                       int parts, bool wide, const draw_request *request, const int32_t *token,
                       int count)
{
    return launch_early(draw_part_kernel, dim3((unsigned)count * parts), dim3(PART_THREADS), 0,
                        stream, work, logits, V, parts, wide, request, token);
}
