/* Sums of a row's amounts, and the token at which a running sum passes a goal. An amount is a
 * function of a token's weight and number, an integer. Every thread of the block calls these, and
 * finds results in draw_state.
 *
 *     sum_parts(state, row, low, kept);            -- state.part: what is kept of each part
 *     find_in_row(state, row, goal, kept);         -- state.at: the token, state.amount: its amount */
#pragma once
#include "tensor/cuda/draw_row.h"

/* Amounts of tokens at `low` or above, part by part, into state.part. */
template <class A>
__device__ __forceinline__ void sum_parts(draw_state &state, const drawn_row &row, float low,
                                          const A &amount)
{
    __syncthreads();
    for (int p = threadIdx.x; p < row.parts; p += DRAW_THREADS)
        state.part[p] = 0;
    __syncthreads();
    for (int p = 0; p < row.parts; p++) {
        float depth[4];
        u64 sum = 0;
        if (!(__fsub_rn(row.part[p].max, row.max) >= low))
            continue;
        depth_of(depth, row, p, row.max);
#pragma unroll
        for (int e = 0; e < 4; e++)
            if (depth[e] >= low)
                sum += amount(exact_exp(depth[e]), p * ROW_PART + (int)threadIdx.x * 4 + e);
        if (!__any_sync(0xffffffffu, sum != 0))
            continue;
#pragma unroll
        for (int with = 16; with; with /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, with);
        if (threadIdx.x % 32 == 0)
            add_shared(&state.part[p], sum);
    }
    __syncthreads();
}

/* The token of the part at which the running sum of amounts passes goal: state.at, and its amount.
 * max: what depths are measured from. */
template <class A>
__device__ __forceinline__ void find_in_part(draw_state &state, const drawn_row &row, int part,
                                             float max, u64 goal, const A &amount)
{
    float depth[4];
    u64 each[4], sum = 0, left;
    const int first = part * ROW_PART + (int)threadIdx.x * 4;
    depth_of(depth, row, part, max);
#pragma unroll
    for (int e = 0; e < 4; e++)
        sum += each[e] = amount(exact_exp(depth[e]), first + e);
    if (passes(state, sum, goal, left)) {
        bool there = false;
#pragma unroll
        for (int e = 0; e < 4; e++) {
            if (!there && each[e] > left) {
                there = true;
                state.at = first + e;
                state.amount = each[e];
            }
            left -= each[e];
        }
    }
    __syncthreads();
}

/* The same over the row, whose parts' amounts are in state.part. */
template <class A>
__device__ __forceinline__ void find_in_row(draw_state &state, const drawn_row &row, u64 goal,
                                            const A &amount)
{
    u64 rest;
    if (passes(state, (int)threadIdx.x < row.parts ? state.part[threadIdx.x] : 0, goal, rest)) {
        state.at = threadIdx.x;
        state.rest = rest;
    }
    __syncthreads();
    const int part = state.at;
    goal = state.rest;
    __syncthreads();
    find_in_part(state, row, part, row.max, goal, amount);
}

/* Tokens of a larger weight are kept, and those of the same weight up to `last`. */
struct cut {
    uint32_t key; // the weight's bits
    int last;
};

struct counting {
    __device__ u64 operator()(float, int) const
    {
        return 1;
    }
};
struct counting_ties {
    uint32_t key;
    __device__ u64 operator()(float weight, int) const
    {
        return __float_as_uint(weight) == key;
    }
};
struct mass_in_part {
    __device__ u64 operator()(float weight, int) const
    {
        return mass_of<PART_BITS>(weight);
    }
};
struct mass_in_row {
    __device__ u64 operator()(float weight, int) const
    {
        return mass_of<MASS_BITS>(weight);
    }
};
struct mass_kept {
    float floor;
    cut least;
    __device__ u64 operator()(float weight, int id) const
    {
        const uint32_t key = __float_as_uint(weight);
        const bool above = key > least.key || (key == least.key && id <= least.last);
        return above && weight >= floor ? mass_of<MASS_BITS>(weight) : 0;
    }
};
