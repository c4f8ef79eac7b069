/* Causal attention over pages. A row's bits are a function of its own query and of keys 0..its position: per chunk of KV_CHUNK
 * positions (absolute) an online softmax over its pages ascending, from nothing; then the chunks' states folded ascending.
 *
 * Decode: a warp for each (sequence, kv head, chunk), states to memory, `fold`. Prefill: a warp for 16 rows, which walks the
 * chunks and folds in registers. Both run attend_page and fold_chunk; a page that a row does not see leaves its state as it is:
 * the weights are exactly 0 and the factor exactly 1. */
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/device.h"

enum { ROWS = 16, KEY_TILES = KV_PAGE / 8, WARPS = 4 };

/* Of 16 rows; a lane holds rows lane/4 and lane/4 + 8. */
template <int D> struct state {
    float o[1][D / 8][4];
    float max[2], sum[2];
};

template <int D> __device__ __forceinline__ void state_clear(state<D> &s)
{
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s.o[0][j][e] = 0.0f;
    s.max[0] = s.max[1] = MINUS_INFINITY;
    s.sum[0] = s.sum[1] = 0.0f;
}

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

/* A page (of keys, or of values) of one kv head into shared memory; rows from `rows` on become zeros. */
template <int D, int THREADS> __device__ __forceinline__ void load_page(unsigned char *to, const bf16 *from, int rows, int thread)
{
#pragma unroll
    for (int i = thread; i < KV_PAGE * D / 8; i += THREADS) {
        const int r = i / (D / 8), c = i % (D / 8);
        copy_async(to + swizzle<D / 8>(r, c) * 16, r < rows ? from + r * D + c * 8 : from, r < rows);
    }
}

/* limit[h]: how many of the page's keys row lane/4 + 8h sees (may be <= 0, or more than a page). */
template <int D>
__device__ __forceinline__ void attend_page(state<D> &s, const uint32_t (&q)[D / 16][4], const unsigned char *keys,
                                            const unsigned char *values, const int (&limit)[2], float scale)
{
    const int lane = threadIdx.x % 32;
    float score[1][KEY_TILES][4] = {};
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        uint32_t a[1][4] = {{q[d][0], q[d][1], q[d][2], q[d][3]}}, b[KEY_TILES][2];
#pragma unroll
        for (int j = 0; j < KEY_TILES; j += 2) {
            uint32_t two[4];
            load_matrix(two, keys + swizzle<D / 8>(j * 8 + lane % 8 + lane / 16 * 8, d * 2 + lane / 8 % 2) * 16);
            b[j][0] = two[0], b[j][1] = two[1], b[j + 1][0] = two[2], b[j + 1][1] = two[3];
        }
        multiply(score, a, b);
    }
    float factor[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float m = MINUS_INFINITY;
#pragma unroll
        for (int j = 0; j < KEY_TILES; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float &x = score[0][j][h * 2 + e];
                x = j * 8 + lane % 4 * 2 + e < limit[h] ? __fmul_rn(x, scale) : MINUS_INFINITY;
                m = fmaxf(m, x);
            }
        m = fmaxf(s.max[h], quad_max(m));
        const float base = m == MINUS_INFINITY ? 0.0f : m; // nothing seen yet: all weights are 0
        float sum = 0.0f;
#pragma unroll
        for (int j = 0; j < KEY_TILES; j++)
#pragma unroll
            for (int e = 0; e < 2; e++) {
                float &x = score[0][j][h * 2 + e];
                x = exact_exp(__fsub_rn(x, base));
                sum = __fadd_rn(sum, x);
            }
        factor[h] = exact_exp(__fsub_rn(s.max[h], base));
        s.max[h] = m;
        s.sum[h] = __fmaf_rn(s.sum[h], factor[h], quad_sum(sum));
    }
