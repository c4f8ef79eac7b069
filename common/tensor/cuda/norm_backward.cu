/* dx of the norms. Sums over a row have the order of rows.h; the rest is the chain of
 * cpu/{rmsnorm,layernorm}_isa.c. */
#include "tensor/cuda/norm_row.h"
#include "tensor/cuda/rows_backward.h"

struct dx_call {
    float *dx;
    const float *dy, *x, *kept; // r (N), or stats (N,2)
    const uint16_t *weight;
    int N, C;
    bool wide, wide_weight;
};

__device__ __forceinline__ float4 times(float4 a, float4 b)
{
    return make_float4(__fmul_rn(a.x, b.x), __fmul_rn(a.y, b.y), __fmul_rn(a.z, b.z),
                       __fmul_rn(a.w, b.w));
}
__device__ __forceinline__ float4 times(float4 a, float b)
{
    return times(a, make_float4(b, b, b, b));
}
__device__ __forceinline__ float4 plus(float4 a, float4 b)
{
    return make_float4(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z),
                       __fadd_rn(a.w, b.w));
}
/* a b + c, rounded once. */
__device__ __forceinline__ float4 fused(float4 a, float b, float4 c)
{
    return make_float4(__fmaf_rn(a.x, b, c.x), __fmaf_rn(a.y, b, c.y), __fmaf_rn(a.z, b, c.z),
                       __fmaf_rn(a.w, b, c.w));
}
__device__ __forceinline__ float dot(float4 a, float4 b, float sum)
{
    sum = __fmaf_rn(a.x, b.x, sum);
    sum = __fmaf_rn(a.y, b.y, sum);
    sum = __fmaf_rn(a.z, b.z, sum);
    return __fmaf_rn(a.w, b.w, sum);
}

__device__ __forceinline__ float cube(float r)
{
    return __fmul_rn(__fmul_rn(r, r), r);
}

/* dy w at element i of row n; 0 behind it. */
__device__ __forceinline__ float4 weighted(const dx_call &a, size_t row, int i)
{
    return times(load_four(a.dy + row, i, a.C, a.wide, 0.0f),
                 load_four_bf16(a.weight, i, a.C, a.wide_weight));
}

__device__ __forceinline__ void add_to(const dx_call &a, size_t row, int i, float4 slope)
{
    float *dx = a.dx + row;
    store_four(dx, i, a.C, a.wide, plus(load_four(dx, i, a.C, a.wide, 0.0f), slope));
}

/* dx += dy w r - x (sum dy w x) r^3 / C */
template <int T> __global__ void __launch_bounds__(THREADS) rmsnorm_dx_kernel(dx_call a)
{
    SHARED(float[WARPS], sums);
    early_begin();
    const int n = row_of<T>(), first = threadIdx.x % T * 4;
    if (n >= a.N)
        return;
    const size_t row = (size_t)n * a.C;
    const float r = a.kept[n];
    float sum = 0.0f;
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4)
        sum = dot(weighted(a, row, i), load_four(a.x + row, i, a.C, a.wide, 0.0f), sum);
    sum = row_sum<T>(sum, sums);
    const float along = -__fdiv_rn(__fmul_rn(sum, cube(r)), (float)a.C);
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4) {
        const float4 x = load_four(a.x + row, i, a.C, a.wide, 0.0f);
        add_to(a, row, i, fused(weighted(a, row, i), r, times(x, along)));
    }
}

/* With d = x - mean and g = dy w:  dx += r g - (r sum g / C + d (sum g d) r^3 / C) */
template <int T> __global__ void __launch_bounds__(THREADS) layernorm_dx_kernel(dx_call a)
{
    SHARED(float[2][WARPS], sums);
    early_begin();
    const int n = row_of<T>(), first = threadIdx.x % T * 4;
    if (n >= a.N)
        return;
    const size_t row = (size_t)n * a.C;
    const float mean = a.kept[2 * n], r = a.kept[2 * n + 1];
    float plain = 0.0f, along = 0.0f;
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4) {
        const float4 g = weighted(a, row, i);
        plain = __fadd_rn(__fadd_rn(__fadd_rn(__fadd_rn(plain, g.x), g.y), g.z), g.w);
        along = dot(g, minus(load_four(a.x + row, i, a.C, a.wide, mean), mean), along);
    }
    plain = row_sum<T>(plain, sums[0]);
    along = row_sum<T>(along, sums[1]);
    const float level = __fdiv_rn(__fmul_rn(plain, r), (float)a.C);
    const float tilt = __fdiv_rn(__fmul_rn(along, cube(r)), (float)a.C);
#pragma unroll 4
    for (int i = first; i < a.C; i += T * 4) {
        const float4 d = minus(load_four(a.x + row, i, a.C, a.wide, mean), mean);
        const float4 away = fused(d, tilt, make_float4(level, level, level, level));
        add_to(a, row, i, plus(times(weighted(a, row, i), r), times(away, -1.0f)));
    }
}

static cudaError_t dx_rows(cudaStream_t stream, void (*narrow)(dx_call), void (*broad)(dx_call),
                           dx_call a)
{
    a.wide = fours_in(a.dx, a.C) && fours_in(a.dy, a.C) && fours_in(a.x, a.C);
    a.wide_weight = fours_in(a.weight, a.C);
    return launch_rows(stream, narrow, broad, a);
}

cudaError_t rows_rmsnorm_dx(cudaStream_t stream, float *dx, const float *dy, const float *x,
                            const float *r, const uint16_t *weight, int N, int C)
{
    return dx_rows(stream, rmsnorm_dx_kernel<32>, rmsnorm_dx_kernel<THREADS>,
                   dx_call{dx, dy, x, r, weight, N, C, false, false});
}

cudaError_t rows_layernorm_dx(cudaStream_t stream, float *dx, const float *dy, const float *x,
                              const float *stats, const uint16_t *weight, int N, int C)
{
    return dx_rows(stream, layernorm_dx_kernel<32>, layernorm_dx_kernel<THREADS>,
                   dx_call{dx, dy, x, stats, weight, N, C, false, false});
}
