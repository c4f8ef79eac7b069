/* The hash whose sum is a digest of weights (tensor/digest_hash.h), and sums of it modulo 2^128, in
 * kernels.
 *
 *     add(sum, hash_of(i, value));
 *     sum = block_sum128<256>(sum, scratch);         -- of all threads, in thread 0 */
#pragma once
#include "tensor/cuda/device.h"

struct sum128 {
    unsigned long long high, low;
};

__device__ __forceinline__ void add(sum128 &sum, sum128 more)
{
    sum.low += more.low;
    sum.high += more.high + (sum.low < more.low);
}

__device__ __forceinline__ void subtract(sum128 &sum, sum128 less)
{
    sum.high -= less.high + (sum.low < less.low);
    sum.low -= less.low;
}

__device__ __forceinline__ sum128 hash_of(unsigned long long i, unsigned value)
{
    unsigned long long x = ((i << 16 | value) + 0x9e3779b97f4a7c15ull) * 0xbf58476d1ce4e5b9ull;
    x ^= x >> 32;
    const unsigned long long high = x * 0x94d049bb133111ebull, low = x * 0xd6e8feb86659fd93ull;
    return sum128{high ^ high >> 29, low ^ low >> 32};
}

/* scratch: one for each warp. */
template <int THREADS> __device__ __forceinline__ sum128 block_sum128(sum128 sum, sum128 *scratch)
{
#pragma unroll
    for (int with = 16; with; with /= 2)
        add(sum, sum128{__shfl_xor_sync(~0u, sum.high, with), __shfl_xor_sync(~0u, sum.low, with)});
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = sum;
    __syncthreads();
    for (int i = 1; i < THREADS / 32 && threadIdx.x == 0; i++)
        add(sum, scratch[i]);
    return sum;
}
