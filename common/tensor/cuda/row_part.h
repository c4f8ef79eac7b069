/* Sums over parts of a row of logits, and over the row: vocabulary.h has their orders.
 *
 *     float x[PART_EACH];
 *     load_part(x, row, part, V, wide);                     -- by a block of PART_THREADS
 *     const row_part mine = part_of(x, scale, scratch);     -- the same in every thread
 *     const row_total all = total_of(parts, count, NULL);   -- by a warp; the same in every lane */
#pragma once
#include "tensor/cuda/fours.h"
#include "tensor/cuda/vocabulary.h"

enum { PART_THREADS = 256, PART_WARPS = PART_THREADS / 32, PART_EACH = ROW_PART / PART_THREADS };

struct row_part {
    float max, sum, moment;
};
struct row_total {
    float max;
    double sum, moment;
};

__host__ __device__ __forceinline__ int parts_of(int V)
{
    return (V - 1) / ROW_PART + 1;
}

/* Where this thread's element e lies in the part. */
__device__ __forceinline__ int place_of(int e)
{
    return e / 4 * (PART_THREADS * 4) + threadIdx.x * 4 + e % 4;
}

/* The thread's logits of a part; -infinity behind the row. */
__device__ __forceinline__ void load_part(float (&x)[PART_EACH], const float *row, int part, int V,
                                          bool wide)
{
#pragma unroll
    for (int e = 0; e < PART_EACH; e += 4) {
        const float4 v =
            load_four(row, (size_t)part * ROW_PART + place_of(e), V, wide, MINUS_INFINITY);
        x[e] = v.x, x[e + 1] = v.y, x[e + 2] = v.z, x[e + 3] = v.w;
    }
}

/* The other way: what lies behind the row is not stored. */
__device__ __forceinline__ void store_part(float *row, const float (&x)[PART_EACH], int part, int V,
                                           bool wide)
{
#pragma unroll
    for (int e = 0; e < PART_EACH; e += 4)
        store_four(row, (size_t)part * ROW_PART + place_of(e), V, wide,
                   make_float4(x[e], x[e + 1], x[e + 2], x[e + 3]));
}

/* scratch: not used since the last barrier. */
__device__ __forceinline__ row_part part_of(const float (&logit)[PART_EACH], float scale,
                                            float (&scratch)[3][PART_WARPS])
{
    row_part ret = {MINUS_INFINITY, 0.0f, 0.0f};
#pragma unroll
    for (int e = 0; e < PART_EACH; e++)
        ret.max = fmaxf(ret.max, __fmul_rn(logit[e], scale));
    ret.max = block_max<PART_THREADS>(ret.max, scratch[0]);
    const float base = ret.max == MINUS_INFINITY ? 0.0f : ret.max;
#pragma unroll
    for (int e = 0; e < PART_EACH; e++) {
        const float x = __fsub_rn(__fmul_rn(logit[e], scale), base), weight = exact_exp(x);
        ret.sum = __fadd_rn(ret.sum, weight);
        ret.moment = __fmaf_rn(weight, fmaxf(-87.0f, x), ret.moment); // 0 for -infinity
    }
    ret.sum = block_sum<PART_THREADS>(ret.sum, scratch[1]);
    ret.moment = block_sum<PART_THREADS>(ret.moment, scratch[2]);
    return ret;
}

/* each (count), unless NULL: the parts' sums in units of the row's. */
__device__ __forceinline__ row_total total_of(const row_part *part, int count, double *each)
{
    const int lane = threadIdx.x % 32;
    row_total ret = {MINUS_INFINITY, 0.0, 0.0};
    for (int p = lane; p < count; p += 32)
        ret.max = fmaxf(ret.max, part[p].max);
    ret.max = warp_max(ret.max);
    for (int p = lane; p < count; p += 32) {
        const row_part one = part[p];
        const float down = __fsub_rn(one.max, ret.max);
        const double factor = (double)exact_exp(down), sum = __dmul_rn(factor, (double)one.sum);
        const double away = __dmul_rn((double)one.sum, (double)fmaxf(-87.0f, down));
        ret.sum = __dadd_rn(ret.sum, sum);
        ret.moment = __dadd_rn(ret.moment, __dmul_rn(factor, __dadd_rn((double)one.moment, away)));
        if (each)
            each[p] = sum;
    }
    ret.sum = warp_sum(ret.sum);
    ret.moment = warp_sum(ret.moment);
    return ret;
}

__device__ __forceinline__ float logp_of(const row_total &row, float logit, float scale)
{
    const double x = (double)__fmul_rn(logit, scale);
    return (float)__dadd_rn(__dadd_rn(x, -(double)row.max), -exact_log(row.sum));
}
