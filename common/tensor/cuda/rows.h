/* Kernels that go row by row or element by element, and the digest of weights. Each call enqueues
 * on `stream`; addresses are the device's, with any alignment that their type has. Rows of bf16 are
 * uint16_t here. Valid C and C++.
 *
 *     TRY_CUDA(rows_rmsnorm(cuda->stream, y, r, x, weight, eps, N, C));
 *
 * Orders. Whatever goes element by element is the chain of the CPU's op of that name, so its bits
 * are the CPU's. The norms' sums over a row of C elements have T threads, 32 for C <= ROW_NARROW
 * and 256 beyond. Thread t takes elements 4t..4t+3, then those 4T further, ascending, as one chain
 * from +0. A tree adds threads of a warp (t and t^16, ^8, ^4, ^2, ^1); then come the warps,
 * ascending. So a row's bits depend on its C values alone. */
#pragma once
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

enum { ROW_NARROW = 512, DIGEST_PARTS = 1024 };

#ifdef __cplusplus
extern "C" {
#endif

/* y[i] = x[row[i]]; row (count). */
cudaError_t rows_gather(cudaStream_t stream, float *y, const float *x, const int32_t *row,
                        int count, int C);
/* y[n] = row token[n] of the table (V,C): row-major, or packed as gemm.h has it. token (N). */
cudaError_t rows_embed(cudaStream_t stream, float *y, const uint16_t *table, const int32_t *token,
                       int N, int C);
cudaError_t rows_embed_packed(cudaStream_t stream, float *y, const void *table,
                              const int32_t *token, int N, int V, int C);

/* One fma chain of squares, in the order above; r = 1 / sqrt(sum / C + eps); y = (x r) weight. */
cudaError_t rows_rmsnorm(cudaStream_t stream, float *y, float *r, const float *x,
                         const uint16_t *weight, float eps, int N, int C);
/* The mean first, then an fma chain of squares of x - mean. stats (N,2): mean, r. */
cudaError_t rows_layernorm(cudaStream_t stream, float *y, float *stats, const float *x,
                           const uint16_t *weight, float eps, int N, int C);

/* A result may be the same memory as a source. */
cudaError_t rows_bias(cudaStream_t stream, float *y, const uint16_t *bias, int N, int C);
cudaError_t rows_add(cudaStream_t stream, float *y, const float *x, size_t count);
cudaError_t rows_scale(cudaStream_t stream, float *x, float factor, size_t count);
cudaError_t rows_round_bf16(cudaStream_t stream, float *x, size_t count);
cudaError_t rows_swiglu(cudaStream_t stream, float *y, const float *gate, const float *up,
                        size_t count);
cudaError_t rows_gelu(cudaStream_t stream, float *y, const float *x, size_t count, int by_tanh);

/* The digest of w is the sum modulo 2^128 of `rows_digest_parts(count)` parts, each two words, the
 * high one first. They are exact in any order. */
size_t rows_digest_parts(size_t count);
cudaError_t rows_digest(cudaStream_t stream, uint64_t *part, const uint16_t *w, size_t first,
                        size_t count);

#ifdef __cplusplus
}
#endif
