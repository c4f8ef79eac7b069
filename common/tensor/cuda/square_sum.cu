/* The sum of squares in double, for clipping. Pieces of a fixed length have a block each; one more
 * block sums their sums. So the order follows from the count alone. */
#include "tensor/cuda/fours.h"
#include "tensor/cuda/optimizer.h"

enum { PIECE = 1 << 14, THREADS = 256, WARPS = THREADS / 32 };

/* By the tree of a warp, then warps ascending. */
__device__ __forceinline__ double block_sum(double x, double *scratch)
{
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0)
        scratch[threadIdx.x / 32] = x;
    __syncthreads();
    double sum = scratch[0];
#pragma unroll
    for (int w = 1; w < WARPS; w++)
        sum = __dadd_rn(sum, scratch[w]);
    return sum;
}

/* A float's square is exact in double. */
__device__ __forceinline__ double more(double sum, float x)
{
    return __fma_rn((double)x, (double)x, sum);
}

__global__ void __launch_bounds__(THREADS)
    square_kernel(double *piece, const float *x, size_t count, bool wide)
{
    SHARED(double[WARPS], scratch);
    const size_t begin = (size_t)blockIdx.x * PIECE;
    double sum = 0.0;
#pragma unroll 4
    for (int i = threadIdx.x * 4; i < PIECE; i += THREADS * 4) {
        const float4 v = load_four(x, begin + i, count, wide, 0.0f);
        sum = more(more(more(more(sum, v.x), v.y), v.z), v.w);
    }
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0)
        piece[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(THREADS)
    square_total_kernel(double *ret, const double *piece, size_t pieces)
{
    SHARED(double[WARPS], scratch);
    double sum = 0.0;
#pragma unroll 8
    for (size_t p = threadIdx.x; p < pieces; p += THREADS)
        sum = __dadd_rn(sum, piece[p]);
    sum = block_sum(sum, scratch);
    if (threadIdx.x == 0)
        *ret = sum;
}

static size_t pieces_of(size_t count)
{
    return (count + PIECE - 1) / PIECE;
}

size_t optimizer_square_bytes(size_t count)
{
    return (1 + pieces_of(count)) * sizeof(double);
}

cudaError_t optimizer_square_sum(cudaStream_t stream, const float *x, size_t count, void *work)
{
    double *const ret = (double *)work, *const piece = ret + 1;
    const size_t pieces = pieces_of(count);
    if (pieces)
        TRY_CUDA(launch(square_kernel, dim3((unsigned)pieces), dim3(THREADS), 0, stream, piece, x,
                        count, fours_in(x, 4)));
    return launch(square_total_kernel, dim3(1), dim3(THREADS), 0, stream, ret, piece, pieces);
}
