/* Packing of weights, and of a call's x. */
#include "tensor/cuda/gemm_tile.h"

/* ---- weights */

/* A thread packs eight elements of a row. */
static __global__ void pack_weight_kernel(bf16 *packed, const bf16 *w, int N, int K, int row,
                                          int rows, int padded, bool vectors)
{
    const size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    const int pieces = packed_steps(K) * (GEMM_STEP / 8), k = (int)(i % pieces) * 8;
    const size_t r = i / pieces;
    if (r >= (size_t)padded)
        return;
    alignas(16) bf16 piece[8];
    if (vectors && r < (size_t)rows && k < K) {
        *(uint4 *)piece = *(const uint4 *)(w + r * K + k);
    } else {
#pragma unroll
        for (int e = 0; e < 8; e++)
            piece[e] = r < (size_t)rows && k + e < K ? w[r * K + k + e] : __ushort_as_bfloat16(0);
    }
    *(uint4 *)(packed + packed_at(N, K, row + (int)r, k)) = *(const uint4 *)piece;
}

static __global__ void unpack_weight_kernel(bf16 *w, const bf16 *packed, int N, int K, size_t first,
                                            size_t count)
{
    const size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i < count)
        w[i] = packed[packed_at(N, K, (int)((first + i) / K), (int)((first + i) % K))];
}

static __global__ void change_weight_kernel(bf16 *packed, bf16 *rows, int N, int K, size_t first,
                                            const uint32_t *index, const bf16 *value, size_t count,
                                            unsigned *outside)
{
    const size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i >= count)
        return;
    const size_t at = first + index[i];
    if (at >= (size_t)N * K) {
        if (outside)
            atomicAdd(outside, 1u);
        return;
    }
    if (packed)
        packed[packed_at(N, K, (int)(at / K), (int)(at % K))] = value[i];
    if (rows)
        rows[at] = value[i];
}

static dim3 blocks_of(size_t threads)
{
    return dim3((unsigned)((threads + 255) / 256));
}

size_t packed_bytes(int N, int K)
{
    return (size_t)((N + 7) / 8 * 8) * packed_steps(K) * GEMM_STEP * sizeof(bf16);
}

cudaError_t pack_weight(cudaStream_t stream, void *packed, const uint16_t *w, int N, int K, int row,
                        int rows)
{
    if (N < 1 || K < 1 || row < 0 || rows < 0 || rows > N - row || row % 8 ||
        (rows % 8 && row + rows != N))
        return cudaErrorInvalidValue;
    const int padded = (rows + 7) / 8 * 8;
    const bool vectors = K % 8 == 0 && (uintptr_t)w % 16 == 0;
    const size_t threads = (size_t)padded * packed_steps(K) * (GEMM_STEP / 8);
    if (!threads)
        return cudaSuccess;
    return launch(pack_weight_kernel, blocks_of(threads), dim3(256), 0, stream, (bf16 *)packed,
                  (const bf16 *)w, N, K, row, rows, padded, vectors);
}

cudaError_t unpack_weight(cudaStream_t stream, uint16_t *w, const void *packed, int N, int K,
                          size_t first, size_t count)
{
    const size_t all = (size_t)N * K;
    if (N < 1 || K < 1 || first > all || count > all - first)
        return cudaErrorInvalidValue;
    if (!count)
        return cudaSuccess;
    return launch(unpack_weight_kernel, blocks_of(count), dim3(256), 0, stream, (bf16 *)w,
                  (const bf16 *)packed, N, K, first, count);
}

cudaError_t change_weight(cudaStream_t stream, void *packed, uint16_t *rows, int N, int K,
                          size_t first, const uint32_t *index, const uint16_t *value, size_t count,
                          unsigned *outside)
{
    if (N < 1 || K < 1)
        return cudaErrorInvalidValue;
    if (!count)
        return cudaSuccess;
    return launch(change_weight_kernel, blocks_of(count), dim3(256), 0, stream, (bf16 *)packed,
                  (bf16 *)rows, N, K, first, index, (const bf16 *)value, count, outside);
}

/* ---- x, dy */

/* x[m,k..k+7], zeros outside. */
static __device__ __forceinline__ void eight_of_x(float (&v)[8], const float *x, int M, int K,
                                                  int m, int k, bool vectors)
{
    const float *at = x + (size_t)m * K + k;
    if (vectors && m < M && k + 8 <= K) {
        const float4 low = *(const float4 *)at, high = *(const float4 *)(at + 4);
        v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
        v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
        return;
    }
#pragma unroll
    for (int e = 0; e < 8; e++)
        v[e] = m < M && k + e < K ? at[e] : 0.0f;
}

