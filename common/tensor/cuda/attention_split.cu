/* Few rows against many keys: a block for each (segment, kv head, 16 rows, chunk). So many blocks
 * read a sequence's keys, each of them once for all heads of the group. Chunks' states go to
 * memory, and attention_fold_kernel puts them together.
 *
 * Four warps share a page. Of the scores each has 16 keys, of the outputs every fourth 16 elements;
 * maxima and weights meet in shared memory. Each number is made as a walked tile makes it. */
#include "tensor/cuda/attention_tile.h"

enum { WARPS = 4, THREADS = 32 * WARPS, RING_BYTES = 64 << 10, BUFFERS_MAX = 8 };
enum { CHUNK_PAGES = KV_CHUNK / PAGE_KEYS };

/* Pages of keys and values take turns in a ring of buffers. */
template <int D>
constexpr int buffers =
    RING_BYTES / page_bytes<D> < BUFFERS_MAX ? RING_BYTES / page_bytes<D> : BUFFERS_MAX;
template <int D> struct split_shared {
    unsigned char ring[buffers<D>][page_bytes<D>];
    unsigned char queries[SPLIT_ROWS * row_pieces<D> * 16];
    float4 weight[KEY_TILES][32]; // as lanes hold them
    float max[WARPS][SPLIT_ROWS];
    attention_split work;
};

/* A warp's part: outputs of pairs warp, warp + 4 ... of 16 elements. */
template <int D> struct split_state {
    enum { PAIRS = (D / 16 + WARPS - 1) / WARPS };
    float o[PAIRS][1][2][4];
    float max[2], sum[2], factor[2];
};

/* The new row of a step of decoding, which is not in its page yet, goes into shared memory, and
 * once into the page. */
template <int D>
__device__ __forceinline__ void store_fresh(unsigned char *to, bf16 *page, const float *row,
                                            int fresh, int size, bool aligned, bool keep)
{
    for (int c = threadIdx.x; c < D / 8; c += THREADS) {
        const uint4 x = eight_of(row, c, size, aligned);
        *(uint4 *)(to + piece_at<D>(fresh, c)) = x;
        if (keep)
            *(uint4 *)(page + fresh * D + c * 8) = x;
    }
}

/* Weights of the warp's 16 keys of a page, into shared memory. Waits for the other warps once. */
template <int D>
__device__ __forceinline__ void split_scores(split_state<D> &st, split_shared<D> &sh,
                                             const unsigned char *keys, const int (&low)[2],
                                             const int (&last)[2], float scale)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float score[1][2][4] = {};
#pragma unroll(D > 128 ? 4 : 8) // more would spill
    for (int d = 0; d < D / 16; d++) {
        uint32_t a[1][4], b[2][2];
        load_left<D>(a[0], sh.queries, 0, d);
        load_keys<D>(b[0], b[1], keys, warp * 2, d);
        multiply(score, a, b);
    }
    mask(score[0][0], warp * 2, low, last, scale);
    mask(score[0][1], warp * 2 + 1, low, last, scale);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const float(&x)[4] = score[0][0], (&y)[4] = score[0][1];
        const float m =
            quad_max(fmaxf(fmaxf(x[2 * h], x[2 * h + 1]), fmaxf(y[2 * h], y[2 * h + 1])));
        if (lane % 4 == 0)
            sh.max[warp][lane / 4 + h * 8] = m;
    }
    __syncthreads();
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float m = st.max[h];
#pragma unroll
        for (int w = 0; w < WARPS; w++)
            m = fmaxf(m, sh.max[w][lane / 4 + h * 8]);
        const float base = base_of(m);
#pragma unroll
        for (int t = 0; t < 2; t++)
#pragma unroll
            for (int e = 2 * h; e < 2 * h + 2; e++)
                score[0][t][e] = exact_exp(__fsub_rn(score[0][t][e], base));
        st.factor[h] = exact_exp(__fsub_rn(st.max[h], base));
        st.max[h] = m;
    }
#pragma unroll
    for (int t = 0; t < 2; t++) {
        const float(&x)[4] = score[0][t];
        sh.weight[warp * 2 + t][lane] = make_float4(x[0], x[1], x[2], x[3]);
    }
}

