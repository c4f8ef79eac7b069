/* The first pass, dk and dv: a block for each (segment, kv head, 48 or 64 keys). Rows that see its
 * keys pass by it: its own segment's, then those of the segments that share it.
 * Scores have keys on the left, so their weights are the left side of the next product as they are.
 *
 * The sums of a chunk of rows are in registers, those of all chunks in dk and dv themselves. Of a
 * pair of warps the first has dv and makes weights, the second has dk and takes them. */
#include "tensor/cuda/attention_backward_tile.h"

template <int D> struct keys_shared {
    typedef backward_tile<D> T;
    unsigned char keys[T::OWN * T::ROW_BYTES], values[T::OWN * T::ROW_BYTES];
    backward_ring<D> ring; // queries, d_o
    float2 stats[2][T::OTHERS];
    float4 weight[T::PAIR ? T::GROUPS : 1][T::J][T::PAIR ? 32 : 1]; // as lanes hold them
};

/* The sums of a warp; of a pair's warp only one of them is used. */
template <int D> struct keys_sums {
    typedef backward_sums<D, D / 8> sums;
    sums dk, dv;
    bool summed; // there are chunks in memory
    bool some;   // something is in this one
};

/* Keys of a block: positions key0.. of segment `own`. */
struct key_block {
    int own, last; // segments whose queries may see them
    int key0;
};

/* Where a block is: tiles [tile, end) of segment `at` are left. */
struct row_walk {
    int at, tile, end;
};

/* Rows [low, high) of a segment see a key. */
struct row_range {
    int low, high;
};
__device__ __forceinline__ row_range rows_that_see(const attention_backward_call &a,
                                                   const attention_backward_segment &s, bool own,
                                                   int key, int keys)
{
    const int group = a.H / a.K, end = s.start + s.count;
    const int high = a.window ? min(end, key + keys - 1 + a.window) : end;
    const bool sees = own ? key < end : key < s.start;
    return {max(key, s.start) * group, sees ? high * group : 0};
}

/* Goes on to a segment of which a row sees the block's keys. */
template <int D>
__device__ __forceinline__ void walk_open(row_walk &w, const attention_backward_call &a,
                                          const key_block &b)
{
    enum { OTHERS = backward_tile<D>::OTHERS, OWN = backward_tile<D>::OWN };
    for (; w.at <= b.last; w.at++) {
        const row_range r = rows_that_see(a, a.segment[w.at], w.at == b.own, b.key0, OWN);
        w.tile = r.low / OTHERS;
        w.end = (r.high + OTHERS - 1) / OTHERS;
        if (r.low < r.high)
            return;
    }
}
template <int D>
__device__ __forceinline__ void walk_next(row_walk &w, const attention_backward_call &a,
                                          const key_block &b)
{
    if (++w.tile < w.end)
        return;
    w.at++;
    walk_open<D>(w, a, b);
}

/* The row of a tile among the rounded ones; -1: the segment has no such row. */
__device__ __forceinline__ int place_of(const attention_backward_segment &s, int group, int row)
{
    const bool there = row >= s.start * group && row < (s.start + s.count) * group;
    return there ? (s.base - s.start) * group + row : -1;
}

template <int D>
__device__ __forceinline__ void load_tile(keys_shared<D> &sh, int buffer,
                                          const attention_backward_call &a, const row_walk &w,
                                          int head)
{
    enum { OTHERS = backward_tile<D>::OTHERS };
    const attention_backward_segment s = a.segment[w.at];
    const int group = a.H / a.K;
    const size_t first = head_rows(a, head, group) * D;
    auto place = [&](int r) { return place_of(s, group, w.tile * OTHERS + r); };
    load_rounded<D, OTHERS>(sh.ring.first[buffer], a.queries_there + first, place);
    load_rounded<D, OTHERS>(sh.ring.second[buffer], a.grads_there + first, place);
}

/* lse and D of the thread's row of a tile. */
template <int D>
__device__ __forceinline__ float2 load_stats(const attention_backward_call &a, const row_walk &w,
                                             int head)
{
    enum { OTHERS = backward_tile<D>::OTHERS };
    const int group = a.H / a.K, row = threadIdx.x;
    const int at = row < OTHERS ? place_of(a.segment[w.at], group, w.tile * OTHERS + row) : -1;
    return at < 0 ? make_float2(0.0f, 0.0f)
                  : ((const float2 *)a.stats)[head_rows(a, head, group) + at];
}

