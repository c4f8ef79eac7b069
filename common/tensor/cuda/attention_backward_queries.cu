/* The second pass, dq: a block for each (segment, kv head, 48 or 64 rows), which goes through the
 * keys that they see. Chunks' sums are added in registers. A pair of warps shares the elements of
 * its rows' sums; each hands the other what it has multiplied. */
#include "tensor/cuda/attention_backward_tile.h"

template <int D> struct queries_shared {
    typedef backward_tile<D> T;
    unsigned char queries[T::OWN * T::ROW_BYTES], grads[T::OWN * T::ROW_BYTES];
    backward_ring<D> ring;                                              // keys, values
    float4 product[T::PAIR ? T::GROUPS : 1][2][T::J][T::PAIR ? 32 : 1]; // as lanes hold them
};

/* Where a block's rows lie, and which keys they see. */
struct query_block {
    tile_rows rows;
    int first, base; // the row of query 0 in the call, and among the rounded ones
};

/* The row of a key at `position` among the rounded ones. */
__device__ __forceinline__ int key_of(const attention_backward_segment &s, int position)
{
    const int own = position - s.start;
    return own < 0 ? s.prefix + position : own < s.count ? s.base + own : -1;
}

template <int D>
__device__ __forceinline__ void load_tile(queries_shared<D> &sh, int buffer,
                                          const attention_backward_call &a,
                                          const attention_backward_segment &s, int head, int tile)
{
    enum { OTHERS = backward_tile<D>::OTHERS };
    const size_t first = head_rows(a, head, 1) * D;
    auto place = [&](int r) { return key_of(s, tile * OTHERS + r); };
    load_rounded<D, OTHERS>(sh.ring.first[buffer], a.keys_there + first, place);
    load_rounded<D, OTHERS>(sh.ring.second[buffer], a.values_there + first, place);
}

/* Slopes of a lane's two rows; keys low..last-1 of the tile are seen. */
template <int J>
__device__ __forceinline__ void slopes(float (&product)[1][J][4], const float (&score)[1][J][4],
                                       const float2 (&stats)[2], int first, const int (&low)[2],
                                       const int (&last)[2], float scale)
{
#pragma unroll
    for (int j = 0; j < J; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const int key = first + j * 8 + threadIdx.x % 4 * 2 + e % 2, h = e / 2;
            const bool sees = key < last[h] && key >= low[h];
            const float weight = weight_of(score[0][j][e], scale, stats[h].x);
            product[0][j][e] = sees ? slope_of(weight, product[0][j][e], stats[h].y) : 0.0f;
        }
}

/* Both products of some keys of a tile, from `first` on. */
template <int D>
__device__ __forceinline__ void both_products(float (&score)[1][backward_tile<D>::J][4],
                                              float (&product)[1][backward_tile<D>::J][4],
                                              queries_shared<D> &sh, int buffer, int first)
{
    typedef backward_tile<D> T;
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = warp % T::GROUPS,
              rows = group * 16;
    const unsigned char *keys = sh.ring.first[buffer], *values = sh.ring.second[buffer];
    if constexpr (!T::PAIR)
        row_products<D>(score, product, sh.queries, sh.grads, rows, keys, values, first);
    else {
        const int side = warp / T::GROUPS;
        row_products<D>(score, side ? sh.grads : sh.queries, rows, side ? values : keys, first);
#pragma unroll
        for (int j = 0; j < T::J; j++)
            sh.product[group][side][j][lane] =
                make_float4(score[0][j][0], score[0][j][1], score[0][j][2], score[0][j][3]);
        warps_wait(1 + group, 64);
#pragma unroll
        for (int j = 0; j < T::J; j++) {
            const float4 s = sh.product[group][0][j][lane], p = sh.product[group][1][j][lane];
            score[0][j][0] = s.x, score[0][j][1] = s.y, score[0][j][2] = s.z, score[0][j][3] = s.w;
            product[0][j][0] = p.x, product[0][j][1] = p.y;
            product[0][j][2] = p.z, product[0][j][3] = p.w;
        }
    }
}

