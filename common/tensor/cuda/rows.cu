/* Copies of rows, and what works element by element: the chains of cpu/{bias,swiglu,gelu}_isa.c. */
#include "tensor/cuda/activation.h"
#include "tensor/cuda/each.h"
#include "tensor/cuda/packed.h"
#include "tensor/cuda/rows.h"

enum { THREADS = 256 };

/* ---- rows */

__global__ void __launch_bounds__(THREADS)
    gather_kernel(float *y, const float *x, const int32_t *row, int C, bool wide)
{
    early_begin();
    y += (size_t)blockIdx.x * C;
    x += (size_t)row[blockIdx.x] * C;
#pragma unroll 4
    for (int i = threadIdx.x * 4; i < C; i += THREADS * 4)
        store_four(y, i, C, wide, load_four(x, i, C, wide, 0.0f));
}

cudaError_t rows_gather(cudaStream_t stream, float *y, const float *x, const int32_t *row,
                        int count, int C)
{
    if (!count)
        return cudaSuccess;
    return launch_early(gather_kernel, dim3(count), dim3(THREADS), 0, stream, y, x, row, C,
                        fours_in(y, C) && fours_in(x, C));
}

__global__ void __launch_bounds__(THREADS)
    embed_kernel(float *y, const uint16_t *table, const int32_t *token, int C, bool wide,
                 bool wide_table)
{
    early_begin();
    y += (size_t)blockIdx.x * C;
    table += (size_t)token[blockIdx.x] * C;
#pragma unroll 4
    for (int i = threadIdx.x * 4; i < C; i += THREADS * 4)
        store_four(y, i, C, wide, load_four_bf16(table, i, C, wide_table));
}

cudaError_t rows_embed(cudaStream_t stream, float *y, const uint16_t *table, const int32_t *token,
                       int N, int C)
{
    if (!N)
        return cudaSuccess;
    return launch_early(embed_kernel, dim3(N), dim3(THREADS), 0, stream, y, table, token, C,
                        fours_in(y, C), fours_in(table, C));
}

/* Eight columns of a row lie together. */
__global__ void __launch_bounds__(THREADS)
    embed_packed_kernel(float *y, const uint16_t *table, const int32_t *token, int V, int C,
                        bool wide)
{
    early_begin();
    y += (size_t)blockIdx.x * C;
    const int row = token[blockIdx.x];
#pragma unroll 2
    for (int i = threadIdx.x * 8; i < C; i += THREADS * 8) {
        const uint4 v = *(const uint4 *)(table + packed_at(V, C, row, i));
        store_four(y, i, C, wide,
                   make_float4(widened(v.x & 0xffff), widened(v.x >> 16), widened(v.y & 0xffff),
                               widened(v.y >> 16)));
        store_four(y, i + 4, C, wide,
                   make_float4(widened(v.z & 0xffff), widened(v.z >> 16), widened(v.w & 0xffff),
                               widened(v.w >> 16)));
    }
}

cudaError_t rows_embed_packed(cudaStream_t stream, float *y, const void *table,
                              const int32_t *token, int N, int V, int C)
{
    if (!N)
        return cudaSuccess;
    return launch_early(embed_packed_kernel, dim3(N), dim3(THREADS), 0, stream, y,
                        (const uint16_t *)table, token, V, C, fours_in(y, C));
}

__global__ void __launch_bounds__(THREADS)
    bias_kernel(float *y, const uint16_t *bias, int C, bool wide, bool wide_bias)
{
    early_begin();
    y += (size_t)blockIdx.x * C;
    for (int i = threadIdx.x * 4; i < C; i += THREADS * 4) {
        const float4 v = load_four(y, i, C, wide, 0.0f);
        const float4 b = load_four_bf16(bias, i, C, wide_bias);
        store_four(y, i, C, wide,
                   make_float4(__fadd_rn(v.x, b.x), __fadd_rn(v.y, b.y), __fadd_rn(v.z, b.z),
                               __fadd_rn(v.w, b.w)));
    }
}

cudaError_t rows_bias(cudaStream_t stream, float *y, const uint16_t *bias, int N, int C)
{
    if (!N)
        return cudaSuccess;
    return launch_early(bias_kernel, dim3(N), dim3(THREADS), 0, stream, y, bias, C, fours_in(y, C),
                        fours_in(bias, C));
}

/* ---- elements */

struct adding {
    __device__ float operator()(float y, float x) const
    {
        return __fadd_rn(y, x);
    }
};

cudaError_t rows_add(cudaStream_t stream, float *y, const float *x, size_t count)
{
    return each(stream, y, y, x, adding(), count);
}

struct scaling {
    float factor;
    __device__ float operator()(float x, float) const
    {
        return __fmul_rn(x, factor);
    }
};

cudaError_t rows_scale(cudaStream_t stream, float *x, float factor, size_t count)
{
    return each(stream, x, x, NULL, scaling{factor}, count);
}

struct rounding {
    __device__ float operator()(float x, float) const
    {
        return widened(nearest_bf16(x));
    }
};

cudaError_t rows_round_bf16(cudaStream_t stream, float *x, size_t count)
{
    return each(stream, x, x, NULL, rounding(), count);
}

struct gating {
    __device__ float operator()(float gate, float up) const
    {
        return __fmul_rn(__fmul_rn(gate, sigmoid(gate)), up);
    }
};

cudaError_t rows_swiglu(cudaStream_t stream, float *y, const float *gate, const float *up,
                        size_t count)
{
    return each(stream, y, gate, up, gating(), count);
}

struct gelu {
    __device__ float operator()(float x, float) const
    {
        return __fmul_rn(x, normal_share(x));
    }
};
struct gelu_by_tanh {
    __device__ float operator()(float x, float) const
    {
        return __fmul_rn(x, tanh_share(tanh_odds(x)));
    }
};

cudaError_t rows_gelu(cudaStream_t stream, float *y, const float *x, size_t count, int by_tanh)
{
    return by_tanh ? each(stream, y, x, NULL, gelu_by_tanh(), count)
                   : each(stream, y, x, NULL, gelu(), count);
}