/* A score of row `first` + the lane's becomes a weight: zero where the row does not see the key. */
template <int J>
__device__ __forceinline__ void weights(float (&score)[1][J][4], const float2 *stats, int row0,
                                        const row_range (&see)[2], float scale)
{
#pragma unroll
    for (int j = 0; j < J; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int r = j * 8 + threadIdx.x % 4 * 2 + e % 2, row = row0 + r;
            const bool sees = row >= see[e / 2].low && row < see[e / 2].high;
            score[0][j][e] = sees ? weight_of(score[0][j][e], scale, stats[r].x) : 0.0f;
        }
}
/* A weight of zero has no slope, whatever the product is. */
template <int J>
__device__ __forceinline__ void slopes(float (&product)[1][J][4], const float (&weight)[1][J][4],
                                       const float2 *stats, int row0, const row_range (&see)[2])
{
#pragma unroll
    for (int j = 0; j < J; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int r = j * 8 + threadIdx.x % 4 * 2 + e % 2, row = row0 + r;
            const bool sees = row >= see[e / 2].low && row < see[e / 2].high;
            product[0][j][e] =
                sees ? slope_of(weight[0][j][e], product[0][j][e], stats[r].y) : 0.0f;
        }
}

/* Some rows of a tile, from `first` on. */
template <int D>
__device__ __forceinline__ void tile_rows_of(keys_sums<D> &sums, keys_shared<D> &sh, int buffer,
                                             int first, int row0, const row_range (&see)[2],
                                             float scale)
{
    typedef backward_tile<D> T;
    enum { J = T::J };
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, keys = warp % T::GROUPS * 16;
    const unsigned char *queries = sh.ring.first[buffer], *grads = sh.ring.second[buffer];
    const float2 *stats = sh.stats[buffer] + first;
    float score[1][J][4] = {};
    uint32_t left[J / 2][1][4];
    if constexpr (!T::PAIR) {
        float product[1][J][4] = {};
        row_products<D>(score, product, sh.keys, sh.values, keys, queries, grads, first);
        weights(score, stats, row0 + first, see, scale);
        slopes(product, score, stats, row0 + first, see);
        left_of<J>(left, score);
        sums.dv.add(left, grads, first, 0);
        left_of<J>(left, product);
        sums.dk.add(left, queries, first, 0);
    } else if (warp < T::GROUPS) {
        row_products<D>(score, sh.keys, keys, queries, first);
        weights(score, stats, row0 + first, see, scale);
#pragma unroll
        for (int j = 0; j < J; j++)
            sh.weight[warp][j][lane] =
                make_float4(score[0][j][0], score[0][j][1], score[0][j][2], score[0][j][3]);
        warps_arrive(1 + warp, 64);
        left_of<J>(left, score);
        sums.dv.add(left, grads, first, 0);
    } else {
        float product[1][J][4] = {};
        row_products<D>(product, sh.values, keys, grads, first);
        warps_wait(1 + warp - T::GROUPS, 64);
#pragma unroll
        for (int j = 0; j < J; j++) {
            const float4 w = sh.weight[warp - T::GROUPS][j][lane];
            score[0][j][0] = w.x, score[0][j][1] = w.y, score[0][j][2] = w.z, score[0][j][3] = w.w;
        }
        slopes(product, score, stats, row0 + first, see);
        left_of<J>(left, product);
        sums.dv.add(left, queries, first, 0); // of the second warp: dk
    }
}

/* A chunk's sums onto those before, which are in memory. */
template <int D>
__device__ __forceinline__ void
chunk_end(backward_sums<D, D / 8> &sums, float *to, const attention_backward_call &a,
          const attention_backward_segment &own, int head, int key, bool summed, float factor)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int i = key + lane / 4 + h * 8;
        if (i >= own.count)
            continue;
        float *row = to + ((size_t)(own.first + i) * a.K + head) * a.D;
#pragma unroll
        for (int j = 0; j < D / 8; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int d = j * 8 + lane % 4 * 2 + e;
                if (d < a.D)
                    row[d] = __fmaf_rn(sums.at(j, h * 2 + e), factor, summed ? row[d] : 0.0f);
            }
    }
    sums.clear();
}