#pragma unroll
    for (int j = 0; j < D / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            s.o[0][j][e] = __fmul_rn(s.o[0][j][e], factor[e / 2]);
#pragma unroll
    for (int k = 0; k < KV_PAGE / 16; k++) { // a score tile's place in a lane is that of the left side of the next product
        const float(&l)[4] = score[0][2 * k], (&r)[4] = score[0][2 * k + 1];
        uint32_t a[1][4] = {{pair_of(l[0], l[1]), pair_of(l[2], l[3]), pair_of(r[0], r[1]), pair_of(r[2], r[3])}}, b[D / 8][2];
#pragma unroll
        for (int j = 0; j < D / 8; j += 2) {
            uint32_t two[4];
            load_matrix_trans(two, values + swizzle<D / 8>(k * 16 + lane % 16, j + lane / 16) * 16);
            b[j][0] = two[0], b[j][1] = two[1], b[j + 1][0] = two[2], b[j + 1][1] = two[3];
        }
        multiply(s.o, a, b);
    }
}

/* How two chunks' states meet: the factors of what is there and of what comes. A chunk of which the row sees nothing: 1, 0. */
__device__ __forceinline__ void fold_factors(float &max, float &sum, float chunk_max, float chunk_sum, float &keep, float &take)
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

/* Queries of 16 rows as left sides: row r's are at q + at(r), zeros if that is negative. */
template <int D, class F> __device__ __forceinline__ void load_queries(uint32_t (&a)[D / 16][4], const bf16 *q, F at)
{
    const int lane = threadIdx.x % 32;
    const long low = at(lane / 4), high = at(lane / 4 + 8);
    const uint32_t *l = (const uint32_t *)(q + (low < 0 ? 0 : low)), *h = (const uint32_t *)(q + (high < 0 ? 0 : high));
#pragma unroll
    for (int d = 0; d < D / 16; d++) {
        a[d][0] = low < 0 ? 0 : l[d * 8 + lane % 4];
        a[d][1] = high < 0 ? 0 : h[d * 8 + lane % 4];
        a[d][2] = low < 0 ? 0 : l[d * 8 + 4 + lane % 4];
        a[d][3] = high < 0 ? 0 : h[d * 8 + 4 + lane % 4];
    }
}

/* ---- decode: state (o, max, sum) of (sequence, head, chunk) at part + index * (D + 2) */

template <int D> constexpr int decode_warps = D > 64 ? 2 : WARPS; // each has four pages in shared memory

template <int D>
__global__ void __launch_bounds__(32 * decode_warps<D>)
decode_chunks(float *part, const bf16 *q, kv_view kv, const int32_t *position, int H, int K, int chunks, float scale)
{
    SHARED_DYNAMIC(shared);
    enum { PAGE_BYTES = KV_PAGE * D * 2 };
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = H / K;
    const int chunk = blockIdx.x * decode_warps<D> + warp, head = blockIdx.y, s = blockIdx.z, keys = position[s] + 1;
    if (chunk * KV_CHUNK >= keys)
        return; // the whole warp: nothing below waits for the block
    unsigned char *mine = shared + warp * 4 * PAGE_BYTES; // two stages of keys and values
    uint32_t a[D / 16][4];
    load_queries<D>(a, q, [&](int r) { return r < group ? ((long)s * H + head * group + r) * D : -1l; });
    const int first = chunk * (KV_CHUNK / KV_PAGE);
    const int left = keys - chunk * KV_CHUNK, pages = ((left < KV_CHUNK ? left : KV_CHUNK) + KV_PAGE - 1) / KV_PAGE;
    auto load = [&](int p) {
        if (p < pages) {
            const size_t at = ((size_t)kv.table[s * kv.pages + first + p] * K + head) * KV_PAGE * D;
            load_page<D, 32>(mine + p % 2 * 2 * PAGE_BYTES, kv.k + at, left - p * KV_PAGE, lane);
            load_page<D, 32>(mine + (p % 2 * 2 + 1) * PAGE_BYTES, kv.v + at, left - p * KV_PAGE, lane);
        }
        copy_commit();
    };
    state<D> st;
    state_clear(st);
    load(0);
    for (int p = 0; p < pages; p++) {
        load(p + 1);
        copy_wait<1>();
        __syncwarp(); // BUG_NO_SYNCWARP
        const int limit[2] = {left - p * KV_PAGE, left - p * KV_PAGE};
        attend_page<D>(st, a, mine + p % 2 * 2 * PAGE_BYTES, mine + (p % 2 * 2 + 1) * PAGE_BYTES, limit, scale);
        __syncwarp(); // all have read what the next load writes over
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int r = lane / 4 + h * 8;
        if (r >= group)
            continue;
        float *to = part + (((size_t)s * H + head * group + r) * chunks + chunk) * (D + 2);
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            to[j * 8 + lane % 4 * 2] = st.o[0][j][h * 2];
            to[j * 8 + lane % 4 * 2 + 1] = st.o[0][j][h * 2 + 1];
        }
        if (lane % 4 == 0) {
            to[D] = st.max[h];
            to[D + 1] = st.sum[h];
        }
    }
}

