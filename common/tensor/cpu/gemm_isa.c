/* Matrix products: one fma chain per output, over k ascending; no order of anything else shows in
 * the bits.
 *
 * Few rows: B is streamed once past them, several panels at a time (a step of decoding reads every
 * weight once).
 * Many: blocks of A's rows are packed to stay in the L2 cache, a block of one panel of B stays in
 * L1, and tiles run down the rows (Goto & van de Geijn 2008). Between blocks of the chain the tile
 * waits in C, where nothing is rounded. */
#include "tensor/cpu/tile.h"

/* ---- the tile */

/* edge: some columns are missing. */
INLINE v16 tile_b(const struct tile *t, enum b_kind kind, int k, int vector, int vectors, bool edge)
{
    if (kind == B_ROWS_BF16)
        return v16_load_bf16_some((const bf16 *)t->b + k * t->b_row + vector * 16,
                                  edge ? t->columns - vector * 16 : 16);
    const ptrdiff_t at = (ptrdiff_t)(vector / 2) * t->b_panel + (ptrdiff_t)k * PANEL;
    const int half = vectors == 1 ? t->half : vector % 2;
    if (kind == B_PANELS_BF16)
        return v16_panel_bf16((const bf16 *)t->b + at, half);
    return v16_load((const float *)t->b + at + half * 16);
}

INLINE v16 tile_a(const struct tile *t, enum a_layout layout, int i, int k)
{
    if (layout == A_ROWS)
        return v16_set1(t->a[i * A_STRIDE + k]);
    if (layout == A_COLUMNS)
        return v16_set1(t->a[k * TILE_ROWS + i]);
    return v16_set1(t->a[i * t->a_row + k]);
}

/* The outputs so far, or zeros; and what became of them. full: no column is missing, as in nearly
 * every tile. */
INLINE v16 tile_begin(const struct tile *t, int i, int v, bool full)
{
    const float *c = t->c + i * t->c_row + v * 16;
    return full ? v16_load(c) : v16_load_some(c, t->columns - v * 16);
}

INLINE void tile_end(const struct tile *t, int i, int v, bool full, v16 sum)
{
    float *c = t->c + i * t->c_row + v * 16;
    if (full)
        v16_store(c, sum);
    else
        v16_store_some(c, sum, t->columns - v * 16);
}

#define TILE_EACH_SUM(rows, vectors, DO)                                                           \
    UNROLL for (int i = 0; i < (rows); i++)                                                        \
    {                                                                                              \
        UNROLL for (int v = 0; v < (vectors); v++)                                                 \
        {                                                                                          \
            DO;                                                                                    \
        }                                                                                          \
    }

INLINE void tile_chain(const struct tile *t, int rows, int vectors, enum a_layout layout,
                       enum b_kind kind, bool edge)
{
    enum { VECTORS_MAX = 8 };
    const bool full = t->columns >= vectors * 16;
    v16 sum[TILE_ROWS][VECTORS_MAX];
    if (!t->accumulate)
        TILE_EACH_SUM(rows, vectors, sum[i][v] = v16_set1(0.0f))
    else if (full)
        TILE_EACH_SUM(rows, vectors, sum[i][v] = tile_begin(t, i, v, true))
    else
        TILE_EACH_SUM(rows, vectors, sum[i][v] = tile_begin(t, i, v, false))
    if (layout != A_LOOSE)
        TILE_EACH_SUM(rows, vectors, __builtin_prefetch(t->c_ahead + i * t->c_row + v * 16, 1, 2))
    for (int k = 0; k < t->K; k++) {
        if (layout == A_ROWS && kind == B_PANELS_BF16)
            __builtin_prefetch(t->ahead + (ptrdiff_t)k * (ptrdiff_t)(PANEL * sizeof(bf16)), 0, 2);
        UNROLL for (int v = 0; v < vectors; v += 2)
        {
            const v16 b0 = tile_b(t, kind, k, v, vectors, edge);
            const v16 b1 = v + 1 < vectors ? tile_b(t, kind, k, v + 1, vectors, edge) : b0;
            UNROLL for (int i = 0; i < rows; i++)
            {
                const v16 a = tile_a(t, layout, i, k);
                sum[i][v] = v16_fma(a, b0, sum[i][v]);
                if (v + 1 < vectors)
                    sum[i][v + 1] = v16_fma(a, b1, sum[i][v + 1]);
            }
        }
    }
    if (full)
        TILE_EACH_SUM(rows, vectors, tile_end(t, i, v, true, sum[i][v]))
    else
        TILE_EACH_SUM(rows, vectors, tile_end(t, i, v, false, sum[i][v]))
}

