/* Where an element of a packed weight lies (gemm.h), for kernels.
 *
 *     const bf16 w = packed[packed_at(N, K, n, k)];    -- W[n,k]; k % 8 == 0: eight in a row */
#pragma once
#include "tensor/cuda/gemm.h"
#include "tensor/cuda/ptx.h"

__host__ __device__ __forceinline__ int packed_steps(int K)
{
    return (K + GEMM_STEP - 1) / GEMM_STEP;
}

/* Rows of a tile: 64, or those of the last, up to a multiple of eight. */
__host__ __device__ __forceinline__ int packed_rows(int N, int tile)
{
    const int left = (N + 7) / 8 * 8 - tile * GEMM_TILE;
    return left < GEMM_TILE ? left : (int)GEMM_TILE;
}

/* Of rows of 64 elements: eight pieces, turned by the row. */
__device__ __forceinline__ int packed_in_row(int row, int k)
{
    return ((k / 8 ^ row) & 7) * 8 + k % 8;
}

__device__ __forceinline__ size_t packed_at(int N, int K, int n, int k)
{
    const int tile = n / GEMM_TILE, row = n % GEMM_TILE;
    const size_t rows = (size_t)tile * GEMM_TILE * packed_steps(K) +
                        (size_t)(k / GEMM_STEP) * packed_rows(N, tile) + row;
    return rows * GEMM_STEP + packed_in_row(row, k % GEMM_STEP);
}
