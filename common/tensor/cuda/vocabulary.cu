/* Log-probabilities of tokens, their slopes, and tokens that have none. */
#include "tensor/cuda/row_part.h"

/* dlogp (N), unless NULL: parts of rows with 0 are left out. */
__global__ void __launch_bounds__(PART_THREADS)
    logp_part_kernel(row_part *part, const float *logits, const float *dlogp, float scale, int V,
                     int parts, bool wide)
{
    SHARED(float[3][PART_WARPS], scratch);
    early_begin();
    const int n = blockIdx.x / parts, p = blockIdx.x % parts;
    if (dlogp && dlogp[n] == 0.0f)
        return;
    float x[PART_EACH];
    load_part(x, logits + (size_t)n * V, p, V, wide);
    const row_part sums = part_of(x, scale, scratch);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sums;
}

enum { ROWS = 4 }; // of a block: one for each warp

__global__ void __launch_bounds__(ROWS * 32)
    logp_kernel(float *logp, float *entropy, const row_part *part, const float *logits,
                const int32_t *token, float scale, int N, int V, int parts)
{
    early_begin();
    const int n = blockIdx.x * ROWS + threadIdx.x / 32;
    if (n >= N)
        return;
    const row_total row = total_of(part + (size_t)n * parts, parts, NULL);
    if (threadIdx.x % 32)
        return;
    logp[n] = logp_of(row, logits[(size_t)n * V + token[n]], scale);
    if (entropy)
        entropy[n] = (float)(exact_log(row.sum) - row.moment / row.sum);
}

size_t vocabulary_logp_bytes(int N, int V)
{
    return (size_t)N * parts_of(V) * sizeof(row_part);
}

cudaError_t vocabulary_logp(cudaStream_t stream, float *logp, float *entropy, const float *logits,
                            const int32_t *token, float inverse_temperature, int N, int V,
                            void *work)
{
    row_part *part = (row_part *)work;
    const int parts = parts_of(V);
    if (!N)
        return cudaSuccess;
    TRY_CUDA(launch_early(logp_part_kernel, dim3((unsigned)N * parts), dim3(PART_THREADS), 0,
                          stream, part, logits, nullptr, inverse_temperature, V, parts,
                          fours_in(logits, V)));
    return launch_early(logp_kernel, dim3((N + ROWS - 1) / ROWS), dim3(ROWS * 32), 0, stream, logp,
                        entropy, part, logits, token, inverse_temperature, N, V, parts);
}

/* dlogp ([v = token] - e^(x - max) / sum) scale, by the chain of cpu/token_logp_isa.c. */
__global__ void __launch_bounds__(PART_THREADS)
    logp_slope_kernel(float *logits, const row_part *part, const float *dlogp, const int32_t *token,
                      float scale, int V, int parts, bool wide)
{
    early_begin();
    const int n = blockIdx.x / parts, p = blockIdx.x % parts;
    float *const row = logits + (size_t)n * V;
    float x[PART_EACH] = {};
    if (dlogp[n] != 0.0f) {
        const row_total all = total_of(part + (size_t)n * parts, parts, NULL);
        const float slope = __fmul_rn(dlogp[n], scale), inverse = (float)__ddiv_rn(1.0, all.sum);
        load_part(x, row, p, V, wide);
#pragma unroll
        for (int e = 0; e < PART_EACH; e++) {
            const float weight = exact_exp(__fsub_rn(__fmul_rn(x[e], scale), all.max));
            x[e] = __fmul_rn(__fmul_rn(weight, inverse), -slope);
            if (p * ROW_PART + place_of(e) == token[n])
                x[e] = __fadd_rn(x[e], slope);
        }
    }
    store_part(row, x, p, V, wide);
}

cudaError_t vocabulary_logp_backward(cudaStream_t stream, float *logits, const float *dlogp,
                                     const int32_t *token, float inverse_temperature, int N, int V,
                                     void *work)
{
    row_part *part = (row_part *)work;
    const int parts = parts_of(V);
    const dim3 blocks((unsigned)N * parts);
    const bool wide = fours_in(logits, V);
    if (!N)
        return cudaSuccess;
    TRY_CUDA(launch_early(logp_part_kernel, blocks, dim3(PART_THREADS), 0, stream, part, logits,
                          dlogp, inverse_temperature, V, parts, wide));
    return launch_early(logp_slope_kernel, blocks, dim3(PART_THREADS), 0, stream, logits, part,
                        dlogp, token, inverse_temperature, V, parts, wide);
}

enum { MASK_THREADS = 256, MASK_RANGES = 1024 };

__global__ void __launch_bounds__(MASK_THREADS)
    mask_kernel(float *logits, const int32_t *range, int ranges, int V)
{
    early_begin();
    float *row = logits + (size_t)blockIdx.x * V;
    for (int r = blockIdx.y; r < ranges; r += gridDim.y)
        for (int v = threadIdx.x; v < range[2 * r + 1]; v += MASK_THREADS)
            row[range[2 * r] + v] = MINUS_INFINITY;
}

cudaError_t vocabulary_mask(cudaStream_t stream, float *logits, const int32_t *range, int ranges,
                            int N, int V)
{
    if (!N || !ranges)
        return cudaSuccess;
    return launch_early(mask_kernel, dim3(N, ranges < MASK_RANGES ? ranges : MASK_RANGES),
                        dim3(MASK_THREADS), 0, stream, logits, range, ranges, V);
}
