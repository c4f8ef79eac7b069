/* Sums over rows, one chain for each column: dweight of the norms, dbias. All threads of a block
 * load a tile of ROWS rows. Meanwhile one lane for each column goes down the tile before it, in
 * shared memory, so the chain waits for no load. */
#include "tensor/cuda/device.h"
#include "tensor/cuda/rows_backward.h"

enum { COLUMNS = 16, ROWS = 128, THREADS = 256, EACH = ROWS * COLUMNS / THREADS };

struct term {
    float a, b;
};

/* A source's term of a column's sum: a b, rounded with it once; or a alone. */
struct rms_terms {
    const float *dy, *x, *r;
    __device__ term at(size_t i, int n) const
    {
        return term{dy[i], __fmul_rn(x[i], r[n])};
    }
    static __device__ float more(float sum, float a, float b)
    {
        return __fmaf_rn(a, b, sum);
    }
};
struct layer_terms {
    const float *dy, *x, *stats;
    __device__ term at(size_t i, int n) const
    {
        return term{dy[i], __fmul_rn(__fsub_rn(x[i], stats[2 * n]), stats[2 * n + 1])};
    }
    static __device__ float more(float sum, float a, float b)
    {
        return __fmaf_rn(a, b, sum);
    }
};
struct plain_terms {
    const float *dy;
    __device__ term at(size_t i, int) const
    {
        return term{dy[i], 0.0f};
    }
    static __device__ float more(float sum, float a, float)
    {
        return __fadd_rn(sum, a);
    }
};

struct tile {
    float a[ROWS][COLUMNS], b[ROWS][COLUMNS];
};

/* The thread's terms of the tile that begins at row `first`; zeros outside, which nobody adds. */
template <class S>
__device__ __forceinline__ void load_terms(term (&mine)[EACH], const S &source, int first, int N,
                                           int column, int C)
{
#pragma unroll
    for (int e = 0; e < EACH; e++) {
        const int n = first + e * (THREADS / COLUMNS) + threadIdx.x / COLUMNS;
        mine[e] = n < N && column < C ? source.at((size_t)n * C + column, n) : term{0.0f, 0.0f};
    }
}

template <class S>
__global__ void __launch_bounds__(THREADS) columns_kernel(S source, float *sums, int N, int C)
{
    SHARED(tile, shared);
    const int mine = threadIdx.x % COLUMNS, column = blockIdx.x * COLUMNS + mine;
    const bool adds = threadIdx.x < COLUMNS && column < C;
    float sum = adds ? sums[column] : 0.0f;
    term terms[EACH];
    load_terms(terms, source, 0, N, column, C);
    for (int first = 0; first < N; first += ROWS) {
#pragma unroll
        for (int e = 0; e < EACH; e++) {
            const int row = e * (THREADS / COLUMNS) + threadIdx.x / COLUMNS;
            shared.a[row][mine] = terms[e].a;
            shared.b[row][mine] = terms[e].b;
        }
        __syncthreads();
        load_terms(terms, source, first + ROWS, N, column, C);
        const int rows = min((int)ROWS, N - first);
        if (adds) {
#pragma unroll 8
            for (int n = 0; n < rows; n++)
                sum = S::more(sum, shared.a[n][mine], shared.b[n][mine]);
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
