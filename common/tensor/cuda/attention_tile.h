/* Pieces of split and walked tiles: pages in shared memory, the online softmax, how states meet. A
 * warp has 16 rows, as mma.m16n8k16 does: a lane holds rows lane/4 and lane/4 + 8, which are h = 0
 * and h = 1 here. C++ of .cu files. */
#pragma once
#include "tensor/cuda/attention.h"
#include "tensor/cuda/device.h"

enum { KEY_TILES = PAGE_KEYS / 8 }; // of a page, each of 8 keys

/* Rows of D bf16 in shared memory, in pieces of 16 bytes. Eight rows' pieces lie in different
 * banks: by a swizzle where rows are a power of two, else by rows of an odd length. */
template <int D> constexpr int row_pieces = (D & (D - 1)) ? (D / 8) | 1 : D / 8;
template <int D> __device__ __forceinline__ int piece_at(int r, int c)
{
    if constexpr (row_pieces<D> != D / 8)
        return (r * row_pieces<D> + c) * 16;
    else
        return swizzle<D / 8>(r, c) * 16;
}
template <int D> constexpr int page_bytes = PAGE_KEYS *row_pieces<D> * 16;

__device__ __forceinline__ float quad_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ float quad_sum(float x)
{
    x = __fadd_rn(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return __fadd_rn(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ __forceinline__ uint32_t pair_of(float x, float y)
{
    const __nv_bfloat162 p = __floats2bfloat162_rn(x, y);
    return (uint32_t)__bfloat16_as_ushort(p.x) | (uint32_t)__bfloat16_as_ushort(p.y) << 16;
}

/* Elements 8c..8c+7 of a row of D floats, rounded; zeros behind its end. */
__device__ __forceinline__ uint4 eight_of(const float *row, int c, int D, bool aligned)
{
    if (aligned && c * 8 + 8 <= D) {
        const float4 low = *(const float4 *)(row + c * 8),
                     high = *(const float4 *)(row + c * 8 + 4);
        return make_uint4(pair_of(low.x, low.y), pair_of(low.z, low.w), pair_of(high.x, high.y),
                          pair_of(high.z, high.w));
    }
    float x[8];
#pragma unroll
    for (int e = 0; e < 8; e++)
        x[e] = c * 8 + e < D ? row[c * 8 + e] : 0.0f;
    return make_uint4(pair_of(x[0], x[1]), pair_of(x[2], x[3]), pair_of(x[4], x[5]),
                      pair_of(x[6], x[7]));
}

/* Rows of a tile, and which keys they see. */
struct tile_rows {
    int row0, rows, group; // the first; how many the segment has for a kv head
    int start, window;
    __device__ __forceinline__ int query(int r) const
    {
        return min(row0 + r, rows - 1) / group;
    }
    /* Row r sees keys low..keys-1. */
    __device__ __forceinline__ int keys(int r) const
    {
        return start + query(r) + 1;
    }
    __device__ __forceinline__ int low(int r) const
    {
        return window && keys(r) > window ? keys(r) - window : 0;
    }
    __device__ __forceinline__ bool there(int r) const
    {
        return row0 + r < rows;
    }
};

__device__ __forceinline__ tile_rows rows_of(const attention_call &a, const attention_segment &s,
                                             int row0)
{
    return {row0, s.count * (a.H / a.K), a.H / a.K, s.start, a.window};
}

/* Where row r lies in (N,H). */
__device__ __forceinline__ size_t place_of(const attention_call &a, const attention_segment &s,
                                           const tile_rows &t, int head, int r)
{
    return (size_t)(s.first + t.query(r)) * a.H + (size_t)head * t.group + (t.row0 + r) % t.group;
}

/* The queries of ROWS rows, rounded, into shared memory. */
template <int D, int ROWS, int THREADS>
__device__ __forceinline__ void load_queries(unsigned char *to, const attention_call &a,
                                             const attention_segment &s, const tile_rows &t,
                                             int head)
{
#pragma unroll 4
    for (int i = threadIdx.x; i < ROWS * (D / 8); i += THREADS) {
        const int r = i / (D / 8), c = i % (D / 8);
        uint4 x = make_uint4(0, 0, 0, 0);
        if (t.there(r))
            x = eight_of(a.q + place_of(a, s, t, head, r) * a.D, c, a.D, a.aligned);
        *(uint4 *)(to + piece_at<D>(r, c)) = x;
    }
}

/* Where a segment's pages of one kv head lie. */
template <int D> struct head_pages {
    bf16 *keys, *values; // of page 0
    size_t stride;       // from a page to the next
};
template <int D>
__device__ __forceinline__ head_pages<D> pages_of(const attention_call &a,
                                                  const attention_segment &s, int head)
{
    bf16 *keys = s.keys ? (bf16 *)s.keys + a.layer * s.layer : (bf16 *)a.own;
    keys += (size_t)head * PAGE_KEYS * D;
    return {keys, keys + s.values, (size_t)a.K * PAGE_KEYS * D};
}

/* Begins the copy of a page's keys, or values, into shared memory, but not of the row `fresh`. Rows
 * from `rows` on become zeros. */
template <int D, int THREADS>
__device__ __forceinline__ void load_page(unsigned char *to, const bf16 *from, int rows, int fresh)
{
#pragma unroll 4
    for (int i = threadIdx.x; i < PAGE_KEYS * (D / 8); i += THREADS) {
        const int r = i / (D / 8), c = i % (D / 8);
        if (r != fresh)
            copy_async(to + piece_at<D>(r, c), r < rows ? from + r * D + c * 8 : from, r < rows);
    }
}

/* Left side of a product: 16 rows from row0 on, elements 16d..16d+15. */
template <int D>
__device__ __forceinline__ void load_left(uint32_t (&a)[4], const unsigned char *rows, int row0,
                                          int d)
{
    const int lane = threadIdx.x % 32;
    load_matrix(a, rows + piece_at<D>(row0 + lane % 16, d * 2 + lane / 16));
}

/* Right side for scores: keys 8j..8j+15, elements 16d..16d+15. */
template <int D>
__device__ __forceinline__ void load_keys(uint32_t (&b)[2], uint32_t (&next)[2],
                                          const unsigned char *keys, int j, int d)
{
    const int lane = threadIdx.x % 32;
    uint32_t two[4];
    load_matrix(two, keys + piece_at<D>(j * 8 + lane % 8 + lane / 16 * 8, d * 2 + lane / 8 % 2));
    b[0] = two[0], b[1] = two[1], next[0] = two[2], next[1] = two[3];
}

/* Right side for outputs: keys 16k..16k+15, elements 8j..8j+15. */
template <int D>
__device__ __forceinline__ void load_values(uint32_t (&b)[2], uint32_t (&next)[2],
                                            const unsigned char *values, int k, int j)
{
    const int lane = threadIdx.x % 32;
    uint32_t two[4];
    load_matrix_trans(two, values + piece_at<D>(k * 16 + lane % 16, j + lane / 16));
    b[0] = two[0], b[1] = two[1], next[0] = two[2], next[1] = two[3];
}

/* Scores of keys 8j.. of a page become scaled, or -infinity where the row does not see the key. */
__device__ __forceinline__ void mask(float (&score)[4], int j, const int (&low)[2],
                                     const int (&keys)[2], float scale)
{
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const int key = j * 8 + threadIdx.x % 4 * 2 + e % 2;
        score[e] =
            key < keys[e / 2] && key >= low[e / 2] ? __fmul_rn(score[e], scale) : MINUS_INFINITY;
    }
}

/* The number that weights are relative to. While nothing was seen it is 0, and so are they. */
__device__ __forceinline__ float base_of(float max)
{
    return max == MINUS_INFINITY ? 0.0f : max;
}

/* How two chunks' states meet: the factors of what is there and of what comes. A chunk of which the
 * row sees nothing: 1, 0. */
__device__ __forceinline__ void fold_factors(float &max, float &sum, float chunk_max,
                                             float chunk_sum, float &keep, float &take)
{
    if (chunk_max == MINUS_INFINITY) {
        keep = 1.0f, take = 0.0f;
        return;
    }
    const float m = fmaxf(max, chunk_max);
    keep = exact_exp(__fsub_rn(max, m));
    take = exact_exp(__fsub_rn(chunk_max, m));
    max = m;
    sum = __fmaf_rn(chunk_sum, take, __fmul_rn(sum, keep));
}
__device__ __forceinline__ float fold_value(float x, float chunk, float keep, float take)
{
    return __fmaf_rn(chunk, take, __fmul_rn(x, keep));
}

/* The sign of a zero depends on how many pages a tile went through: all zeros become +0. */
__device__ __forceinline__ float output_of(float x, float inverse)
{
    return __fadd_rn(__fmul_rn(x, inverse), 0.0f);
}
__device__ __forceinline__ float log_sum_of(float max, float sum)
{
    return (float)((double)max + exact_log(sum));
}