INLINE void tile_run(const struct tile *t, int rows, int vectors, enum a_layout layout,
                     enum b_kind kind)
{
    tile_chain(t, rows, vectors, layout, kind, false);
}

typedef void tile_function(const struct tile *);

#define PACKED(rows)                                                                               \
    static void rows_bf16_##rows(const struct tile *t)                                             \
    {                                                                                              \
        tile_run(t, rows, TILE_VECTORS, A_ROWS, B_PANELS_BF16);                                    \
    }                                                                                              \
    static void rows_f32_##rows(const struct tile *t)                                              \
    {                                                                                              \
        tile_run(t, rows, TILE_VECTORS, A_ROWS, B_PANELS_F32);                                     \
    }                                                                                              \
    static void columns_f32_##rows(const struct tile *t)                                           \
    {                                                                                              \
        tile_run(t, rows, TILE_VECTORS, A_COLUMNS, B_PANELS_F32);                                  \
    }
TILE_EACH(PACKED)
#define ROWS_BF16(rows)   [rows] = rows_bf16_##rows,
#define ROWS_F32(rows)    [rows] = rows_f32_##rows,
#define COLUMNS_F32(rows) [rows] = columns_f32_##rows,
static tile_function *const packed_rows_bf16[] = {TILE_EACH(ROWS_BF16)};
static tile_function *const packed_rows_f32[] = {TILE_EACH(ROWS_F32)};
static tile_function *const packed_columns_f32[] = {TILE_EACH(COLUMNS_F32)};

#define LOOSE(rows, vectors)                                                                       \
    static void loose_bf16_##rows(const struct tile *t)                                            \
    {                                                                                              \
        tile_run(t, rows, vectors, A_LOOSE, B_PANELS_BF16);                                        \
    }                                                                                              \
    static void loose_f32_##rows(const struct tile *t)                                             \
    {                                                                                              \
        tile_run(t, rows, vectors, A_LOOSE, B_PANELS_F32);                                         \
    }                                                                                              \
    static void single_bf16_##rows(const struct tile *t)                                           \
    {                                                                                              \
        tile_run(t, rows, 2, A_LOOSE, B_PANELS_BF16);                                              \
    }                                                                                              \
    static void single_f32_##rows(const struct tile *t)                                            \
    {                                                                                              \
        tile_run(t, rows, 2, A_LOOSE, B_PANELS_F32);                                               \
    }                                                                                              \
    static void loose_rows_##rows(const struct tile *t)                                            \
    {                                                                                              \
        tile_run(t, rows, vectors, A_LOOSE, B_ROWS_BF16);                                          \
    }                                                                                              \
    static void single_rows_##rows(const struct tile *t)                                           \
    {                                                                                              \
        tile_chain(t, rows, 2, A_LOOSE, B_ROWS_BF16, true);                                        \
    }