/* A block for each (sequence, head), a thread for each d. */
template <int D> __global__ void __launch_bounds__(D) decode_fold(bf16 *o, float *lse, const float *part, const int32_t *position, int chunks)
{
    const size_t at = (size_t)blockIdx.y * gridDim.x + blockIdx.x;
    const int d = threadIdx.x, keys = position[blockIdx.y] + 1, n = (keys + KV_CHUNK - 1) / KV_CHUNK;
    const float *from = part + at * chunks * (D + 2);
    float max = MINUS_INFINITY, sum = 0.0f, x = 0.0f;
    for (int c = 0; c < n; c++, from += D + 2) {
        float keep, take;
        fold_factors(max, sum, from[D], from[D + 1], keep, take);
        x = fold_value(x, from[d], keep, take);
    }
    o[at * D + d] = __float2bfloat16_rn(__fmul_rn(x, __fdiv_rn(1.0f, sum)));
    if (lse && d == 0)
        lse[at] = (float)((double)max + exact_log(sum));
}

/* ---- prefill: rows (query * group + head of the group) of one kv head, 16 to a warp */

template <int D>
__global__ void __launch_bounds__(32 * WARPS)
prefill(bf16 *o, float *lse, const bf16 *q, kv_view kv, int sequence, int start, int count, int H, int K, float scale)
{
    SHARED_DYNAMIC(shared);
    enum { PAGE_BYTES = KV_PAGE * D * 2 };
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = H / K, head = blockIdx.y, rows = count * group;
    const int row0 = blockIdx.x * (ROWS * WARPS) + warp * ROWS;
    auto place = [&](int r) { return ((long)((row0 + r) / group) * H + head * group + (row0 + r) % group); };
    uint32_t a[D / 16][4];
    load_queries<D>(a, q, [&](int r) { return row0 + r < rows ? place(r) * D : -1l; });
    const int last_row = min((int)blockIdx.x * (ROWS * WARPS) + ROWS * WARPS, rows) - 1;
    const int keys = start + last_row / group + 1, pages = (keys + KV_PAGE - 1) / KV_PAGE;
    auto load = [&](int p) {
        if (p < pages) {
            const size_t at = ((size_t)kv.table[sequence * kv.pages + p] * K + head) * KV_PAGE * D;
            unsigned char *to = shared + p % 2 * 2 * PAGE_BYTES;
            load_page<D, 32 * WARPS>(to, kv.k + at, keys - p * KV_PAGE, threadIdx.x);
            load_page<D, 32 * WARPS>(to + PAGE_BYTES, kv.v + at, keys - p * KV_PAGE, threadIdx.x);
        }
        copy_commit();
    };
    state<D> total, chunk;
    state_clear(total);
    state_clear(chunk);
    load(0);
    for (int p = 0; p < pages; p++) {
        load(p + 1);
        copy_wait<1>();
        __syncthreads();
        int limit[2];
#pragma unroll
        for (int h = 0; h < 2; h++)
            limit[h] = start + (row0 + lane / 4 + h * 8) / group + 1 - p * KV_PAGE;
        const unsigned char *at = shared + p % 2 * 2 * PAGE_BYTES;
        attend_page<D>(chunk, a, at, at + PAGE_BYTES, limit, scale);
        if ((p + 1) % (KV_CHUNK / KV_PAGE) == 0 || p + 1 == pages) {
#pragma unroll
            for (int h = 0; h < 2; h++) {
                float keep, take;
                fold_factors(total.max[h], total.sum[h], chunk.max[h], chunk.sum[h], keep, take);
#pragma unroll
                for (int j = 0; j < D / 8; j++)
#pragma unroll
                    for (int e = h * 2; e < h * 2 + 2; e++)
                        total.o[0][j][e] = fold_value(total.o[0][j][e], chunk.o[0][j][e], keep, take);
            }
            state_clear(chunk);
        }
        __syncthreads();
    }
#pragma unroll
    for (int h = 0; h < 2; h++) {
        const int r = lane / 4 + h * 8;
        if (row0 + r >= rows)
            continue;
        const float inverse = __fdiv_rn(1.0f, total.sum[h]);
        uint32_t *to = (uint32_t *)(o + place(r) * D);
#pragma unroll
        for (int j = 0; j < D / 8; j++)
            to[j * 4 + lane % 4] = pair_of(__fmul_rn(total.o[0][j][h * 2], inverse), __fmul_rn(total.o[0][j][h * 2 + 1], inverse));
        if (lse && lane % 4 == 0)
            lse[place(r)] = (float)((double)total.max[h] + exact_log(total.sum[h]));
    }
}

