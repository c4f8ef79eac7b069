/* AdamW over fp32 masters: the chain of cpu/adamw_isa.c, element by element, so the same bits. In
 * the same pass the values that changed are counted, hashed and marked. */
#include "tensor/cuda/fours.h"
#include "tensor/cuda/hash_sum.h"
#include "tensor/cuda/optimizer.h"

enum { THREADS = 256, WARPS = THREADS / 32, PIECE = 8, BLOCKS_MAX = 2048 };

/* A thread's piece of bf16 values, two to a word. */
struct halves {
    unsigned word[PIECE / 2];

    __device__ __forceinline__ unsigned at(int j) const
    {
        return word[j / 2] >> 16 * (j % 2) & 0xffff;
    }
};

__device__ __forceinline__ halves load_halves(const uint16_t *w, size_t i, size_t count, bool wide)
{
    halves ret = {};
    if (wide && i + PIECE <= count) {
        const uint4 v = *(const uint4 *)(w + i);
        return halves{{v.x, v.y, v.z, v.w}};
    }
#pragma unroll
    for (int j = 0; j < PIECE; j++)
        if (i + j < count)
            ret.word[j / 2] |= (unsigned)w[i + j] << 16 * (j % 2);
    return ret;
}

__device__ __forceinline__ void store_halves(uint16_t *w, size_t i, size_t count, bool wide,
                                             const halves &v)
{
    if (wide && i + PIECE <= count) {
        *(uint4 *)(w + i) = make_uint4(v.word[0], v.word[1], v.word[2], v.word[3]);
        return;
    }
#pragma unroll
    for (int j = 0; j < PIECE; j++)
        if (i + j < count)
            w[i + j] = (uint16_t)v.at(j);
}

/* One element. */
__device__ __forceinline__ void step(float &master, float &m, float &v, float grad,
                                     const adamw_constants &c)
{
    const float g = __fmul_rn(grad, c.grad_scale);
    m = __fmaf_rn(c.beta1, m, __fmul_rn(c.one_minus_beta1, g));
    v = __fmaf_rn(c.beta2, v, __fmul_rn(c.one_minus_beta2, __fmul_rn(g, g)));
    const float down = __fadd_rn(__fsqrt_rn(__fmul_rn(v, c.v_scale)), c.eps);
    master = __fmaf_rn(-c.rate, __fdiv_rn(m, down), __fmul_rn(master, c.keep));
}

/* Elements i..i+7 step; those behind the last are zeros, and stay so. */
__device__ __forceinline__ halves update(const optimizer_arrays &a, size_t i, size_t count,
                                         bool wide, const adamw_constants &c)
{
    halves ret = {};
#pragma unroll
    for (int half = 0; half < PIECE / 4; half++) {
        const size_t at = i + half * 4;
        float4 master = load_four(a.master, at, count, wide, 0.0f);
        float4 m = load_four(a.m, at, count, wide, 0.0f), v = load_four(a.v, at, count, wide, 0.0f);
        const float4 grad = load_four(a.grad, at, count, wide, 0.0f);
        step(master.x, m.x, v.x, grad.x, c);
        step(master.y, m.y, v.y, grad.y, c);
        step(master.z, m.z, v.z, grad.z, c);
        step(master.w, m.w, v.w, grad.w, c);
        store_four(a.master, at, count, wide, master);
        store_four(a.m, at, count, wide, m);
        store_four(a.v, at, count, wide, v);
        ret.word[half * 2] = nearest_bf16(master.x) | nearest_bf16(master.y) << 16;
        ret.word[half * 2 + 1] = nearest_bf16(master.z) | nearest_bf16(master.w) << 16;
    }
    return ret;
}

/* The word of 32 marks that four neighbouring lanes have eight of each. */
__device__ __forceinline__ unsigned word_of(unsigned mine)
{
    unsigned word = mine << threadIdx.x % 4 * PIECE;
    word |= __shfl_xor_sync(0xffffffffu, word, 1);
    return word | __shfl_xor_sync(0xffffffffu, word, 2);
}

__global__ void __launch_bounds__(THREADS)
    adamw_kernel(optimizer_arrays a, unsigned long long first, size_t count, adamw_constants c,
                 uint32_t *marks, optimizer_total *total, bool wide)
{
    SHARED(sum128[WARPS], sums);
    SHARED(unsigned[WARPS], counts);
    const size_t pieces = (size_t)gridDim.x * THREADS;
    unsigned changes = 0;
    sum128 sum = {0, 0};
    /* A warp's pieces begin or end together, so its lanes stay together. */
    for (size_t p = (size_t)blockIdx.x * THREADS + threadIdx.x; p / 32 * 32 * PIECE < count;
         p += pieces) {
        const size_t i = p * PIECE;
        const halves old = load_halves(a.w, i, count, wide), now = update(a, i, count, wide, c);
        unsigned changed = 0;
#pragma unroll
        for (int j = 0; j < PIECE; j++)
            if (i + j < count && old.at(j) != now.at(j)) {
                changed |= 1u << j;
                add(sum, hash_of(first + i + j, now.at(j)));
                subtract(sum, hash_of(first + i + j, old.at(j)));
            }
        changes += __popc(changed);
        store_halves(a.w, i, count, wide, now);
        if (marks) {
            const unsigned word = word_of(changed);
            if (threadIdx.x % 4 == 0 && word)
                marks[i / 32] |= word;
        }
    }
    changes = __reduce_add_sync(0xffffffffu, changes);
    if (threadIdx.x % 32 == 0)
        counts[threadIdx.x / 32] = changes;
    sum = block_sum128<THREADS>(sum, sums);
    if (threadIdx.x)
        return;
    for (int i = 1; i < WARPS; i++)
        changes += counts[i];
    if (!changes)
        return;
    /* Integers: the order of the blocks does not show. Each overflow of the low word is one block's
     * to carry. */
    const unsigned long long low = atomicAdd(&total->low, sum.low);
    atomicAdd(&total->high, sum.high + (low + sum.low < low));
    atomicAdd(&total->changed, (unsigned long long)changes);
}

cudaError_t optimizer_adamw(cudaStream_t stream, const struct optimizer_arrays *arrays,
                            size_t first, size_t count, const struct adamw_constants *constants,
                            uint32_t *marks, struct optimizer_total *total)
{
    const optimizer_arrays a = *arrays;
    const size_t each = (size_t)THREADS * PIECE, blocks = (count + each - 1) / each;
    const bool wide = fours_in(a.master, 4) && fours_in(a.m, 4) && fours_in(a.v, 4) &&
                      fours_in(a.grad, 4) && (uintptr_t)a.w % 16 == 0;
    if (!count)
        return cudaSuccess;
    return launch(adamw_kernel, dim3((unsigned)(blocks < BLOCKS_MAX ? blocks : (size_t)BLOCKS_MAX)),
                  dim3(THREADS), 0, stream, a, first, count, *constants, marks, total, wide);
}