TILE_LOOSE(LOOSE)
/* [rows]: how many panels wide, and the tiles by b_kind, that wide and one panel wide. */
#define LOOSE_ROW(rows, vectors)                                                                   \
    [rows] = {(vectors) / 2,                                                                       \
              {loose_bf16_##rows, loose_f32_##rows, loose_rows_##rows},                            \
              {single_bf16_##rows, single_f32_##rows, single_rows_##rows}},
static const struct {
    int panels;
    tile_function *wide[3], *single[3];
} loose[] = {TILE_LOOSE(LOOSE_ROW)};

void ISA_NAME(tile)(const struct tile *tile, int rows, enum a_layout layout, enum b_kind kind)
{
    tile_function *const run = kind == B_PANELS_BF16 ? packed_rows_bf16[rows]
                               : layout == A_ROWS    ? packed_rows_f32[rows]
                                                     : packed_columns_f32[rows];
    run(tile);
    if (TILE_VECTORS == 2 || tile->columns <= 16)
        return;
    struct tile right = *tile;
    right.half = 1;
    right.c += 16;
    right.columns -= 16;
    run(&right);
}

static int panels_of(const struct gemm *g)
{
    return (g->N + PANEL - 1) / PANEL;
}

/* ---- few rows */

static void gemm_loose(const struct gemm *g, int row0, int row1, int panel0, int panel1)
{
    const int rows = row1 - row0, wide = loose[rows].panels;
    struct tile tile = {.K = g->K,
                        .a = g->a + row0 * g->a_row,
                        .a_row = g->a_row,
                        .b_panel = g->b_stride,
                        .b_row = g->b_stride,
                        .c_row = g->c_row,
                        .accumulate = g->accumulate};
    for (int p = panel0; p < panel1;) {
        const ptrdiff_t at = p * (g->kind == B_ROWS_BF16 ? (ptrdiff_t)PANEL : g->b_stride);
        tile.b = g->kind == B_PANELS_F32 ? (const void *)((const float *)g->b + at)
                                         : (const bf16 *)g->b + at;
        tile.c = g->c + row0 * g->c_row + (ptrdiff_t)p * PANEL;
        tile.columns = g->N - p * PANEL;
        const bool all =
            p + wide <= panel1 && (g->kind != B_ROWS_BF16 || tile.columns >= wide * PANEL);
        (all ? loose[rows].wide : loose[rows].single)[g->kind](&tile);
        p += all ? wide : 1;
    }
}

/* ---- many rows */

/* Rows m..m+rows-1 of A along k..k+K-1. */
static void pack_a(float *to, const struct gemm *g, int m, int rows, int k, int K)
{
    const float *from = g->a + m * g->a_row + k * g->a_k;
    if (g->a_k == 1)
        for (int i = 0; i < rows; i++)
            memcpy(to + i * A_STRIDE, from + i * g->a_row, (size_t)K * sizeof *to);
    else // a whole vector each: the next row, or the room behind the last, takes what is too much
        for (int i = 0; i < K; i++)
            v16_store(to + i * TILE_ROWS, v16_load_some(from + i * g->a_k, rows));
}

/* The panel of columns n.. of row-major B along k..k+K-1. */
static void pack_b_f32(float *to, const struct gemm *g, int n, int k, int K)
{
    const float *from = (const float *)g->b + k * g->b_stride + n;
    for (int i = 0; i < K; i++, from += g->b_stride, to += PANEL) {
        v16_store(to, v16_load_some(from, g->N - n));
        v16_store(to + 16,
                  g->N - n > 16 ? v16_load_some(from + 16, g->N - n - 16) : v16_set1(0.0f));
    }
}

static void pack_b_bf16(bf16 *to, const struct gemm *g, int n, int k, int K)
{
    const bf16 *from = (const bf16 *)g->b + k * g->b_stride + n;
    const int columns = g->N - n;
    for (int i = 0; i < K; i++, from += g->b_stride, to += PANEL) {
        bf16 edge[PANEL] = {0};
        if (columns < PANEL)
            memcpy(edge, from, (size_t)columns * sizeof *from);
        const bf16 *row = columns < PANEL ? edge : from;
        const v16 pairs = v16_pair_bf16(row, row + 16);
        memcpy(to, &pairs, sizeof pairs);
    }
}

/* Panel p along k..k+K-1: where it lies, or packed into `block`. */
static const void *b_block(const struct gemm *g, int p, int k, int K, float *block)
{
    const ptrdiff_t at = p * g->b_stride + (ptrdiff_t)k * PANEL;
    switch (g->kind) {
    case B_PANELS_BF16:
        return (const bf16 *)g->b + at;
    case B_PANELS_F32:
        return (const float *)g->b + at;
    case B_ROWS_BF16:
        pack_b_bf16((bf16 *)block, g, p * PANEL, k, K);
        return block;
    case B_ROWS_F32:
        pack_b_f32(block, g, p * PANEL, k, K);
        return block;
    }
    __builtin_unreachable();
}

/* What a panel's last tile fetches ahead: the block of the next panel. Blocks of one stretch of the
 * chain lie apart, so the processor does not see them coming, and with few rows a block is used
 * once or twice. */
static const char *next_block(const struct gemm *g, const void *b, int p, int last)
{
    const bool there = g->kind == B_PANELS_BF16 && p + 1 < last;
    return (const char *)((const bf16 *)b + (there ? g->b_stride : 0));
}

/* Rows m..m+rows-1, rows <= ROW_BLOCK, along k..k+K-1, K <= CHAIN_BLOCK. */
static void gemm_block(const struct gemm *g, int m, int rows, int k, int K, int panel0, int panel1,
                       float *scratch)
{
    enum { TILE_FLOATS = TILE_ROWS * A_STRIDE };
    const int tiles = (rows + TILE_ROWS - 1) / TILE_ROWS, step = (rows + tiles - 1) / tiles;
    const enum a_layout layout = g->a_k == 1 ? A_ROWS : A_COLUMNS;
    const enum b_kind kind =
        g->kind == B_PANELS_BF16 || g->kind == B_ROWS_BF16 ? B_PANELS_BF16 : B_PANELS_F32;
    for (int i = 0; i < tiles; i++) {
        const int left = rows - i * step;
        pack_a(scratch + (size_t)i * TILE_FLOATS, g, m + i * step, left < step ? left : step, k, K);
    }
    for (int first = 0; g; first += panels_of(g), g = g->also) {
        struct tile tile = {.K = K, .c_row = g->c_row, .accumulate = g->accumulate || k > 0};
        const int last = panel1 - first < panels_of(g) ? panel1 - first : panels_of(g);
        for (int p = panel0 > first ? panel0 - first : 0; p < last; p++) {
            tile.b = b_block(g, p, k, K, scratch + ROW_BLOCK * A_STRIDE);
            tile.columns = g->N - p * PANEL;
            for (int i = 0; i * step < rows; i++) {
                const int left = rows - i * step;
                tile.a = scratch + (size_t)i * TILE_FLOATS;
                tile.ahead = (i + 1) * step < rows ? tile.b : next_block(g, tile.b, p, last);
                tile.c = g->c + (m + i * step) * g->c_row + (ptrdiff_t)p * PANEL;
                tile.c_ahead = (i + 1) * step < rows
                                   ? tile.c + step * g->c_row
                                   : g->c + m * g->c_row + (ptrdiff_t)(p + (p + 1 < last)) * PANEL;
                ISA_NAME(tile)(&tile, left < step ? left : step, layout, kind);
            }
        }
    }
}

void ISA_NAME(gemm)(const struct gemm *g, int row0, int row1, int panel0, int panel1,
                    float *scratch)
{
    if (g->kind != B_ROWS_F32 && g->a_k == 1 && row1 - row0 <= LOOSE_ROWS) {
        for (int first = 0; g; first += panels_of(g), g = g->also) {
            const int last = panel1 - first < panels_of(g) ? panel1 - first : panels_of(g);
            gemm_loose(g, row0, row1, panel0 > first ? panel0 - first : 0, last);
        }
        return;
    }
    for (int m = row0; m < row1; m += ROW_BLOCK) {
        const int rows = row1 - m < ROW_BLOCK ? row1 - m : ROW_BLOCK;
        for (int k = 0; k < g->K; k += CHAIN_BLOCK) {
            const int K = g->K - k < CHAIN_BLOCK ? g->K - k : CHAIN_BLOCK;
            gemm_block(g, m, rows, k, K, panel0, panel1, scratch);
        }
    }
}
