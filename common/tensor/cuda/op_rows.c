/* The ops that go row by row or element by element, and the digest. */
#include "tensor/cuda/cuda.h"
#include "tensor/cuda/rows.h"
#include "tensor/cuda/weight.h"
#include "tensor/digest_hash.h"

err_t cuda_gather(struct backend *be, float *y, const float *x, const int32_t *row, int count,
                  int C)
{
    struct cuda *cuda = cuda_in_step(be);
    const void *there = NULL;
    TRY(cuda_stage(cuda, row, (size_t)count * sizeof *row, &there));
    TRY_CUDA(rows_gather(cuda->stream, y, x, there, count, C));
    return OK;
}

err_t cuda_embed(struct backend *be, float *y, const struct weight *table, const int32_t *token,
                 int N)
{
    cudaStream_t stream = cuda_in_step(be)->stream;
    if (table->rows)
        TRY_CUDA(rows_embed(stream, y, table->rows, token, N, table->K));
    else
        TRY_CUDA(rows_embed_packed(stream, y, table->packed, token, N, table->N, table->K));
    return OK;
}

err_t cuda_rmsnorm(struct backend *be, float *y, float *r, const float *x, const bf16 *weight,
                   float eps, int N, int C)
{
    TRY_CUDA(rows_rmsnorm(cuda_in_step(be)->stream, y, r, x, weight, eps, N, C));
    return OK;
}

err_t cuda_layernorm(struct backend *be, float *y, float *stats, const float *x, const bf16 *weight,
                     float eps, int N, int C)
{
    TRY_CUDA(rows_layernorm(cuda_in_step(be)->stream, y, stats, x, weight, eps, N, C));
    return OK;
}

err_t cuda_bias(struct backend *be, float *y, const bf16 *bias, int N, int C)
{
    TRY_CUDA(rows_bias(cuda_in_step(be)->stream, y, bias, N, C));
    return OK;
}

err_t cuda_swiglu(struct backend *be, float *y, const float *gate, const float *up, size_t count)
{
    TRY_CUDA(rows_swiglu(cuda_in_step(be)->stream, y, gate, up, count));
    return OK;
}

err_t cuda_gelu(struct backend *be, float *y, const float *x, size_t count, int by_tanh)
{
    TRY_CUDA(rows_gelu(cuda_in_step(be)->stream, y, x, count, by_tanh));
    return OK;
}

err_t cuda_add(struct backend *be, float *y, const float *x, size_t count)
{
    TRY_CUDA(rows_add(cuda_in_step(be)->stream, y, x, count));
    return OK;
}

err_t cuda_scale(struct backend *be, float *x, float factor, size_t count)
{
    TRY_CUDA(rows_scale(cuda_in_step(be)->stream, x, factor, count));
    return OK;
}

err_t cuda_round_bf16(struct backend *be, float *x, size_t count)
{
    TRY_CUDA(rows_round_bf16(cuda_in_step(be)->stream, x, count));
    return OK;
}

err_t cuda_digest(struct backend *be, const bf16 *w, size_t first, size_t count, struct digest *ret)
{
    struct cuda *cuda = cuda_of(be);
    const size_t parts = rows_digest_parts(count), bytes = parts * 2 * sizeof(uint64_t);
    const void *here = NULL;
    void *there = NULL;
    u128 sum = 0;
    if (parts) {
        TRY(cuda_workspace(cuda, bytes, &there));
        TRY_CUDA(rows_digest(cuda->stream, there, w, first, count));
        TRY(cuda_fetch(cuda, there, bytes, &here));
    }
    const uint64_t *part = here;
    for (size_t i = 0; i < parts; i++)
        sum += (u128)part[2 * i] << 64 | part[2 * i + 1];
    *ret = digest_of_sum(sum);
    return OK;
}
