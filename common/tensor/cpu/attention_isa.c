/* Causal attention. Per query row and head, over the keys 0..its own position:
 *   score[j] = chain over d of (q[d] / sqrt(D)) k[j][d];  e[j] = exp(score[j] - max over all j)
 *   sum      = 16 lanes by j mod 16, fixed tree
 *   o[d]     = (chain over j ascending of e[j] v[j][d]) * (1 / sum)
 * A masked key takes part in nothing, so a row's bits are those of a call that ends with it.
 *
 * Rows (query, head of the group) go in tiles; a tile's scores lie in blocks of CHAIN_BLOCK keys,
 * packed as the product with the values wants its left side: row r of block b at b * BLOCK_FLOATS +
 * r * A_STRIDE. */
#include "tensor/cpu/tile.h"

enum { BLOCK_FLOATS = TILE_ROWS * A_STRIDE };

/* One tile of rows: row r is head `first + r` of the rows (query * group + head). */
struct rows {
    const struct attention_unit *unit;
    int first, count, group;
    float *q, *score, *out; // out [row][out_row]
    int out_row;
    float scale; // of the scores
};

static int keys_of(const struct rows *rows, int r)
{
    return rows->unit->start + (rows->first + r) / rows->group + 1;
}

/* Where row r of the tile lies in q and o: its index in (count,H). */
static size_t place_of(const struct rows *rows, int r)
{
    const int row = rows->first + r;
    return (size_t)(row / rows->group) * rows->unit->shape->H +
           (size_t)rows->unit->head * rows->group + (size_t)(row % rows->group);
}

/* ---- appending */

/* The new keys into their columns of the panels; into a cache, the new values into its rows. */
static void append(const struct attention_unit *u)
{
    const int D = u->shape->D;
    const size_t stride = (size_t)u->shape->K * D, head = (size_t)u->head * D;
    ISA_NAME(pack_columns)(u->key_panels, u->k + head, stride, D, u->start, u->count);
    for (int i = 0; u->values && i < u->count; i++)
        memcpy(u->values + (size_t)(u->start + i) * D, u->v + i * stride + head,
               (size_t)D * sizeof(float));
}

/* ---- scores */

/* The tile's queries, scaled and packed. */
static void load_queries(const struct rows *rows)
{
    const int D = rows->unit->shape->D;
    for (int r = 0; r < rows->count; r++) {
        const float *q = rows->unit->q + place_of(rows, r) * D;
        for (int d = 0; d < D; d += 16) {
            float *to =
                rows->q + (size_t)(d / CHAIN_BLOCK) * BLOCK_FLOATS + r * A_STRIDE + d % CHAIN_BLOCK;
            v16_store(to, v16_mul(v16_load_some(q + d, D - d), v16_set1(rows->scale)));
        }
    }
}

/* All rows against keys key..key+keys-1, a block's. Few rows of a small head take several panels at
 * a time. */
static void score_block(const struct rows *rows, int key, int keys)
{
    const int D = rows->unit->shape->D;
    float *score = rows->score + (size_t)(key / CHAIN_BLOCK) * BLOCK_FLOATS;
    const float *panels = rows->unit->key_panels + (size_t)key * D;
    if (rows->count <= LOOSE_ROWS && D <= CHAIN_BLOCK) {
        const struct gemm gemm = {.M = rows->count,
                                  .N = keys,
                                  .K = D,
                                  .a = rows->q,
                                  .a_row = A_STRIDE,
                                  .a_k = 1,
                                  .kind = B_PANELS_F32,
                                  .b = panels,
                                  .b_stride = (ptrdiff_t)D * PANEL,
                                  .c = score,
                                  .c_row = A_STRIDE};
        ISA_NAME(gemm)(&gemm, 0, rows->count, 0, (keys + PANEL - 1) / PANEL, NULL);
        return;
    }
    for (int d = 0; d < D; d += CHAIN_BLOCK)
        for (int j = 0; j < keys; j += PANEL) {
            const struct tile tile = {.K = D - d < CHAIN_BLOCK ? D - d : CHAIN_BLOCK,
                                      .a = rows->q + (size_t)(d / CHAIN_BLOCK) * BLOCK_FLOATS,
                                      .b = panels + (size_t)j * D + (size_t)d * PANEL,
                                      .c = score + j,
                                      .c_row = A_STRIDE,
                                      .columns = keys - j,
                                      .accumulate = d > 0};
            ISA_NAME(tile)(&tile, rows->count, A_ROWS, B_PANELS_F32);
        }
}

/* score becomes exp(score - max) for one row; returns the sum. */
static float exp_row(float *score, int keys, float *ret_max)
{
    const v16 lowest = v16_set1(-INFINITY), zero = v16_set1(0.0f);
    v16 max = lowest, sum = zero;
    for (int j = 0; j < keys; j += 16) {
        const float *at = score + (size_t)(j / CHAIN_BLOCK) * BLOCK_FLOATS + j % CHAIN_BLOCK;
        max = v16_max(v16_first(v16_load(at), keys - j, lowest), max);
    }
    *ret_max = v16_max_lane(max);
    max = v16_set1(*ret_max);
    for (int j = 0; j < keys; j += 16) {
        float *at = score + (size_t)(j / CHAIN_BLOCK) * BLOCK_FLOATS + j % CHAIN_BLOCK;
        const v16 e = v16_first(v16_exp(v16_sub(v16_load(at), max)), keys - j, zero);
        sum = v16_add(sum, e);
        v16_store(at, e);
    }
    return v16_sum(sum);
}

/* ---- values */

/* A block's product with the values: row r takes `keys[r]` of them, which does not fall with r. */
struct blend {
    const float *e, *values;
    size_t values_row;
    float *out;
    int out_row, columns;
    bool accumulate;
    int keys[TILE_ROWS];
};

