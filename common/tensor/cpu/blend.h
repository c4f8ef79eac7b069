/* The product of weights and values that attention ends with: a few rows by one or two vectors of a
 * head, along a stretch of keys. */
#pragma once
#include "tensor/cpu/isa.h"

/* A block's product with the values: row r takes `keys[r]` of them, which does not fall with r. */
struct blend {
    const float *e;
    const void *values[CHAIN_BLOCK / KV_PAGE]; // KV_PAGE rows each
    size_t values_row;
    int column; // of the values, from which on
    float *out;
    int out_row, columns;
    bool accumulate;
    int keys[TILE_ROWS];
};

/* How a value is read: whole vectors of float32, or of bf16; _EDGE: the last columns. */
enum blend_kind { BLEND_F32, BLEND_F32_EDGE, BLEND_BF16, BLEND_BF16_EDGE };

INLINE v16 blend_value(const struct blend *b, const void *rows, int j, int vector,
                       enum blend_kind kind)
{
    const size_t at = j * b->values_row + b->column + vector * 16;
    switch (kind) {
    case BLEND_F32:
        return v16_load((const float *)rows + at);
    case BLEND_F32_EDGE:
        return v16_load_some((const float *)rows + at, b->columns);
    case BLEND_BF16:
        return v16_load_bf16_some((const bf16 *)rows + at, 16);
    case BLEND_BF16_EDGE:
        return v16_load_bf16_some((const bf16 *)rows + at, b->columns);
    }
    __builtin_unreachable();
}

INLINE void blend_run(const struct blend *b, int rows, int vectors, enum blend_kind kind)
{
    v16 sum[TILE_ROWS][2];
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            sum[i][v] = b->accumulate ? v16_load(b->out + i * b->out_row + v * 16) : v16_set1(0.0f);
        }
    }
    for (int first = 0; first < b->keys[rows - 1]; first += KV_PAGE) {
        const void *page = b->values[first / KV_PAGE];
        const float *e = b->e + first;
        const int every = b->keys[0] - first < KV_PAGE ? b->keys[0] - first : KV_PAGE;
        const int some = b->keys[rows - 1] - first < KV_PAGE ? b->keys[rows - 1] - first : KV_PAGE;
        int j = 0;
        for (; j < every; j++) {
            const v16 v0 = blend_value(b, page, j, 0, kind);
            const v16 v1 = vectors > 1 ? blend_value(b, page, j, 1, kind) : v0;
            UNROLL for (int i = 0; i < rows; i++)
            {
                const v16 weight = v16_set1(e[i * A_STRIDE + j]);
                sum[i][0] = v16_fma(weight, v0, sum[i][0]);
                if (vectors > 1)
                    sum[i][1] = v16_fma(weight, v1, sum[i][1]);
            }
        }
        for (; j < some; j++) { // the diagonal: only the later rows see these
            const v16 v0 = blend_value(b, page, j, 0, kind);
            const v16 v1 = vectors > 1 ? blend_value(b, page, j, 1, kind) : v0;
            UNROLL for (int i = 0; i < rows; i++)
            {
                if (first + j >= b->keys[i])
                    continue;
                const v16 weight = v16_set1(e[i * A_STRIDE + j]);
                sum[i][0] = v16_fma(weight, v0, sum[i][0]);
                if (vectors > 1)
                    sum[i][1] = v16_fma(weight, v1, sum[i][1]);
            }
        }
    }
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            v16_store(b->out + i * b->out_row + v * 16, sum[i][v]);
        }
    }
}

typedef void blend_function(const struct blend *);
#define BLEND(rows)                                                                                \
    static void blend_f32_##rows(const struct blend *b)                                            \
    {                                                                                              \
        blend_run(b, rows, 2, BLEND_F32);                                                          \
    }                                                                                              \
    static void blend_f32_edge_##rows(const struct blend *b)                                       \
    {                                                                                              \
        blend_run(b, rows, 1, BLEND_F32_EDGE);                                                     \
    }                                                                                              \
    static void blend_bf16_##rows(const struct blend *b)                                           \
    {                                                                                              \
        blend_run(b, rows, 2, BLEND_BF16);                                                         \
    }                                                                                              \
    static void blend_bf16_edge_##rows(const struct blend *b)                                      \
    {                                                                                              \
        blend_run(b, rows, 1, BLEND_BF16_EDGE);                                                    \
    }
TILE_EACH(BLEND)
#define BLEND_ROW(rows)                                                                            \
    [rows] = {blend_f32_##rows, blend_f32_edge_##rows, blend_bf16_##rows, blend_bf16_edge_##rows},
static blend_function *const blends[][4] = {TILE_EACH(BLEND_ROW)}; // [rows][blend_kind]
