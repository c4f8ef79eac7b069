/* Many rows: a block for each (segment, kv head, 64 rows), which walks the pages that they see. A
 * warp has 16 rows; heads over 128 have two warps for them, each with half of the outputs. Chunks'
 * states are folded in registers. */
#include "tensor/cuda/attention_tile.h"

enum { ROW_WARPS = WALK_ROWS / 16 };

template <int D> constexpr int halves = D > 128 ? 2 : 1;
template <int D> constexpr int walk_threads = 32 * ROW_WARPS *halves<D>;
template <int D> constexpr int buffers = D <= 64 ? 4 : 2; // pages of keys and values take turns
template <int D> struct walk_shared {
    unsigned char ring[buffers<D>][page_bytes<D>];
    unsigned char queries[WALK_ROWS * row_pieces<D> * 16];
};

template <int D> struct walk_state {
    enum { TILES = D / 8 / halves<D>, AT_ONCE = TILES % 4 ? 2 : 4 };
    float o[TILES / AT_ONCE][1][AT_ONCE][4];
    float max[2], sum[2];
    __device__ __forceinline__ float &at(int j, int e)
    {
        return o[j / AT_ONCE][0][j % AT_ONCE][e];
    }
    __device__ __forceinline__ float at(int j, int e) const
    {
        return o[j / AT_ONCE][0][j % AT_ONCE][e];
    }
    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int j = 0; j < TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                at(j, e) = 0.0f;
        max[0] = max[1] = MINUS_INFINITY;
        sum[0] = sum[1] = 0.0f;
    }
};

/* Weights of a page's keys, as left sides of the next product; the state's maximum, sum and what
 * its outputs are to be multiplied by. */
template <int D>
__device__ __forceinline__ void
walk_scores(walk_state<D> &s, float (&factor)[2], uint32_t (&weight)[PAGE_KEYS / 16][1][4],
            const unsigned char *queries, int row0, const unsigned char *keys, const int (&low)[2],
            const int (&last)[2], float scale)
{
    float score[1][KEY_TILES][4] = {};
#pragma unroll(D > 96 ? 4 : 8) // more would spill
    for (int d = 0; d < D / 16; d++) {
        uint32_t a[1][4], b[KEY_TILES][2];
        load_left<D>(a[0], queries, row0, d);
#pragma unroll
        for (int j = 0; j < KEY_TILES; j += 2)
            load_keys<D>(b[j], b[j + 1], keys, j, d);
        multiply(score, a, b);
    }
#pragma unroll
    for (int j = 0; j < KEY_TILES; j++)
        mask(score[0][j], j, low, last, scale);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float m = MINUS_INFINITY, sum = 0.0f;
#pragma unroll
        for (int j = 0; j < KEY_TILES; j++)
            m = fmaxf(m, fmaxf(score[0][j][h * 2], score[0][j][h * 2 + 1]));
        m = fmaxf(s.max[h], quad_max(m));
        const float base = base_of(m);
#pragma unroll
        for (int j = 0; j < KEY_TILES; j++)
#pragma unroll
            for (int e = h * 2; e < h * 2 + 2; e++) {
                score[0][j][e] = exact_exp(__fsub_rn(score[0][j][e], base));
                sum = __fadd_rn(sum, score[0][j][e]);
            }
        factor[h] = exact_exp(__fsub_rn(s.max[h], base));
        s.max[h] = m;
        s.sum[h] = __fmaf_rn(s.sum[h], factor[h], quad_sum(sum));
    }
#pragma unroll
    for (int j = 0; j < KEY_TILES; j++) {
        weight[j / 2][0][j % 2 * 2] = pair_of(score[0][j][0], score[0][j][1]);
        weight[j / 2][0][j % 2 * 2 + 1] = pair_of(score[0][j][2], score[0][j][3]);
    }
}

/* tile0: the first 8 elements of the warp's. */
template <int D>
__device__ __forceinline__ void walk_values(walk_state<D> &s, const float (&factor)[2],
                                            const uint32_t (&weight)[PAGE_KEYS / 16][1][4],
                                            const unsigned char *values, int tile0)
{
    enum { TILES = walk_state<D>::TILES, AT_ONCE = walk_state<D>::AT_ONCE };
#pragma unroll
    for (int j = 0; j < TILES; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s.at(j, e) = __fmul_rn(s.at(j, e), factor[e / 2]);
#pragma unroll
    for (int k = 0; k < PAGE_KEYS / 16; k++)
#pragma unroll
        for (int g = 0; g < TILES / AT_ONCE; g++) {
            uint32_t b[AT_ONCE][2];
#pragma unroll
            for (int j = 0; j < AT_ONCE; j += 2)
                load_values<D>(b[j], b[j + 1], values, k, tile0 + g * AT_ONCE + j);
            multiply(s.o[g], weight[k], b);
        }
}

template <int D>
__device__ __forceinline__ void walk_fold(walk_state<D> &total, walk_state<D> &chunk)
{
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float keep, take;
        fold_factors(total.max[h], total.sum[h], chunk.max[h], chunk.sum[h], keep, take);
#pragma unroll
        for (int j = 0; j < walk_state<D>::TILES; j++)
#pragma unroll
            for (int e = h * 2; e < h * 2 + 2; e++)
                total.at(j, e) = fold_value(total.at(j, e), chunk.at(j, e), keep, take);
    }
    chunk.clear();
}

