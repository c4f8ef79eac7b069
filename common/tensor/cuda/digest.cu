/* The digest of weights (tensor/digest.h): sums of integers, exact in any order. */
#include "tensor/cuda/hash_sum.h"
#include "tensor/cuda/rows.h"

enum { THREADS = 256, WARPS = THREADS / 32, PIECE = 8 };

/* w is taken in pieces of 8 values; the first value that begins one is `lead`. */
__global__ void __launch_bounds__(THREADS)
    digest_kernel(uint64_t *part, const uint16_t *w, unsigned long long first, size_t count,
                  int lead)
{
    SHARED(sum128[WARPS], sums);
    const size_t step = (size_t)gridDim.x * THREADS,
                 mine = (size_t)blockIdx.x * THREADS + threadIdx.x;
    const size_t pieces = (count - lead) / PIECE, tail = lead + pieces * PIECE;
    sum128 sum = {0, 0};
#pragma unroll 4
    for (size_t p = mine; p < pieces; p += step) {
        const size_t i = lead + p * PIECE;
        const uint4 v = *(const uint4 *)(w + i);
        const unsigned words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            add(sum, hash_of(first + i + j, words[j / 2] >> 16 * (j % 2) & 0xffff));
    }
    if (mine < (size_t)lead)
        add(sum, hash_of(first + mine, w[mine]));
    if (mine < count - tail)
        add(sum, hash_of(first + tail + mine, w[tail + mine]));
    sum = block_sum128<THREADS>(sum, sums);
    if (threadIdx.x)
        return;
    part[2 * blockIdx.x] = sum.high;
    part[2 * blockIdx.x + 1] = sum.low;
}

size_t rows_digest_parts(size_t count)
{
    const size_t parts = (count + THREADS * PIECE - 1) / (THREADS * PIECE);
    return parts < DIGEST_PARTS ? parts : (size_t)DIGEST_PARTS;
}

cudaError_t rows_digest(cudaStream_t stream, uint64_t *part, const uint16_t *w, size_t first,
                        size_t count)
{
    if (!count)
        return cudaSuccess;
    const size_t off = (uintptr_t)w / sizeof *w % PIECE, lead = off ? PIECE - off : 0;
    return launch(digest_kernel, dim3((unsigned)rows_digest_parts(count)), dim3(THREADS), 0, stream,
                  part, w, first, count, (int)(lead < count ? lead : count));
}
