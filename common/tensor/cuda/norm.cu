/* Norms of rows; rows.h has the order of their sums. A narrow row is a warp's, others a block's. */
#include "tensor/cuda/norm_row.h"

__device__ __forceinline__ float squares(float4 v, float sum)
{
    sum = __fmaf_rn(v.x, v.x, sum);
    sum = __fmaf_rn(v.y, v.y, sum);
    sum = __fmaf_rn(v.z, v.z, sum);
    return __fmaf_rn(v.w, v.w, sum);
}

/* (v scale) w */
__device__ __forceinline__ float4 scaled(float4 v, float scale, float4 w)
{
    return make_float4(__fmul_rn(__fmul_rn(v.x, scale), w.x), __fmul_rn(__fmul_rn(v.y, scale), w.y),
                       __fmul_rn(__fmul_rn(v.z, scale), w.z),
                       __fmul_rn(__fmul_rn(v.w, scale), w.w));
}

__device__ __forceinline__ float inverse_root(float sum, int C, float eps)
{
    return __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(__fdiv_rn(sum, (float)C), eps)));
}

struct norm_call {
    float *y, *kept; // r (N), or stats (N,2)
    const float *x;
    const uint16_t *weight;
    float eps;
    int N, C;
    bool wide, wide_weight;
};

template <int T> __global__ void __launch_bounds__(THREADS) rmsnorm_kernel(norm_call a)
{
    SHARED(float[WARPS], sums);
    early_begin();
    const int n = row_of<T>(), first = threadIdx.x % T * 4;
    if (n >= a.N)
        return;
    const float *x = a.x + (size_t)n * a.C;
    float sum = 0.0f;
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4)
        sum = squares(load_four(x, i, a.C, a.wide, 0.0f), sum);
    const float r = inverse_root(row_sum<T>(sum, sums), a.C, a.eps);
    if (first == 0)
        a.kept[n] = r;
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4)
        store_four(a.y + (size_t)n * a.C, i, a.C, a.wide,
                   scaled(load_four(x, i, a.C, a.wide, 0.0f), r,
                          load_four_bf16(a.weight, i, a.C, a.wide_weight)));
}

template <int T> __global__ void __launch_bounds__(THREADS) layernorm_kernel(norm_call a)
{
    SHARED(float[2][WARPS], sums);
    early_begin();
    const int n = row_of<T>(), first = threadIdx.x % T * 4;
    if (n >= a.N)
        return;
    const float *x = a.x + (size_t)n * a.C;
    float sum = 0.0f;
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4) {
        const float4 v = load_four(x, i, a.C, a.wide, 0.0f);
        sum = __fadd_rn(__fadd_rn(__fadd_rn(__fadd_rn(sum, v.x), v.y), v.z), v.w);
    }
    const float mean = __fdiv_rn(row_sum<T>(sum, sums[0]), (float)a.C);
    sum = 0.0f;
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4)
        sum = squares(minus(load_four(x, i, a.C, a.wide, mean), mean), sum);
    const float r = inverse_root(row_sum<T>(sum, sums[1]), a.C, a.eps);
    if (first == 0) {
        a.kept[2 * n] = mean;
        a.kept[2 * n + 1] = r;
    }
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4)
        store_four(a.y + (size_t)n * a.C, i, a.C, a.wide,
                   scaled(minus(load_four(x, i, a.C, a.wide, mean), mean), r,
                          load_four_bf16(a.weight, i, a.C, a.wide_weight)));
}

static cudaError_t norm_rows(cudaStream_t stream, void (*narrow)(norm_call),
                             void (*broad)(norm_call), norm_call a)
{
    a.wide = fours_in(a.x, a.C) && fours_in(a.y, a.C);
    a.wide_weight = fours_in(a.weight, a.C);
    return launch_rows(stream, narrow, broad, a);
}

cudaError_t rows_rmsnorm(cudaStream_t stream, float *y, float *r, const float *x,
                         const uint16_t *weight, float eps, int N, int C)
{
    return norm_rows(stream, rmsnorm_kernel<32>, rmsnorm_kernel<THREADS>,
                     norm_call{y, r, x, weight, eps, N, C, false, false});
}

cudaError_t rows_layernorm(cudaStream_t stream, float *y, float *stats, const float *x,
                           const uint16_t *weight, float eps, int N, int C)
{
    return norm_rows(stream, layernorm_kernel<32>, layernorm_kernel<THREADS>,
                     norm_call{y, stats, x, weight, eps, N, C, false, false});
}
