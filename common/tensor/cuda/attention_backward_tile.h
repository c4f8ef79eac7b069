/* Pieces of both passes of attention's gradient. A block has 48 or 64 rows of its own, 16 for a
 * warp, and goes through others by tiles; scores have its own rows on the left. Heads over 128 have
 * a pair of warps for 16 rows: one makes scores, the other d_o . v. C++ of .cu files. */
#pragma once
#include "tensor/cuda/attention_backward.h"
#include "tensor/cuda/attention_tile.h"

template <int D> struct backward_tile {
    enum {
        OWN = ATTENTION_BACKWARD_BLOCK(D),
        PAIR = D > 128,
        GROUPS = OWN / 16, // of 16 rows
        THREADS = 32 * GROUPS * (PAIR ? 2 : 1),
        OTHERS = D <= 64    ? 64
                 : D <= 128 ? 32
                            : 16,            // a tile
        AT_ONCE = OTHERS < 32 ? OTHERS : 32, // of them
        J = AT_ONCE / 8,
        ROW_BYTES = row_pieces<D> * 16
    };
};

/* A tile and the one that is on its way, of two operands. */
template <int D> struct backward_ring {
    unsigned char first[2][backward_tile<D>::OTHERS * backward_tile<D>::ROW_BYTES];
    unsigned char second[2][backward_tile<D>::OTHERS * backward_tile<D>::ROW_BYTES];
};

/* Begins the copy of ROWS rows into shared memory. place(r): which row of `from`; negative: zeros.
 */
template <int D, int ROWS, class F>
__device__ __forceinline__ void load_rounded(unsigned char *to, const uint16_t *from, F place)
{
#pragma unroll 4
    for (int i = threadIdx.x; i < ROWS * (D / 8); i += backward_tile<D>::THREADS) {
        const int r = i / (D / 8), c = i % (D / 8), row = place(r);
        copy_async(to + piece_at<D>(r, c), from + (size_t)max(row, 0) * D + c * 8, row >= 0);
    }
}

/* x += 16 of the block's own rows times a tile's rows from `first` on. */
template <int D, int J>
__device__ __forceinline__ void row_products(float (&x)[1][J][4], const unsigned char *own,
                                             int row0, const unsigned char *others, int first)
{
#pragma unroll(D > 96 ? 4 : 8)
    for (int d = 0; d < D / 16; d++) {
        uint32_t a[1][4], b[J][2];
        load_left<D>(a[0], own, row0, d);
#pragma unroll
        for (int j = 0; j < J; j += 2)
            load_keys<D>(b[j], b[j + 1], others, first / 8 + j, d);
        multiply(x, a, b);
    }
}

/* Two such products, of which the second's rows are elsewhere. */
template <int D, int J>
__device__ __forceinline__ void row_products(float (&x)[1][J][4], float (&y)[1][J][4],
                                             const unsigned char *own, const unsigned char *own_y,
                                             int row0, const unsigned char *others,
                                             const unsigned char *others_y, int first)
{
#pragma unroll(D > 96 ? 4 : 8)
    for (int d = 0; d < D / 16; d++) {
        uint32_t a[1][4], b[J][2];
        load_left<D>(a[0], own, row0, d);
#pragma unroll
        for (int j = 0; j < J; j += 2)
            load_keys<D>(b[j], b[j + 1], others, first / 8 + j, d);
        multiply(x, a, b);
        load_left<D>(a[0], own_y, row0, d);
#pragma unroll
        for (int j = 0; j < J; j += 2)
            load_keys<D>(b[j], b[j + 1], others_y, first / 8 + j, d);
        multiply(y, a, b);
    }
}

/* Results of a product as the left side of the next. */
template <int J>
__device__ __forceinline__ void left_of(uint32_t (&a)[J / 2][1][4], const float (&x)[1][J][4])
{
#pragma unroll
    for (int j = 0; j < J; j++) {
        a[j / 2][0][j % 2 * 2] = pair_of(x[0][j][0], x[0][j][1]);
        a[j / 2][0][j % 2 * 2 + 1] = pair_of(x[0][j][2], x[0][j][3]);
    }
}

/* Sums of a warp: 16 rows of TILES * 8 elements. */
template <int D, int TILES> struct backward_sums {
    enum { AT_ONCE = TILES % 4 ? 2 : 4 };
    float x[TILES / AT_ONCE][1][AT_ONCE][4];
    __device__ __forceinline__ float &at(int j, int e)
    {
        return x[j / AT_ONCE][0][j % AT_ONCE][e];
    }
    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int j = 0; j < TILES; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                at(j, e) = 0.0f;
    }
    /* += a tile's rows from `first` on, weighted, elements from 8 * tile0 on. */
    template <int STEPS>
    __device__ __forceinline__ void add(const uint32_t (&weight)[STEPS][1][4],
                                        const unsigned char *rows, int first, int tile0)
    {
#pragma unroll
        for (int k = 0; k < STEPS; k++)
#pragma unroll
            for (int g = 0; g < TILES / AT_ONCE; g++) {
                uint32_t b[AT_ONCE][2];
#pragma unroll
                for (int j = 0; j < AT_ONCE; j += 2)
                    load_values<D>(b[j], b[j + 1], rows, first / 16 + k, tile0 + g * AT_ONCE + j);
                multiply(x[g], weight[k], b);
            }
    }
};

/* The softmax's weight of a score, from the forward's log-sum-exp. */
__device__ __forceinline__ float weight_of(float score, float scale, float lse)
{
    return exact_exp(__fsub_rn(__fmul_rn(score, scale), lse));
}
__device__ __forceinline__ float slope_of(float weight, float product, float delta)
{
    return __fmul_rn(weight, __fsub_rn(product, delta));
}

/* Of a kv head: where its rounded rows begin. */
__device__ __forceinline__ size_t head_rows(const attention_backward_call &a, int head, int group)
{
    return (size_t)head * a.rows * group;
}
