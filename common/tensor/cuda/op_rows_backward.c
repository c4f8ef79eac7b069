/* The backward of the ops that go row by row or element by element. */
#include "tensor/cuda/cuda.h"
#include "tensor/cuda/rows_backward.h"

err_t cuda_scatter_add(struct backend *be, float *y, const float *x, const int32_t *row, int count,
                       int C)
{
    struct cuda *cuda = cuda_of(be);
    const void *there = NULL;
    TRY(cuda_stage(cuda, row, (size_t)count * sizeof *row, &there));
    return cuda_embed_backward(be, y, x, there, count, C);
}

err_t cuda_embed_backward(struct backend *be, float *dtable, const float *dy, const int32_t *token,
                          int N, int C)
{
    struct cuda *cuda = cuda_of(be);
    void *work = NULL;
    TRY(cuda_workspace(cuda, rows_scatter_bytes(N), &work));
    TRY_CUDA(rows_scatter_add(cuda->stream, dtable, dy, token, N, C, work));
    return OK;
}

/* dweight first: dx may lie where dy does. */
err_t cuda_rmsnorm_backward(struct backend *be, float *dx, float *dweight, const float *dy,
                            const float *x, const float *r, const bf16 *weight, int N, int C)
{
    cudaStream_t stream = cuda_of(be)->stream;
    TRY_CUDA(rows_rmsnorm_dweight(stream, dweight, dy, x, r, N, C));
    TRY_CUDA(rows_rmsnorm_dx(stream, dx, dy, x, r, weight, N, C));
    return OK;
}

err_t cuda_layernorm_backward(struct backend *be, float *dx, float *dweight, const float *dy,
                              const float *x, const float *stats, const bf16 *weight, int N, int C)
{
    cudaStream_t stream = cuda_of(be)->stream;
    TRY_CUDA(rows_layernorm_dweight(stream, dweight, dy, x, stats, N, C));
    TRY_CUDA(rows_layernorm_dx(stream, dx, dy, x, stats, weight, N, C));
    return OK;
}

err_t cuda_bias_backward(struct backend *be, float *dbias, const float *dy, int N, int C)
{
    TRY_CUDA(rows_bias_backward(cuda_of(be)->stream, dbias, dy, N, C));
    return OK;
}

err_t cuda_swiglu_backward(struct backend *be, float *dgate, float *dup, const float *dy,
                           const float *gate, const float *up, size_t count)
{
    TRY_CUDA(rows_swiglu_backward(cuda_of(be)->stream, dgate, dup, dy, gate, up, count));
    return OK;
}

err_t cuda_gelu_backward(struct backend *be, float *dx, const float *dy, const float *x,
                         size_t count, int by_tanh)
{
    TRY_CUDA(rows_gelu_backward(cuda_of(be)->stream, dx, dy, x, count, by_tanh));
    return OK;
}