/* ---- host */

static int chunks_of(int positions)
{
    return (positions + KV_CHUNK - 1) / KV_CHUNK;
}

size_t attention_workspace(int S, int positions, attention_shape shape)
{
    return (size_t)S * shape.H * chunks_of(positions) * (shape.D + 2);
}

template <int D>
static cudaError_t decode_of(cudaStream_t stream, bf16 *o, float *lse, const bf16 *q, kv_view kv, const int32_t *position, int S,
                             int positions, attention_shape a, float *workspace)
{
    constexpr int warps = decode_warps<D>, bytes = warps * 4 * KV_PAGE * D * 2;
    const int chunks = chunks_of(positions);
    const float scale = 1.0f / sqrtf((float)D);
    TRY_CUDA(cudaFuncSetAttribute(decode_chunks<D>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    TRY_CUDA(launch(decode_chunks<D>, dim3((chunks + warps - 1) / warps, a.K, S), dim3(32 * warps), bytes, stream, workspace, q, kv,
                    position, a.H, a.K, chunks, scale));
    return launch(decode_fold<D>, dim3(a.H, S), dim3(D), 0, stream, o, lse, workspace, position, chunks);
}

template <int D>
static cudaError_t prefill_of(cudaStream_t stream, bf16 *o, float *lse, const bf16 *q, kv_view kv, int sequence, int start, int count,
                              attention_shape a)
{
    const int rows = count * (a.H / a.K), bytes = 4 * KV_PAGE * D * 2;
    TRY_CUDA(cudaFuncSetAttribute(prefill<D>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes));
    return launch(prefill<D>, dim3((rows + ROWS * WARPS - 1) / (ROWS * WARPS), a.K), dim3(32 * WARPS), bytes, stream, o, lse, q, kv,
                  sequence, start, count, a.H, a.K, 1.0f / sqrtf((float)D));
}

cudaError_t attention_decode(cudaStream_t stream, bf16 *o, float *lse, const bf16 *q, kv_view kv, const int32_t *position, int S,
                             int positions, attention_shape a, float *workspace)
{
    if (a.H % a.K || a.H / a.K > ROWS)
        return cudaErrorInvalidValue;
    switch (a.D) {
    case 16:
        return decode_of<16>(stream, o, lse, q, kv, position, S, positions, a, workspace);
    case 64:
        return decode_of<64>(stream, o, lse, q, kv, position, S, positions, a, workspace);
    case 128:
        return decode_of<128>(stream, o, lse, q, kv, position, S, positions, a, workspace);
    default:
        return cudaErrorInvalidValue;
    }
}

cudaError_t attention_prefill(cudaStream_t stream, bf16 *o, float *lse, const bf16 *q, kv_view kv, int sequence, int start, int count,
                              attention_shape a)
{
    if (a.H % a.K)
        return cudaErrorInvalidValue;
    switch (a.D) {
    case 16:
        return prefill_of<16>(stream, o, lse, q, kv, sequence, start, count, a);
    case 64:
        return prefill_of<64>(stream, o, lse, q, kv, sequence, start, count, a);
    case 128:
        return prefill_of<128>(stream, o, lse, q, kv, sequence, start, count, a);
    default:
        return cudaErrorInvalidValue;
    }
}
