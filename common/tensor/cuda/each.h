/* Arrays element by element.
 *
 *     return each(stream, y, a, b, f, count);                    -- y[i] = f(a[i], b[i])
 *     return each_pair(stream, y, z, a, b, c, f, count);         -- y[i], z[i] = f(a[i], b[i], c[i])
 *
 * f is a struct with a __device__ operator(). A result may be the same memory as a source. */
#pragma once
#include "tensor/cuda/fours.h"

enum { EACH_THREADS = 256 };

static inline dim3 each_blocks(size_t count)
{
    return dim3((unsigned)((count + EACH_THREADS * 4 - 1) / (EACH_THREADS * 4)));
}

template <class F>
__global__ void __launch_bounds__(EACH_THREADS)
    each_kernel(float *y, const float *a, const float *b, F f, size_t count, bool wide)
{
    early_begin();
    const size_t i = ((size_t)blockIdx.x * EACH_THREADS + threadIdx.x) * 4;
    if (i >= count)
        return;
    const float4 v = load_four(a, i, count, wide, 0.0f);
    const float4 u = b ? load_four(b, i, count, wide, 0.0f) : v;
    store_four(y, i, count, wide, make_float4(f(v.x, u.x), f(v.y, u.y), f(v.z, u.z), f(v.w, u.w)));
}

/* b NULL: f sees a[i] twice. */
template <class F>
static cudaError_t each(cudaStream_t stream, float *y, const float *a, const float *b, F f,
                        size_t count)
{
    if (!count)
        return cudaSuccess;
    const bool wide = fours_in(y, 4) && fours_in(a, 4) && fours_in(b, 4);
    return launch_early(each_kernel<F>, each_blocks(count), dim3(EACH_THREADS), 0, stream, y, a, b,
                        f, count, wide);
}

template <class F>
__global__ void __launch_bounds__(EACH_THREADS)
    each_pair_kernel(float *y, float *z, const float *a, const float *b, const float *c, F f,
                     size_t count, bool wide)
{
    early_begin();
    const size_t i = ((size_t)blockIdx.x * EACH_THREADS + threadIdx.x) * 4;
    if (i >= count)
        return;
    const float4 u = load_four(a, i, count, wide, 0.0f), v = load_four(b, i, count, wide, 0.0f),
                 w = load_four(c, i, count, wide, 0.0f);
    const float2 first = f(u.x, v.x, w.x), second = f(u.y, v.y, w.y), third = f(u.z, v.z, w.z),
                 fourth = f(u.w, v.w, w.w);
    store_four(y, i, count, wide, make_float4(first.x, second.x, third.x, fourth.x));
    store_four(z, i, count, wide, make_float4(first.y, second.y, third.y, fourth.y));
}

template <class F>
static cudaError_t each_pair(cudaStream_t stream, float *y, float *z, const float *a,
                             const float *b, const float *c, F f, size_t count)
{
    if (!count)
        return cudaSuccess;
    const bool wide =
        fours_in(y, 4) && fours_in(z, 4) && fours_in(a, 4) && fours_in(b, 4) && fours_in(c, 4);
    return launch_early(each_pair_kernel<F>, each_blocks(count), dim3(EACH_THREADS), 0, stream, y,
                        z, a, b, c, f, count, wide);
}