/* The next piece of x: the rest that the pieces before leave, rounded to bf16. Infinity and NaN
 * leave none, so the first piece has them alone. */
static __device__ __forceinline__ bf16 next_piece(float &left)
{
    const bf16 piece = __float2bfloat16_rn(left);
    const float rest = __fsub_rn(left, __bfloat162float(piece));
    left = fabsf(rest) <= 3.0e38f ? rest : 0.0f;
    return piece;
}

/* Rows of the form: eight tokens' first pieces, their second, their third, the next eight tokens'.
 * Rows that pad M are zeros. */
template <int PIECES>
static __global__ void pack_x_kernel(unsigned char *to, const float *x, int M, int K, bool vectors,
                                     unsigned *counter, int counters)
{
    early_begin();
    const size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (i < (size_t)counters)
        counter[i] = 0;
    const int steps = packed_steps(K), padded = (M + 7) / 8 * 8, pieces = steps * (GEMM_STEP / 8);
    const size_t m_ = i / pieces;
    if (m_ >= (size_t)padded)
        return;
    const int m = (int)m_, c = (int)(i % pieces);
    float left[8];
    eight_of_x(left, x, M, K, m, c * 8, vectors);
#pragma unroll
    for (int p = 0; p < PIECES; p++) {
        alignas(16) bf16 piece[8];
#pragma unroll
        for (int e = 0; e < 8; e++)
            piece[e] = next_piece(left[e]);
        const size_t row = (size_t)(c / 8) * padded * PIECES + (m / 8 * PIECES + p) * 8 + m % 8;
        *(uint4 *)(to + row * 128 + ((c ^ m) & 7) * 16) = *(const uint4 *)piece;
    }
}

cudaError_t pack_x(cudaStream_t stream, unsigned char *to, const float *x, int M, int K, int pieces,
                   unsigned *counter, int counters)
{
    const size_t eights = (size_t)((M + 7) / 8 * 8) * packed_steps(K) * (GEMM_STEP / 8);
    const size_t threads = eights < (size_t)counters ? (size_t)counters : eights;
    const bool vectors = K % 4 == 0 && (uintptr_t)x % 16 == 0;
    return launch_early(pieces == 3 ? pack_x_kernel<3> : pack_x_kernel<1>, blocks_of(threads),
                        dim3(256), 0, stream, to, x, M, K, vectors, counter, counters);
}

static __global__ void pack_chunks_kernel(unsigned char *to, const float *x, int C, int x_rows,
                                          const gemm_chunk *chunk, int chunks, bool vectors,
                                          unsigned *counter, int counters)
{
    early_begin();
    const size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x;
    if (blockIdx.y == 0 && i < (size_t)counters)
        counter[i] = 0;
    const int pieces = packed_steps(C) * (GEMM_STEP / 8);
    const int r = (int)(i / pieces), c = (int)(i % pieces);
    for (int n = blockIdx.y; n < chunks; n += gridDim.y) {
        const gemm_chunk now = chunk[n];
        if (r >= (now.rows + GEMM_CORE - 1) / GEMM_CORE * GEMM_CORE)
            continue;
        float v[8];
        eight_of_x(v, x + (size_t)now.first * C, now.rows, C, r, c * 8, vectors);
        alignas(16) bf16 piece[8];
#pragma unroll
        for (int e = 0; e < 8; e++)
            piece[e] = __float2bfloat16_rn(v[e]);
        const size_t row = (size_t)(c / 8) * x_rows + now.at + r;
        *(uint4 *)(to + row * 128 + ((c ^ r) & 7) * 16) = *(const uint4 *)piece;
    }
}

cudaError_t pack_chunks(cudaStream_t stream, unsigned char *to, const float *x, int C, int x_rows,
                        const gemm_chunk *chunk, int chunks, int longest, unsigned *counter,
                        int counters)
{
    const size_t eights = (size_t)longest * packed_steps(C) * (GEMM_STEP / 8);
    const size_t threads = eights < (size_t)counters ? (size_t)counters : eights;
    const bool vectors = C % 4 == 0 && (uintptr_t)x % 16 == 0;
    dim3 grid = blocks_of(threads);
    grid.y = (unsigned)(chunks < 65535 ? chunks : 65535);
    return launch_early(pack_chunks_kernel, grid, dim3(256), 0, stream, to, x, C, x_rows, chunk,
                        chunks, vectors, counter, counters);
}