template <int D>
__device__ __forceinline__ void walk_end(const walk_state<D> &total, const attention_call &a,
                                         const attention_segment &s, const tile_rows &t, int head,
                                         int row0, int tile0)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int r = row0 + lane / 4 + h * 8;
        if (!t.there(r))
            continue;
        const size_t place = place_of(a, s, t, head, r);
        const float inverse = __fdiv_rn(1.0f, total.sum[h]);
#pragma unroll
        for (int j = 0; j < walk_state<D>::TILES; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int d = (tile0 + j) * 8 + lane % 4 * 2 + e;
                if (d < a.D)
                    a.o[place * a.D + d] = output_of(total.at(j, h * 2 + e), inverse);
            }
        if (a.lse && lane % 4 == 0 && tile0 == 0)
            a.lse[place] = log_sum_of(total.max[h], total.sum[h]);
    }
}

template <int D>
__global__ void __launch_bounds__(walk_threads<D>) attention_walk_kernel(attention_call a)
{
    SHARED_DYNAMIC(shared);
    early_begin();
    walk_shared<D> &sh = *(walk_shared<D> *)shared;
    const attention_item item = a.walk[blockIdx.x];
    const attention_segment s = a.segment[item.segment];
    const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int row0 = warp % ROW_WARPS * 16, tile0 = warp / ROW_WARPS * walk_state<D>::TILES;
    const tile_rows t = rows_of(a, s, item.tile * WALK_ROWS);
    const head_pages<D> pages = pages_of<D>(a, s, head);
    const int begin = t.low(0) / PAGE_KEYS;
    const int end = (t.keys(WALK_ROWS - 1) + PAGE_KEYS - 1) / PAGE_KEYS;
    auto load = [&](int i) { // keys and values of a page, then those of the next
        const int page = begin + i / 2;
        if (page < end)
            load_page<D, walk_threads<D>>(sh.ring[i % buffers<D>],
                                          (i % 2 ? pages.values : pages.keys) +
                                              a.page[s.page + page] * pages.stride,
                                          s.start + s.count - page * PAGE_KEYS, -1);
        copy_commit();
    };
#pragma unroll
    for (int i = 0; i < buffers<D> - 1; i++)
        load(i);
    load_queries<D, WALK_ROWS, walk_threads<D>>(sh.queries, a, s, t, head);
    walk_state<D> total, chunk;
    total.clear();
    chunk.clear();
    float factor[2];
    uint32_t weight[PAGE_KEYS / 16][1][4];
    for (int p = begin; p < end; p++) {
        const int i = 2 * (p - begin), key = p * PAGE_KEYS;
        int low[2], last[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            low[h] = t.low(row0 + lane / 4 + h * 8) - key;
            last[h] = t.keys(row0 + lane / 4 + h * 8) - key;
        }
        /* A page of which none of the warp's rows sees a key would change nothing. */
        const bool sees = t.keys(row0 + 15) > key && t.low(row0) < key + PAGE_KEYS;
        copy_wait<buffers<D> - 2>();
        __syncthreads(); // also: all have read the buffer that is filled next
        load(i + buffers<D> - 1);
        if (sees)
            walk_scores<D>(chunk, factor, weight, sh.queries, row0, sh.ring[i % buffers<D>], low,
                           last, a.scale);
        copy_wait<buffers<D> - 2>();
        __syncthreads();
        load(i + buffers<D>);
        if (sees)
            walk_values<D>(chunk, factor, weight, sh.ring[(i + 1) % buffers<D>], tile0);
        if ((p + 1) % (KV_CHUNK / PAGE_KEYS) == 0 || p + 1 == end)
            walk_fold<D>(total, chunk);
    }
    walk_end<D>(total, a, s, t, head, row0, tile0);
}

template <int D> static cudaError_t walk_of(cudaStream_t stream, const attention_call &a)
{
    constexpr int bytes = sizeof(walk_shared<D>);
    TRY_CUDA(cudaFuncSetAttribute(attention_walk_kernel<D>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return launch_early(attention_walk_kernel<D>, dim3(a.walks, a.K), dim3(walk_threads<D>), bytes,
                        stream, a);
}

cudaError_t attention_run_walk(cudaStream_t stream, const attention_call *call)
{
    if (!call->walks)
        return cudaSuccess;
    switch (attention_width(call->D)) {
#define WALK_OF(D)                                                                                 \
    case D:                                                                                        \
        return walk_of<D>(stream, *call);
        ATTENTION_WIDTHS(WALK_OF)
    default:
        return cudaErrorInvalidValue;
    }
}