template <int D>
__device__ __forceinline__ void keys_end(keys_sums<D> &sums, const attention_backward_call &a,
                                         const attention_backward_segment &own, int head, int key)
{
    typedef backward_tile<D> T;
    const bool second = threadIdx.x / 32 >= T::GROUPS;
    if (!sums.some)
        return;
    if constexpr (T::PAIR)
        chunk_end<D>(sums.dv, second ? a.dk : a.dv, a, own, head, key, sums.summed,
                     second ? a.scale : 1.0f);
    else {
        chunk_end<D>(sums.dv, a.dv, a, own, head, key, sums.summed, 1.0f);
        chunk_end<D>(sums.dk, a.dk, a, own, head, key, sums.summed, a.scale);
    }
    sums.some = false;
    sums.summed = true;
}

template <int D>
__global__ void __launch_bounds__(backward_tile<D>::THREADS, D > 128 ? 1 : 2)
    attention_keys_kernel(attention_backward_call a)
{
    typedef backward_tile<D> T;
    SHARED_DYNAMIC(shared);
    keys_shared<D> &sh = *(keys_shared<D> *)shared;
    const attention_item item = a.keys[blockIdx.x];
    const attention_backward_segment own = a.segment[item.segment];
    const int head = blockIdx.y, lane = threadIdx.x % 32;
    const int key0 = item.tile * T::OWN, warp_key = threadIdx.x / 32 % T::GROUPS * 16;
    const key_block block = {item.segment, item.segment + own.sharers, own.start + key0};
    row_walk now = {item.segment, 0, 0};
    walk_open<D>(now, a, block);
    row_walk next = now;

    auto place = [&](int r) { return key0 + r < own.count ? own.base + key0 + r : -1; };
    load_rounded<D, T::OWN>(sh.keys, a.keys_there + head_rows(a, head, 1) * D, place);
    load_rounded<D, T::OWN>(sh.values, a.values_there + head_rows(a, head, 1) * D, place);
    load_tile<D>(sh, 0, a, now, head);
    copy_commit();
    if (threadIdx.x < T::OTHERS)
        sh.stats[0][threadIdx.x] = load_stats<D>(a, now, head);

    keys_sums<D> sums;
    sums.dv.clear();
    sums.dk.clear();
    sums.some = sums.summed = false;
    for (int buffer = 0; now.at <= block.last; buffer ^= 1) {
        float2 stats = make_float2(0.0f, 0.0f);
        walk_next<D>(next, a, block);
        copy_wait<0>();
        __syncthreads(); // also: all have read the buffer that is filled next
        if (next.at <= block.last) {
            load_tile<D>(sh, buffer ^ 1, a, next, head);
            stats = load_stats<D>(a, next, head);
        }
        copy_commit();
        const attention_backward_segment s = a.segment[now.at];
        const bool is_own = now.at == block.own;
        const int key = block.key0 + warp_key, row0 = now.tile * T::OTHERS;
        const row_range warp = rows_that_see(a, s, is_own, key, 16);
        const row_range see[2] = {rows_that_see(a, s, is_own, key + lane / 4, 1),
                                  rows_that_see(a, s, is_own, key + lane / 4 + 8, 1)};
#pragma unroll
        for (int first = 0; first < T::OTHERS; first += T::AT_ONCE)
            if (warp.low < row0 + first + T::AT_ONCE && warp.high > row0 + first) {
                tile_rows_of<D>(sums, sh, buffer, first, row0, see, a.scale);
                sums.some = true;
            }
        if ((now.tile + 1) % (ROW_CHUNK / T::OTHERS) == 0 || now.tile + 1 == now.end)
            keys_end<D>(sums, a, own, head, key0 + warp_key);
        if (threadIdx.x < T::OTHERS)
            sh.stats[buffer ^ 1][threadIdx.x] = stats;
        now = next;
    }
}

template <int D> static cudaError_t keys_of(cudaStream_t stream, const attention_backward_call &a)
{
    constexpr int bytes = sizeof(keys_shared<D>);
    TRY_CUDA(cudaFuncSetAttribute(attention_keys_kernel<D>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return launch(attention_keys_kernel<D>, dim3(a.key_blocks, a.K),
                  dim3(backward_tile<D>::THREADS), bytes, stream, a);
}

cudaError_t attention_backward_run_keys(cudaStream_t stream, const attention_backward_call *call)
{
    switch (attention_width(call->D)) {
#define KEYS_OF(D)                                                                                 \
    case D:                                                                                        \
        return keys_of<D>(stream, *call);
        ATTENTION_WIDTHS(KEYS_OF)
    default:
        return cudaErrorInvalidValue;
    }
}
