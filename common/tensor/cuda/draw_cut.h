/* The rank from which on a row's tokens are not kept, by a search through the bits of weights.
 *
 *     cut least = {0, NOWHERE};                              -- all are kept
 *     cut_where(state, row, low, top_k - 1, counting(), least); */
#pragma once
#include "tensor/cuda/draw_sum.h"

/* Amounts of the tokens whose weights begin with these bits, by the next KEY_STEP bits. */
template <class A>
__device__ __forceinline__ void fill_bins(draw_state &state, const drawn_row &row, float low,
                                          uint32_t prefix, int shift, const A &amount)
{
    state.bin[threadIdx.x] = 0;
    if (threadIdx.x == 0)
        state.found = 0;
    __syncthreads();
    for (int p = 0; p < row.parts; p++) {
        float depth[4];
        if (!(__fsub_rn(row.part[p].max, row.max) >= low))
            continue;
        depth_of(depth, row, p, row.max);
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (!(depth[e] >= low))
                continue;
            const float weight = exact_exp(depth[e]);
            const uint32_t key = __float_as_uint(weight);
            if (key >> (shift + KEY_STEP) == prefix)
                add_shared(&state.bin[key >> shift & (BINS - 1)], amount(weight, 0));
        }
    }
    __syncthreads();
}

/* The rank at which the amounts, likeliest first, sum to more than goal. Of tokens at `low` or
 * above; false if they do not, and ret is untouched. */
template <class A>
__device__ __forceinline__ bool cut_where(draw_state &state, const drawn_row &row, float low,
                                          u64 goal, const A &amount, cut &ret)
{
    uint32_t prefix = 0;
    u64 rest;
#pragma unroll 1
    for (int shift = KEY_BITS - KEY_STEP; shift >= 0; shift -= KEY_STEP) {
        fill_bins(state, row, low, prefix, shift, amount);
        const int bin = BINS - 1 - (int)threadIdx.x;
        const u64 mine = state.bin[bin];
        if (passes(state, mine, goal, rest)) {
            state.found = 1;
            state.at = bin;
            state.rest = rest;
            state.amount = mine;
        }
        __syncthreads();
        if (!state.found)
            return false;
        prefix = prefix << KEY_STEP | (uint32_t)state.at;
        goal = state.rest;
        low = fmaxf(low, depth_below((double)__uint_as_float(prefix << shift)));
        __syncthreads();
    }
    const u64 each = amount(__uint_as_float(prefix), 0), need = goal / each + 1;
    const bool all = need == state.amount / each;
    __syncthreads();
    ret.key = prefix;
    ret.last = NOWHERE;
    if (!all) {
        const counting_ties ties = {prefix};
        sum_parts(state, row, low, ties);
        find_in_row(state, row, need - 1, ties);
        ret.last = state.at;
        __syncthreads();
    }
    return true;
}