INLINE void blend_run(const struct blend *b, int rows, int vectors, bool edge)
{
    v16 sum[TILE_ROWS][2];
    UNROLL for (int i = 0; i < rows; i++)
    {
        UNROLL for (int v = 0; v < vectors; v++)
        {
            sum[i][v] = b->accumulate ? v16_load(b->out + i * b->out_row + v * 16) : v16_set1(0.0f);
        }
    }
    int j = 0;
    for (; j < b->keys[0]; j++) {
        const float *value = b->values + j * b->values_row;
        const v16 v0 = edge ? v16_load_some(value, b->columns) : v16_load(value);
        const v16 v1 = vectors > 1 ? v16_load(value + 16) : v0;
        UNROLL for (int i = 0; i < rows; i++)
        {
            const v16 e = v16_set1(b->e[i * A_STRIDE + j]);
            sum[i][0] = v16_fma(e, v0, sum[i][0]);
            if (vectors > 1)
                sum[i][1] = v16_fma(e, v1, sum[i][1]);
        }
    }
    for (; j < b->keys[rows - 1]; j++) { // the diagonal: only the later rows see these
        const float *value = b->values + j * b->values_row;
        const v16 v0 = edge ? v16_load_some(value, b->columns) : v16_load(value);
        const v16 v1 = vectors > 1 ? v16_load(value + 16) : v0;
        UNROLL for (int i = 0; i < rows; i++)
        {
            if (j >= b->keys[i])
                continue;
            const v16 e = v16_set1(b->e[i * A_STRIDE + j]);
            sum[i][0] = v16_fma(e, v0, sum[i][0]);
            if (vectors > 1)
                sum[i][1] = v16_fma(e, v1, sum[i][1]);
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
    static void blend_pair_##rows(const struct blend *b)                                           \
    {                                                                                              \
        blend_run(b, rows, 2, false);                                                              \
    }                                                                                              \
    static void blend_edge_##rows(const struct blend *b)                                           \
    {                                                                                              \
        blend_run(b, rows, 1, true);                                                               \
    }
TILE_EACH(BLEND)
#define BLEND_PAIR(rows) [rows] = blend_pair_##rows,
#define BLEND_EDGE(rows) [rows] = blend_edge_##rows,
static blend_function *const blend_pair[] = {TILE_EACH(BLEND_PAIR)}, *const blend_edge[] = {
                                                                         TILE_EACH(BLEND_EDGE)};

/* out (+)= e values over one block of keys. */
static void blend_block(const struct rows *rows, int key)
{
    const struct attention_unit *u = rows->unit;
    const int D = u->shape->D;
    const size_t values_row = u->values ? (size_t)D : (size_t)u->shape->K * D;
    const float *values = (u->values ? u->values : u->v + (size_t)u->head * D) + key * values_row;
    struct blend blend = {.e = rows->score + (size_t)(key / CHAIN_BLOCK) * BLOCK_FLOATS,
                          .values_row = values_row,
                          .out_row = rows->out_row,
                          .accumulate = key > 0};
    for (int r = 0; r < rows->count; r++) {
        const int keys = keys_of(rows, r) - key;
        blend.keys[r] = keys < 0 ? 0 : keys < CHAIN_BLOCK ? keys : CHAIN_BLOCK;
    }
    for (int d = 0; d < D;) {
        const bool pair = TILE_VECTORS == 2 && D - d >= 32;
        blend.values = values + d;
        blend.out = rows->out + d;
        blend.columns = D - d;
        (pair ? blend_pair : blend_edge)[rows->count](&blend);
        d += pair ? 32 : 16;
    }
}

/* ---- a tile, a unit */

static void attend(const struct rows *rows)
{
    const int D = rows->unit->shape->D, keys = keys_of(rows, rows->count - 1);
    load_queries(rows);
    for (int key = 0; key < keys; key += CHAIN_BLOCK)
        score_block(rows, key, keys - key < CHAIN_BLOCK ? keys - key : CHAIN_BLOCK);
    float sum[TILE_ROWS], max[TILE_ROWS];
    for (int r = 0; r < rows->count; r++)
        sum[r] = exp_row(rows->score + r * A_STRIDE, keys_of(rows, r), &max[r]);
    for (int r = 0; r < rows->count && rows->unit->lse; r++)
        rows->unit->lse[place_of(rows, r)] = (float)((double)max[r] + exact_log(sum[r]));
    for (int key = 0; key < keys; key += CHAIN_BLOCK)
        blend_block(rows, key);
    for (int r = 0; r < rows->count; r++) {
        float *o = rows->unit->o + place_of(rows, r) * D;
        const float *out = rows->out + r * rows->out_row;
        const v16 inverse = v16_set1(1.0f / sum[r]);
        for (int d = 0; d < D; d += 16)
            v16_store_some(o + d, v16_mul(v16_load(out + d), inverse), D - d);
    }
}

void ISA_NAME(attention)(const struct attention_unit *u, float *scratch)
{
    const int D = u->shape->D, group = u->shape->H / u->shape->K, all = u->count * group;
    const int width = (D + 15) / 16 * 16;
    append(u);
    struct rows rows = {.unit = u,
                        .group = group,
                        .out = scratch,
                        .out_row = width,
                        .q = scratch + (size_t)TILE_ROWS * width,
                        .scale = 1.0f / sqrtf((float)D)};
    rows.score = rows.q + (size_t)((D + CHAIN_BLOCK - 1) / CHAIN_BLOCK) * BLOCK_FLOATS;
    for (rows.first = 0; rows.first < all; rows.first += rows.count) {
        const int left = all - rows.first;
        rows.count = left < TILE_ROWS ? left : TILE_ROWS;
        attend(&rows);
    }
}
