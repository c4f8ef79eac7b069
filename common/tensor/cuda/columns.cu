/* Sums over rows, one chain for each column: dweight of the norms, dbias. All threads of a block
 * load a tile of ROWS rows. Meanwhile one lane for each column goes down the tile before it, in
 * shared memory, so the chain waits for no load. */
#include "tensor/cuda/device.h"
#include "tensor/cuda/rows_backward.h"

enum { COLUMNS = 16, ROWS = 256, THREADS = 256, EACH = ROWS * COLUMNS / THREADS };

/* A source's term of a column's sum: x y, rounded with it once; or a number alone. */
struct rms_terms {
    typedef float2 term;
    const float *dy, *x, *r;
    __device__ term at(size_t i, int n) const
    {
        return make_float2(dy[i], __fmul_rn(x[i], r[n]));
    }
    static __device__ float more(float sum, term t)
    {
        return __fmaf_rn(t.x, t.y, sum);
    }
};
struct layer_terms {
    typedef float2 term;
    const float *dy, *x, *stats;
    __device__ term at(size_t i, int n) const
    {
        const float centred = __fsub_rn(x[i], stats[2 * n]);
        return make_float2(dy[i], __fmul_rn(centred, stats[2 * n + 1]));
    }
    static __device__ float more(float sum, term t)
    {
        return __fmaf_rn(t.x, t.y, sum);
    }
};
struct plain_terms {
    typedef float term;
    const float *dy;
    __device__ term at(size_t i, int) const
    {
        return dy[i];
    }
    static __device__ float more(float sum, term t)
    {
        return __fadd_rn(sum, t);
    }
};

/* The thread's row of its e-th term in a tile. */
__device__ __forceinline__ int row_of(int e)
{
    return e * (THREADS / COLUMNS) + threadIdx.x / COLUMNS;
}

/* The thread's terms of the tile that begins at row `first`; zeros outside, which nobody adds. */
template <class S>
__device__ __forceinline__ void load_terms(typename S::term (&mine)[EACH], const S &source,
                                           int first, int N, int column, int C)
{
#pragma unroll
    for (int e = 0; e < EACH; e++) {
        const int n = first + row_of(e);
        mine[e] = typename S::term{};
        if (n < N && column < C)
            mine[e] = source.at((size_t)n * C + column, n);
    }
}

template <class S>
__global__ void __launch_bounds__(THREADS) columns_kernel(S source, float *sums, int N, int C)
{
    SHARED(typename S::term[ROWS][COLUMNS], tile);
    const int mine = threadIdx.x % COLUMNS, column = blockIdx.x * COLUMNS + mine;
    const bool adds = threadIdx.x < COLUMNS && column < C;
    float sum = adds ? sums[column] : 0.0f;
    typename S::term terms[EACH];
    load_terms(terms, source, 0, N, column, C);
    for (int first = 0; first < N; first += ROWS) {
#pragma unroll
        for (int e = 0; e < EACH; e++)
            tile[row_of(e)][mine] = terms[e];
        __syncthreads();
        load_terms(terms, source, first + ROWS, N, column, C);
        const int rows = min((int)ROWS, N - first);
        if (adds) {
#pragma unroll 16
            for (int n = 0; n < rows; n++)
                sum = S::more(sum, tile[n][mine]);
        }
        __syncthreads();
    }
    if (adds)
        sums[column] = sum;
}

template <class S>
static cudaError_t columns(cudaStream_t stream, S source, float *sums, int N, int C)
{
    if (!N)
        return cudaSuccess;
    return launch(columns_kernel<S>, dim3((C + COLUMNS - 1) / COLUMNS), dim3(THREADS), 0, stream,
                  source, sums, N, C);
}

cudaError_t rows_rmsnorm_dweight(cudaStream_t stream, float *dweight, const float *dy,
                                 const float *x, const float *r, int N, int C)
{
    return columns(stream, rms_terms{dy, x, r}, dweight, N, C);
}

cudaError_t rows_layernorm_dweight(cudaStream_t stream, float *dweight, const float *dy,
                                   const float *x, const float *stats, int N, int C)
{
    return columns(stream, layer_terms{dy, x, stats}, dweight, N, C);
}

cudaError_t rows_bias_backward(cudaStream_t stream, float *dbias, const float *dy, int N, int C)
{
    return columns(stream, plain_terms{dy}, dbias, N, C);
}