/* The page's weighted values onto the warp's outputs. */
template <int D>
__device__ __forceinline__ void split_values(split_state<D> &st, const split_shared<D> &sh,
                                             const unsigned char *values)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    uint32_t a[PAGE_KEYS / 16][1][4];
    float sum[2] = {0.0f, 0.0f};
#pragma unroll
    for (int j = 0; j < KEY_TILES; j++) {
        const float4 w = sh.weight[j][lane];
        sum[0] = __fadd_rn(__fadd_rn(sum[0], w.x), w.y);
        sum[1] = __fadd_rn(__fadd_rn(sum[1], w.z), w.w);
        a[j / 2][0][j % 2 * 2] = pair_of(w.x, w.y);
        a[j / 2][0][j % 2 * 2 + 1] = pair_of(w.z, w.w);
    }
#pragma unroll
    for (int h = 0; h < 2; h++)
        st.sum[h] = __fmaf_rn(st.sum[h], st.factor[h], quad_sum(sum[h]));
#pragma unroll
    for (int i = 0; i < split_state<D>::PAIRS; i++) {
        const int pair = warp + i * WARPS;
        if (pair >= D / 16)
            break;
#pragma unroll
        for (int t = 0; t < 2; t++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                st.o[i][0][t][e] = __fmul_rn(st.o[i][0][t][e], st.factor[e / 2]);
#pragma unroll
        for (int k = 0; k < PAGE_KEYS / 16; k++) {
            uint32_t b[2][2];
            load_values<D>(b[0], b[1], values, k, pair * 2);
            multiply(st.o[i], a[k], b);
        }
    }
}

/* A row's only chunk is its end; else its state goes to memory. */
template <int D>
__device__ __forceinline__ void split_end(const split_state<D> &st, const attention_call &a,
                                          const attention_segment &s, const tile_rows &t, int head,
                                          int chunk)
{
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int r = lane / 4 + h * 8;
        if (!t.there(r))
            continue;
        const size_t place = place_of(a, s, t, head, r);
        const size_t state = s.part + (place - (size_t)s.first * a.H) * s.chunks + chunk - s.chunk;
        const bool only = s.chunks == 1;
        float max = MINUS_INFINITY, sum = 0.0f, keep = 0.0f, take = 0.0f, inverse = 0.0f;
        if (only) {
            fold_factors(max, sum, st.max[h], st.sum[h], keep, take);
            inverse = __fdiv_rn(1.0f, sum);
        }
#pragma unroll
        for (int i = 0; i < split_state<D>::PAIRS; i++)
#pragma unroll
            for (int x = 0; x < 4; x++) {
                const int d = (warp + i * WARPS) * 16 + x / 2 * 8 + lane % 4 * 2 + x % 2;
                const float o = st.o[i][0][x / 2][h * 2 + x % 2];
                if (only && d < a.D)
                    a.o[place * a.D + d] = output_of(fold_value(0.0f, o, keep, take), inverse);
                else if (!only && d < D)
                    a.part[state * D + d] = o;
            }
        if (warp == 0 && lane % 4 == 0 && !only) {
            a.mass[state * 2] = st.max[h];
            a.mass[state * 2 + 1] = st.sum[h];
        } else if (warp == 0 && lane % 4 == 0 && a.lse)
            a.lse[place] = log_sum_of(max, sum);
    }
}

