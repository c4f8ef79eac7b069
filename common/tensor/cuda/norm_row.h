/* Rows of the norms and of their backward: a narrow one is a warp's, others are a block's.
 *
 *     template <int T> __global__ void __launch_bounds__(THREADS) kernel(some_call a)
 *         early_begin();
 *         const int n = row_of<T>(), first = threadIdx.x % T * 4;
 *         const float sum = row_sum<T>(mine, scratch);         -- the same in every thread of the row
 *     return launch_rows(stream, kernel<32>, kernel<THREADS>, a);      -- a.N rows of a.C elements */
#pragma once
#include "tensor/cuda/fours.h"
#include "tensor/cuda/rows.h"

enum { THREADS = 256, WARPS = THREADS / 32 };

template <int T> __device__ __forceinline__ int row_of()
{
    return blockIdx.x * (THREADS / T) + threadIdx.x / T;
}

/* By the tree that rows.h documents. scratch: a float for each warp, as block_sum has it. */
template <int T> __device__ __forceinline__ float row_sum(float x, float *scratch)
{
    if constexpr (T == 32)
        return warp_sum(x);
    else
        return block_sum<T>(x, scratch);
}

__device__ __forceinline__ float4 minus(float4 v, float m)
{
    return make_float4(__fsub_rn(v.x, m), __fsub_rn(v.y, m), __fsub_rn(v.z, m), __fsub_rn(v.w, m));
}

template <class A>
static inline cudaError_t launch_rows(cudaStream_t stream, void (*narrow)(A), void (*broad)(A), A a)
{
    if (!a.N)
        return cudaSuccess;
    if (a.C <= ROW_NARROW)
        return launch_early(narrow, dim3((a.N + WARPS - 1) / WARPS), dim3(THREADS), 0, stream, a);
    return launch_early(broad, dim3(a.N), dim3(THREADS), 0, stream, a);
}