template <int D>
__global__ void __launch_bounds__(backward_tile<D>::THREADS, D > 128 ? 1 : 2)
    attention_queries_kernel(attention_backward_call a)
{
    typedef backward_tile<D> T;
    enum { TILES = D / 8 / (T::PAIR ? 2 : 1), J = T::J };
    SHARED_DYNAMIC(shared);
    queries_shared<D> &sh = *(queries_shared<D> *)shared;
    const attention_item item = a.queries[blockIdx.x];
    const attention_backward_segment s = a.segment[item.segment];
    const int head = blockIdx.y, group = a.H / a.K, lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32, row0 = warp % T::GROUPS * 16,
              tile0 = warp / T::GROUPS * TILES;
    const tile_rows t = {item.tile * T::OWN, s.count * group, group, s.start, a.window};
    const int begin = t.low(0) / T::OTHERS, end = (t.keys(T::OWN - 1) + T::OTHERS - 1) / T::OTHERS;

    auto place = [&](int r) { return t.there(r) ? s.base * group + t.row0 + r : -1; };
    const size_t first_row = head_rows(a, head, group);
    load_rounded<D, T::OWN>(sh.queries, a.queries_there + first_row * D, place);
    load_rounded<D, T::OWN>(sh.grads, a.grads_there + first_row * D, place);
    load_tile<D>(sh, 0, a, s, head, begin);
    copy_commit();

    float2 stats[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int at = place(row0 + lane / 4 + h * 8);
        stats[h] = at < 0 ? make_float2(0.0f, 0.0f) : ((const float2 *)a.stats)[first_row + at];
    }
    backward_sums<D, TILES> total, chunk;
    total.clear();
    chunk.clear();
    for (int tile = begin, buffer = 0; tile < end; tile++, buffer ^= 1) {
        copy_wait<0>();
        __syncthreads(); // also: all have read the buffer that is filled next
        if (tile + 1 < end)
            load_tile<D>(sh, buffer ^ 1, a, s, head, tile + 1);
        copy_commit();
        const int key0 = tile * T::OTHERS;
        int low[2], last[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            low[h] = t.low(row0 + lane / 4 + h * 8) - key0;
            last[h] = t.keys(row0 + lane / 4 + h * 8) - key0;
        }
#pragma unroll
        for (int first = 0; first < T::OTHERS; first += T::AT_ONCE) {
            const int key = key0 + first;
            if (!t.there(row0) || t.keys(row0 + 15) <= key || t.low(row0) >= key + T::AT_ONCE)
                continue;
            float score[1][J][4] = {}, product[1][J][4] = {};
            uint32_t left[J / 2][1][4];
            both_products<D>(score, product, sh, buffer, first);
            slopes(product, score, stats, first, low, last, a.scale);
            left_of<J>(left, product);
            chunk.add(left, sh.ring.first[buffer], first, tile0);
        }
        if ((tile + 1) % (KV_CHUNK / T::OTHERS) == 0 || tile + 1 == end) {
#pragma unroll
            for (int j = 0; j < TILES; j++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    total.at(j, e) = __fmaf_rn(chunk.at(j, e), a.scale, total.at(j, e));
            chunk.clear();
        }
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int r = row0 + lane / 4 + h * 8;
        if (!t.there(r))
            continue;
        float *row =
            a.dq +
            ((size_t)(s.first + t.query(r)) * a.H + head * group + (t.row0 + r) % group) * a.D;
#pragma unroll
        for (int j = 0; j < TILES; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                const int d = (tile0 + j) * 8 + lane % 4 * 2 + e;
                if (d < a.D)
                    row[d] = total.at(j, h * 2 + e);
            }
    }
}

template <int D>
static cudaError_t queries_of(cudaStream_t stream, const attention_backward_call &a)
{
    constexpr int bytes = sizeof(queries_shared<D>);
    TRY_CUDA(cudaFuncSetAttribute(attention_queries_kernel<D>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return launch(attention_queries_kernel<D>, dim3(a.query_blocks, a.K),
                  dim3(backward_tile<D>::THREADS), bytes, stream, a);
}

cudaError_t attention_backward_run_queries(cudaStream_t stream, const attention_backward_call *call)
{
    switch (attention_width(call->D)) {
#define QUERIES_OF(D)                                                                              \
    case D:                                                                                        \
        return queries_of<D>(stream, *call);
        ATTENTION_WIDTHS(QUERIES_OF)
    default:
        return cudaErrorInvalidValue;
    }
}