template <int D>
__global__ void __launch_bounds__(THREADS, D > 128 ? 2 : 3) attention_split_kernel(attention_call a)
{
    SHARED_DYNAMIC(shared);
    early_begin();
    split_shared<D> &sh = *(split_shared<D> *)shared;
    for (int i = threadIdx.x; i < (int)(sizeof sh.work / 4); i += THREADS)
        ((uint32_t *)&sh.work)[i] = ((const uint32_t *)(a.split + blockIdx.x))[i];
    __syncthreads();
    if (sh.work.chunk < 0)
        return; // a list is longer than its work (attention_list.h)
    const attention_segment s = sh.work.segment;
    const int head = blockIdx.y, lane = threadIdx.x % 32, page0 = sh.work.chunk * CHUNK_PAGES;
    const tile_rows t = rows_of(a, s, sh.work.tile * SPLIT_ROWS);
    const head_pages<D> pages = pages_of<D>(a, s, head);
    const int begin = max(page0, t.low(0) / PAGE_KEYS);
    const int end = min(page0 + CHUNK_PAGES, (t.keys(SPLIT_ROWS - 1) + PAGE_KEYS - 1) / PAGE_KEYS);
    auto load = [&](int i) { // keys and values of a page, then those of the next
        const int page = begin + i / 2;
        if (page < end) {
            unsigned char *to = sh.ring[i % buffers<D>];
            bf16 *from =
                (i % 2 ? pages.values : pages.keys) + sh.work.page[page - page0] * pages.stride;
            const int fresh = s.fresh && page == s.start / PAGE_KEYS ? s.start % PAGE_KEYS : -1;
            load_page<D, THREADS>(to, from, s.start + s.count - page * PAGE_KEYS, fresh);
            if (fresh >= 0)
                store_fresh<D>(to, from, (i % 2 ? a.v : a.k) + ((size_t)s.first * a.K + head) * a.D,
                               fresh, a.D, a.aligned, sh.work.tile == 0);
        }
        copy_commit();
    };
#pragma unroll
    for (int i = 0; i < buffers<D> - 1; i++)
        load(i);
    load_queries<D, SPLIT_ROWS, THREADS>(sh.queries, a, s, t, head);
    split_state<D> st = {};
    st.max[0] = st.max[1] = MINUS_INFINITY;
    for (int i = 0; i < 2 * (end - begin); i++) {
        copy_wait<buffers<D> - 2>();
        __syncthreads(); // also: all have read the buffer that is filled next
        load(i + buffers<D> - 1);
        const unsigned char *at = sh.ring[i % buffers<D>];
        if (i % 2) {
            split_values<D>(st, sh, at);
            continue;
        }
        const int key = (begin + i / 2) * PAGE_KEYS;
        int low[2], last[2];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            low[h] = t.low(lane / 4 + h * 8) - key;
            last[h] = t.keys(lane / 4 + h * 8) - key;
        }
        split_scores<D>(st, sh, at, low, last, a.scale);
    }
    split_end<D>(st, a, s, t, head, sh.work.chunk);
}

/* A block for each (query, head), a thread for each element. */
template <int D> __global__ void __launch_bounds__(D) attention_fold_kernel(attention_call a)
{
    SHARED(float2[D], mass); // of so many chunks
    early_begin();
    const attention_fold item = a.fold[blockIdx.x];
    if (!item.chunks)
        return;
    const int d = threadIdx.x, head = blockIdx.y;
    const size_t first = item.part + (size_t)head * item.chunks;
    const size_t place = (size_t)item.row * a.H + head;
    float max = MINUS_INFINITY, sum = 0.0f, x = 0.0f;
    for (int begin = 0; begin < item.chunks; begin += D) {
        const int some = min(item.chunks - begin, D);
        __syncthreads();
        if (d < some)
            mass[d] = ((const float2 *)a.mass)[first + begin + d];
        __syncthreads();
#pragma unroll 4
        for (int c = 0; c < some; c++) {
            float keep, take;
            fold_factors(max, sum, mass[c].x, mass[c].y, keep, take);
            x = fold_value(x, a.part[(first + begin + c) * D + d], keep, take);
        }
    }
    if (d < a.D)
        a.o[place * a.D + d] = output_of(x, __fdiv_rn(1.0f, sum));
    if (a.lse && d == 0)
        a.lse[place] = log_sum_of(max, sum);
}

template <int D> static cudaError_t split_of(cudaStream_t stream, const attention_call &a)
{
    constexpr int bytes = sizeof(split_shared<D>);
    TRY_CUDA(cudaFuncSetAttribute(attention_split_kernel<D>,
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    TRY_CUDA(launch_early(attention_split_kernel<D>, dim3(a.splits, a.K), dim3(THREADS), bytes,
                          stream, a));
    if (!a.folds)
        return cudaSuccess;
    return launch_early(attention_fold_kernel<D>, dim3(a.folds, a.H), dim3(D), 0, stream, a);
}

cudaError_t attention_run_split(cudaStream_t stream, const attention_call *call)
{
    if (!call->splits)
        return cudaSuccess;
    switch (attention_width(call->D)) {
#define SPLIT_OF(D)                                                                                \
    case D:                                                                                        \
        return split_of<D>(stream, *call);
        ATTENTION_WIDTHS(SPLIT_OF)
    default:
        return cudaErrorInvalidValue;
    }
}
