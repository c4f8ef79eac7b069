/* Marked elements as a list, in their order: by sums of counts, over blocks and within one. */
#include "tensor/cuda/change_list.h"
#include "tensor/cuda/device.h"

enum { THREADS = 256, WARPS = THREADS / 32, WORD = 32, ROUND = THREADS * WORD };
static_assert(CHANGE_BLOCK % ROUND == 0, "rounds of a word for each thread fill a block");

/* Inclusive sums over the threads of the block, in their order, and the sum of all. scratch: one
 * for each warp; it is free again when the call returns. */
template <class T> static __device__ __forceinline__ T sums_to(T x, T *scratch, T *ret_all)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int by = 1; by < 32; by *= 2) {
        const T below = __shfl_up_sync(0xffffffffu, x, by);
        x += lane >= by ? below : 0;
    }
    if (lane == 31)
        scratch[warp] = x;
    __syncthreads();
    T before = 0, all = 0;
#pragma unroll
    for (int w = 0; w < WARPS; w++) {
        before += w < warp ? scratch[w] : 0;
        all += scratch[w];
    }
    __syncthreads();
    *ret_all = all;
    return x + before;
}

/* A block's elements: those from `at` on of the extent, at most CHANGE_BLOCK. */
struct block_of {
    size_t first, at, left;
};

static __device__ __forceinline__ block_of find_block(const change_extent *extent, int extents,
                                                      size_t block)
{
    int low = 0, high = extents; // the last extent that begins at or before the block
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (extent[middle].block <= block)
            low = middle;
        else
            high = middle;
    }
    const size_t at = (block - extent[low].block) * CHANGE_BLOCK;
    const size_t left = extent[low].count - at;
    return {extent[low].first, at, left < CHANGE_BLOCK ? left : (size_t)CHANGE_BLOCK};
}

/* The marks of the block's elements i..i+31. */
static __device__ __forceinline__ uint32_t marks_at(const uint32_t *marks, const block_of &b,
                                                    size_t i)
{
    if (i >= b.left)
        return 0;
    const uint32_t word = marks[(b.first + b.at + i) / WORD];
    return b.left - i < WORD ? word & ((1u << (b.left - i)) - 1) : word;
}

static __global__ void __launch_bounds__(THREADS)
    count_kernel(uint64_t *place, const uint32_t *marks, const change_extent *extent, int extents)
{
    SHARED(unsigned[WARPS], scratch);
    const block_of b = find_block(extent, extents, blockIdx.x);
    unsigned mine = 0, all;
    for (size_t i = threadIdx.x * WORD; i < CHANGE_BLOCK; i += ROUND)
        mine += __popc(marks_at(marks, b, i));
    sums_to(mine, scratch, &all);
    if (threadIdx.x == 0)
        place[blockIdx.x] = all;
}

/* One block: the counts become places. */
static __global__ void __launch_bounds__(THREADS)
    place_kernel(uint64_t *place, size_t blocks, uint64_t *begin, const change_extent *extent,
                 int extents)
{
    SHARED(unsigned long long[WARPS], scratch);
    unsigned long long before = 0;
    for (size_t from = 0; from < blocks; from += THREADS) {
        const size_t i = from + threadIdx.x;
        const unsigned long long mine = i < blocks ? place[i] : 0;
        unsigned long long all;
        const unsigned long long to = sums_to(mine, scratch, &all);
        if (i < blocks)
            place[i] = before + to - mine;
        before += all;
    }
    if (threadIdx.x == 0)
        place[blocks] = before;
    __syncthreads();
    for (int e = threadIdx.x; e <= extents; e += THREADS)
        begin[e] = e < extents ? place[extent[e].block] : before;
}

static __global__ void __launch_bounds__(THREADS) list_kernel(change_listing c)
{
    SHARED(unsigned[WARPS], scratch);
    const size_t all = c.place[c.blocks];
    if (all > c.most)
        return;
    const block_of b = find_block(c.extent, c.extents, blockIdx.x);
    uint32_t *index = (uint32_t *)c.list + c.place[blockIdx.x];
    uint16_t *value = (uint16_t *)((uint32_t *)c.list + all) + c.place[blockIdx.x];
    unsigned before = 0;
    for (size_t round = 0; round < b.left; round += ROUND) {
        const size_t i = round + threadIdx.x * WORD;
        uint32_t left = marks_at(c.marks, b, i);
        const unsigned mine = __popc(left);
        unsigned some;
        unsigned to = before + sums_to(mine, scratch, &some) - mine;
        for (; left; left &= left - 1, to++) {
            const size_t at = b.at + i + (__ffs((int)left) - 1);
            index[to] = (uint32_t)at;
            value[to] = c.w[b.first + at];
        }
        before += some;
    }
}

cudaError_t list_changes(cudaStream_t stream, const change_listing *c)
{
    const dim3 blocks((unsigned)c->blocks), threads(THREADS);
    if (c->blocks >> 31)
        return cudaErrorInvalidValue;
    if (c->blocks)
        TRY_CUDA(launch(count_kernel, blocks, threads, 0, stream, c->place, c->marks, c->extent,
                        c->extents));
    TRY_CUDA(launch(place_kernel, dim3(1), threads, 0, stream, c->place, c->blocks, c->begin,
                    c->extent, c->extents));
    return c->blocks ? launch(list_kernel, blocks, threads, 0, stream, *c) : cudaSuccess;
}
