/* A block of DRAW_THREADS that draws from a row: the block's shared memory, the row's weights and
 * masses, sums over threads. Every thread calls each of these.
 *
 *     depth_of(depth, row, part, row.max);                 -- four tokens of the part
 *     const u64 mass = mass_of<MASS_BITS>(exact_exp(depth[0]));
 *     const u64 all = block_total(state, mass);  */
#pragma once
#include "tensor/cuda/draw_part.h"

typedef unsigned long long u64;

enum {
    DRAW_THREADS = 1024, // each takes four tokens of a part
    DRAW_WARPS = DRAW_THREADS / 32,
    PARTS_MAX = DRAW_VOCABULARY_MAX / ROW_PART,
    KEY_STEP = 10, // bits of a weight that one histogram tells apart
    KEY_BITS = 30, // weights are at most 1
    BINS = 1 << KEY_STEP,
};

/* Of a block, in shared memory. */
struct draw_state {
    row_total plain, drawn;
    double each[PARTS_MAX]; // sums of drawn parts
    float best;
    int best_at;
    u64 warp[DRAW_WARPS];
    u64 bin[BINS];
    u64 part[PARTS_MAX];
    /* Of a search. */
    int found, at;
    u64 rest, amount;
};

/* The row as the draw sees it. */
struct drawn_row {
    const float *logits;
    const uint32_t *mark; // NULL: no penalty
    const row_part *part;
    float scale, penalty, max;
    int V, parts;
    bool wide;
};

/* x - max of this thread's four tokens of a part, as in part_of: -infinity behind the row. */
__device__ __forceinline__ void depth_of(float (&depth)[4], const drawn_row &row, int part,
                                         float max)
{
    const int at = threadIdx.x * 4;
    const float4 v =
        load_four(row.logits, (size_t)part * ROW_PART + at, row.V, row.wide, MINUS_INFINITY);
    const float x[4] = {v.x, v.y, v.z, v.w};
    const uint32_t mark = row.mark ? row.mark[(size_t)part * MARK_WORDS + at / 32] >> at % 32 : 0u;
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const float logit = mark >> e & 1 ? penalised(x[e], row.penalty) : x[e];
        depth[e] = __fsub_rn(__fmul_rn(logit, row.scale), max);
    }
}

/* A weight of at most 1 in units of 2^-bits, rounded down. */
template <int bits> __device__ __forceinline__ u64 mass_of(float weight)
{
    const uint32_t key = __float_as_uint(weight);
    const int up = (int)(key >> 23) - (150 - bits);
    const u64 digits = (key & 0x7fffff) | 0x800000;
    return up >= 0 ? digits << up : up > -24 ? digits >> -up : 0;
}

/* Sums of x over the threads up to this one. Barriers before and after it are its own. */
__device__ __forceinline__ u64 block_scan(u64 x, u64 (&warp)[DRAW_WARPS])
{
    const int lane = threadIdx.x % 32, w = threadIdx.x / 32;
#pragma unroll
    for (int by = 1; by < 32; by *= 2) {
        const u64 before = __shfl_up_sync(0xffffffffu, x, by);
        x += lane >= by ? before : 0;
    }
    __syncthreads();
    if (lane == 31)
        warp[w] = x;
    __syncthreads();
    if (w == 0) {
        const u64 own = warp[lane];
        u64 sum = own;
#pragma unroll
        for (int by = 1; by < 32; by *= 2) {
            const u64 before = __shfl_up_sync(0xffffffffu, sum, by);
            sum += lane >= by ? before : 0;
        }
        warp[lane] = sum - own;
    }
    __syncthreads();
    return x + warp[w];
}

/* The depth that is below every weight of at least w. */
__device__ __forceinline__ float depth_below(double w)
{
    return (float)(exact_log(w) - 1e-4); // exact_exp is off by less than 1e-6
}

/* Whether the sum of amounts passes goal in this thread: then what of the goal lies behind the
 * threads before it. */
__device__ __forceinline__ bool passes(draw_state &state, u64 amount, u64 goal, u64 &rest)
{
    const u64 sum = block_scan(amount, state.warp);
    rest = goal - (sum - amount);
    return sum > goal && sum - amount <= goal;
}

__device__ __forceinline__ u64 block_total(draw_state &state, u64 x)
{
    const u64 sum = block_scan(x, state.warp);
    if (threadIdx.x == DRAW_THREADS - 1)
        state.rest = sum;
    __syncthreads();
    return state.rest;
}

/* In halves: shared memory adds 32 bits at once, and would try again and again with 64. */
__device__ __forceinline__ void add_shared(u64 *to, u64 x)
{
    unsigned *half = (unsigned *)to;
    const unsigned low = (unsigned)x, old = atomicAdd(half, low);
    const unsigned high = (unsigned)(x >> 32) + (old + low < old);
    if (high)
        atomicAdd(half + 1, high);
}
