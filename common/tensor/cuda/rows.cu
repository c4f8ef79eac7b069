/* Copies of rows, and what works element by element: the chains of cpu/{bias,swiglu,gelu}_isa.c. */
#include "tensor/cuda/fours.h"
#include "tensor/cuda/packed.h"
#include "tensor/cuda/rows.h"

enum { THREADS = 256 };

/* ---- rows */

__global__ void __launch_bounds__(THREADS)
    gather_kernel(float *y, const float *x, const int32_t *row, int C, bool wide)
{
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
    return launch(gather_kernel, dim3(count), dim3(THREADS), 0, stream, y, x, row, C,
                  fours_in(y, C) && fours_in(x, C));
}

__global__ void __launch_bounds__(THREADS)
    embed_kernel(float *y, const uint16_t *table, const int32_t *token, int C, bool wide,
                 bool wide_table)
{
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
    return launch(embed_kernel, dim3(N), dim3(THREADS), 0, stream, y, table, token, C,
                  fours_in(y, C), fours_in(table, C));
}

/* Eight columns of a row lie together. */
__global__ void __launch_bounds__(THREADS)
    embed_packed_kernel(float *y, const uint16_t *table, const int32_t *token, int V, int C,
                        bool wide)
{
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
    return launch(embed_packed_kernel, dim3(N), dim3(THREADS), 0, stream, y,
                  (const uint16_t *)table, token, V, C, fours_in(y, C));
}

__global__ void __launch_bounds__(THREADS)
    bias_kernel(float *y, const uint16_t *bias, int C, bool wide, bool wide_bias)
{
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
    return launch(bias_kernel, dim3(N), dim3(THREADS), 0, stream, y, bias, C, fours_in(y, C),
                  fours_in(bias, C));
}

/* ---- elements: y[i] = f(a[i], b[i]) */

template <class F>
__global__ void __launch_bounds__(THREADS)
    each_kernel(float *y, const float *a, const float *b, F f, size_t count, bool wide)
{
    const size_t i = ((size_t)blockIdx.x * THREADS + threadIdx.x) * 4;
    if (i >= count)
        return;
    const float4 v = load_four(a, i, count, wide, 0.0f);
    const float4 u = b ? load_four(b, i, count, wide, 0.0f) : v;
    store_four(y, i, count, wide, make_float4(f(v.x, u.x), f(v.y, u.y), f(v.z, u.z), f(v.w, u.w)));
}

template <class F>
static cudaError_t each(cudaStream_t stream, float *y, const float *a, const float *b, F f,
                        size_t count)
{
    if (!count)
        return cudaSuccess;
    const bool wide = fours_in(y, 4) && fours_in(a, 4) && fours_in(b, 4);
    return launch(each_kernel<F>, dim3((unsigned)((count + THREADS * 4 - 1) / (THREADS * 4))),
                  dim3(THREADS), 0, stream, y, a, b, f, count, wide);
}

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

/* bf16_from_float of tensor.h: a NaN keeps the upper half of its payload. */
struct rounding {
    __device__ float operator()(float x, float) const
    {
        const uint32_t bits = __float_as_uint(x);
        const uint32_t nearest = bits + 0x7fffu + (bits >> 16 & 1);
        const uint32_t quiet = bits | 0x400000u;
        return __uint_as_float(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : nearest) &
                               0xffff0000u);
    }
};

cudaError_t rows_round_bf16(cudaStream_t stream, float *x, size_t count)
{
    return each(stream, x, x, NULL, rounding(), count);
}

struct gating {
    __device__ float operator()(float gate, float up) const
    {
        const float down = __fadd_rn(1.0f, exact_exp(__fmul_rn(gate, -1.0f)));
        return __fmul_rn(__fmul_rn(gate, __fdiv_rn(1.0f, down)), up);
    }
};

cudaError_t rows_swiglu(cudaStream_t stream, float *y, const float *gate, const float *up,
                        size_t count)
{
    return each(stream, y, gate, up, gating(), count);
}

template <int N> __device__ __forceinline__ float polynomial(float x, const float (&coefficient)[N])
{
    float p = coefficient[0];
#pragma unroll
    for (int i = 1; i < N; i++)
        p = __fmaf_rn(p, x, coefficient[i]);
    return p;
}

/* Phi(x) = (1 + erf(s)) / 2, s = x / sqrt(2): see cpu/gelu_isa.c. */
__device__ __forceinline__ float normal_share(float x)
{
    const float near_zero[] = {7.853861353153693e-5f, -8.010193625184903e-4f,
                               5.188327685732524e-3f, -2.685381193529856e-2f,
                               1.128358514861418e-1f, -3.761262582423300e-1f,
                               1.128379165726710e+0f};
    const float far[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                         -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
    const float s = __fmul_rn(x, 0.70710678f), square = __fmul_rn(s, s);
    const float minus = __fmul_rn(s, -1.0f), size = s > minus ? s : minus;
    if (size < 1.0f)
        return __fmaf_rn(__fmul_rn(s, 0.5f), polynomial(square, near_zero), 0.5f);
    const float t = __fdiv_rn(1.0f, __fmaf_rn(size, 0.5f, 1.0f));
    const float power = __fsub_rn(polynomial(t, far), square);
    const float tail = __fmul_rn(__fmul_rn(t, 0.5f), exact_exp(power));
    return x < 0.0f ? tail : __fsub_rn(1.0f, tail);
}

/* (1 + tanh(u)) / 2 = sigmoid(2u), 2u = x (LINE + CUBE x^2). */
__device__ __forceinline__ float tanh_share(float x)
{
    const float slope = __fmaf_rn(__fmul_rn(x, x), 0.0713548163f, 1.5957691216f);
    const float odds = exact_exp(__fmul_rn(__fmul_rn(x, slope), -1.0f));
    return __fdiv_rn(1.0f, __fadd_rn(1.0f, odds));
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
        return __fmul_rn(x, tanh_share(x));
    }
};

cudaError_t rows_gelu(cudaStream_t stream, float *y, const float *x, size_t count, int by_tanh)
{
    return by_tanh ? each(stream, y, x, NULL, gelu_by_tanh(), count)
                   : each(stream, y, x, NULL, gelu(), count);
}
