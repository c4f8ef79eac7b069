/* Rows added to the rows that an index names. Rows of one destination are brought together first,
 * in their order: where each of them lies among all, sorted by destination, is counted. So a block
 * has one destination's sum to itself, and the order is the CPU's. */
#include "tensor/cuda/fours.h"
#include "tensor/cuda/rows_backward.h"

enum { SORT_WARPS = 8, SORT_EACH = 4, SORT_THREADS = SORT_WARPS * 32 };
enum { ADD_THREADS = 64, ADD_AHEAD = 8 };

struct sorted_rows {
    int32_t *from; // (count) rows of x by destination; those of one in ascending order
    int32_t *to;   // (count) their destinations
};

/* A warp counts, for SORT_EACH rows, those that come before them. */
__global__ void __launch_bounds__(SORT_THREADS)
    sort_kernel(sorted_rows ret, const int32_t *row, int count)
{
    const int lane = threadIdx.x % 32;
    const int first = (blockIdx.x * SORT_WARPS + threadIdx.x / 32) * SORT_EACH;
    int32_t key[SORT_EACH];
    unsigned before[SORT_EACH] = {};
#pragma unroll
    for (int e = 0; e < SORT_EACH; e++)
        key[e] = first + e < count ? row[first + e] : 0;
    for (int i = lane; i < count; i += 32) {
        const int32_t other = row[i];
#pragma unroll
        for (int e = 0; e < SORT_EACH; e++)
            before[e] += other < key[e] || (other == key[e] && i < first + e);
    }
#pragma unroll
    for (int e = 0; e < SORT_EACH; e++) {
        const unsigned place = __reduce_add_sync(0xffffffffu, before[e]);
        if (lane == 0 && first + e < count) {
            ret.from[place] = first + e;
            ret.to[place] = key[e];
        }
    }
}

/* The block of a destination's first row adds them all. */
__global__ void __launch_bounds__(ADD_THREADS)
    add_kernel(float *y, const float *x, sorted_rows rows, int count, int C, bool wide)
{
    const int first = blockIdx.x, i = (blockIdx.y * ADD_THREADS + threadIdx.x) * 4;
    const int32_t to = rows.to[first];
    if ((first && rows.to[first - 1] == to) || i >= C)
        return;
    float *const row = y + (size_t)to * C;
    float4 sum = load_four(row, i, C, wide, 0.0f);
    for (int begin = first; begin < count && rows.to[begin] == to; begin += ADD_AHEAD) {
        float4 more[ADD_AHEAD];
        bool mine[ADD_AHEAD];
#pragma unroll
        for (int e = 0; e < ADD_AHEAD; e++) {
            mine[e] = begin + e < count && rows.to[begin + e] == to;
            if (mine[e])
                more[e] = load_four(x + (size_t)rows.from[begin + e] * C, i, C, wide, 0.0f);
        }
#pragma unroll
        for (int e = 0; e < ADD_AHEAD; e++)
            if (mine[e])
                sum = make_float4(__fadd_rn(sum.x, more[e].x), __fadd_rn(sum.y, more[e].y),
                                  __fadd_rn(sum.z, more[e].z), __fadd_rn(sum.w, more[e].w));
    }
    store_four(row, i, C, wide, sum);
}

size_t rows_scatter_bytes(int count)
{
    return 2 * (size_t)count * sizeof(int32_t);
}

cudaError_t rows_scatter_add(cudaStream_t stream, float *y, const float *x, const int32_t *row,
                             int count, int C, void *work)
{
    const sorted_rows rows = {(int32_t *)work, (int32_t *)work + count};
    const int each = SORT_WARPS * SORT_EACH, columns = ADD_THREADS * 4;
    if (!count)
        return cudaSuccess;
    TRY_CUDA(launch(sort_kernel, dim3((count + each - 1) / each), dim3(SORT_THREADS), 0, stream,
                    rows, row, count));
    return launch(add_kernel, dim3(count, (C + columns - 1) / columns), dim3(ADD_THREADS), 0,
                  stream, y, x, rows, count, C, fours_in(y, C) && fours_in(x, C));
}
