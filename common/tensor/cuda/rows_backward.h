/* The backward of rows.h's kernels. Each call enqueues on `stream`; addresses are the device's,
 * with any alignment that their type has. Rows of bf16 are uint16_t here. Valid C and C++.
 *
 *     TRY_CUDA(rows_rmsnorm_dx(stream, dx, dy, x, r, weight, N, C));
 *     TRY_CUDA(rows_rmsnorm_dweight(stream, dweight, dy, x, r, N, C));
 *
 * Orders. Slopes element by element and sums over rows are the chains of the CPU's ops, so their
 * bits are the CPU's. A sum over rows is one chain for each column, from the value there, rows
 * ascending: two calls over consecutive rows are one over all. The norms' dx have sums over a row
 * in the order of rows.h; all else in them is the CPU's chain, too. */
#pragma once
#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* y[row[i]] += x[i], i ascending. row (count), the device's. work: rows_scatter_bytes. */
size_t rows_scatter_bytes(int count);
cudaError_t rows_scatter_add(cudaStream_t stream, float *y, const float *x, const int32_t *row,
                             int count, int C, void *work);

/* dx += ...; r and stats as the forward kept them. */
cudaError_t rows_rmsnorm_dx(cudaStream_t stream, float *dx, const float *dy, const float *x,
                            const float *r, const uint16_t *weight, int N, int C);
cudaError_t rows_layernorm_dx(cudaStream_t stream, float *dx, const float *dy, const float *x,
                              const float *stats, const uint16_t *weight, int N, int C);
/* dweight += ... */
cudaError_t rows_rmsnorm_dweight(cudaStream_t stream, float *dweight, const float *dy,
                                 const float *x, const float *r, int N, int C);
cudaError_t rows_layernorm_dweight(cudaStream_t stream, float *dweight, const float *dy,
                                   const float *x, const float *stats, int N, int C);
cudaError_t rows_bias_backward(cudaStream_t stream, float *dbias, const float *dy, int N, int C);

/* A result may be the same memory as a source. */
cudaError_t rows_swiglu_backward(cudaStream_t stream, float *dgate, float *dup, const float *dy,
                                 const float *gate, const float *up, size_t count);
cudaError_t rows_gelu_backward(cudaStream_t stream, float *dx, const float *dy, const float *x,
                               size_t count, int by_tanh);

#ifdef __cplusplus
}
#endif
