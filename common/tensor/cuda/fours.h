/* Four consecutive elements of an array at a time: 16 bytes in one access where the array allows
 * it, single ones elsewhere. The bits are the same.
 *
 *     const bool wide = fours_in(x, C);            -- on the host: rows of C floats from x on
 *     float4 v = load_four(x, i, C, wide, 0.0f);   -- elements from C on: 0
 *     store_four(y, i, C, wide, v);  */
#pragma once
#include "tensor/cuda/device.h"

/* Whether each row of C elements begins where four of them can be read at once. */
template <class T> static inline bool fours_in(const T *rows, size_t C)
{
    return (uintptr_t)rows % (4 * sizeof(T)) == 0 && C % 4 == 0;
}

__device__ __forceinline__ float4 load_four(const float *p, size_t i, size_t count, bool wide,
                                            float beyond)
{
    if (wide && i + 4 <= count)
        return *(const float4 *)(p + i);
    return make_float4(i < count ? p[i] : beyond, i + 1 < count ? p[i + 1] : beyond,
                       i + 2 < count ? p[i + 2] : beyond, i + 3 < count ? p[i + 3] : beyond);
}

__device__ __forceinline__ void store_four(float *p, size_t i, size_t count, bool wide, float4 v)
{
    if (wide && i + 4 <= count) {
        *(float4 *)(p + i) = v;
        return;
    }
    if (i < count)
        p[i] = v.x;
    if (i + 1 < count)
        p[i + 1] = v.y;
    if (i + 2 < count)
        p[i + 2] = v.z;
    if (i + 3 < count)
        p[i + 3] = v.w;
}

__device__ __forceinline__ float widened(unsigned bits)
{
    return __uint_as_float(bits << 16);
}

/* bf16_from_float of tensor.h: ties to even; a NaN keeps the upper half of its payload. */
__device__ __forceinline__ unsigned nearest_bf16(float x)
{
    const uint32_t bits = __float_as_uint(x), nearest = bits + 0x7fffu + (bits >> 16 & 1);
    return ((bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : nearest) >> 16;
}

/* bf16 as float; elements from count on: 0. */
__device__ __forceinline__ float4 load_four_bf16(const uint16_t *p, size_t i, size_t count,
                                                 bool wide)
{
    if (wide && i + 4 <= count) {
        const uint2 two = *(const uint2 *)(p + i);
        return make_float4(widened(two.x & 0xffff), widened(two.x >> 16), widened(two.y & 0xffff),
                           widened(two.y >> 16));
    }
    return make_float4(i < count ? widened(p[i]) : 0.0f, i + 1 < count ? widened(p[i + 1]) : 0.0f,
                       i + 2 < count ? widened(p[i + 2]) : 0.0f,
                       i + 3 < count ? widened(p[i + 3]) : 0.0f);
}
