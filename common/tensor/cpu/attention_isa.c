/* Causal attention. Per query row and head, over the keys 0..its own position:
 *   score[j] = chain over d of (q[d] / sqrt(D)) k[j][d];  e[j] = exp(score[j] - max over all j)
 *   sum      = 16 lanes by j mod 16, fixed tree
 *   o[d]     = (chain over j ascending of e[j] v[j][d]) * (1 / sum)
 * A masked key takes part in nothing, so a row's bits are those of a call that ends with it. A key
 * outside the window weighs 0, which leaves a chain as it is. Whole blocks of such keys are passed
 * over.
 *
 * Rows (query, head of the group) go in tiles; a tile's scores lie in blocks of CHAIN_BLOCK keys,
 * packed as the product with the values wants its left side: row r of block b at b * block +
 * r * A_STRIDE.
 *
 * A step of decoding, one query over pages, walks the heads of each page together: keys of all
 * pages are read from one end to the other, then values. Head by head the same bytes are pieces of
 * a few KiB that lie apart, read at a third of the speed where they come from memory. */
#include "tensor/cpu/blend.h"
#include "tensor/cpu/tile.h"

/* One tile of rows: row r is head `first + r` of the rows (query * group + head). */
struct rows {
    const struct attention_unit *unit;
    int first, count, group;
    float *q, *score, *out; // out [row][out_row]
    float *inverse;         // (count) 1 / sum
    int out_row, block;     // block: floats from one block of scores, or of q, to the next
    int from;               // the first key that is computed; a multiple of KV_PAGE
    float scale;            // of the scores
};

static int keys_of(const struct rows *rows, int r)
{
    return rows->unit->start + (rows->first + r) / rows->group + 1;
}

/* The first key that row r sees. */
static int low_of(const struct rows *rows, int r)
{
    const int window = rows->unit->shape->window, keys = keys_of(rows, r);
    return window && keys > window ? keys - window : 0;
}

/* Where row r of the tile lies in q and o: its index in (count,H). */
static size_t place_of(const struct rows *rows, int r)
{
    const int row = rows->first + r;
    return (size_t)(row / rows->group) * rows->unit->shape->H +
           (size_t)rows->unit->head * rows->group + (size_t)(row % rows->group);
}

/* ---- where keys and values lie */

/* The keys of the page that has `key`; the values' row of it. */
static size_t keys_in(const struct attention_unit *u, int key)
{
    return (size_t)(u->page[key / KV_PAGE] * u->page_stride);
}

static size_t value_in(const struct attention_unit *u, int key)
{
    return keys_in(u, key) + (size_t)u->to_values + (size_t)(key % KV_PAGE) * u->shape->D;
}

/* The panels from key on, a multiple of 32. */
static const void *keys_at(const struct attention_unit *u, int key)
{
    if (!u->page)
        return u->key_panels + (size_t)key * u->shape->D;
    const size_t at = keys_in(u, key) + (size_t)(key % KV_PAGE) * u->shape->D;
    return u->format == KV_BF16 ? (const void *)((bf16 *)u->kv + at) : (float *)u->kv + at;
}

/* The rows of values from key on. */
static const void *values_at(const struct attention_unit *u, int key)
{
    if (!u->page && u->start)
        return u->values + (size_t)key * u->shape->D;
    if (!u->page)
        return u->v + ((size_t)key * u->shape->K + u->head) * u->shape->D;
    const size_t at = value_in(u, key);
    return u->format == KV_BF16 ? (const void *)((bf16 *)u->kv + at) : (float *)u->kv + at;
}

/* The new keys and values, from row i of the call on, into what is left of their page. */
static int append_some(const struct attention_unit *u, int i)
{
    const int D = u->shape->D, at = u->start + i, room = KV_PAGE - at % KV_PAGE;
    const int count = u->count - i < room ? u->count - i : room;
    const size_t stride = (size_t)u->shape->K * D, from = i * stride + (size_t)u->head * D;
    const size_t keys = keys_in(u, at), values = value_in(u, at);
    if (u->format == KV_BF16) {
        bf16 *to = (bf16 *)u->kv + values;
        ISA_NAME(pack_columns_bf16)
        ((bf16 *)u->kv + keys, u->k + from, stride, D, at % KV_PAGE, count);
        for (int r = 0; r < count; r++, to += D)
            for (int d = 0; d < D; d++)
                to[d] = bf16_from_float(u->v[from + r * stride + d]);
        return count;
    }
    float *to = (float *)u->kv + values;
    ISA_NAME(pack_columns)((float *)u->kv + keys, u->k + from, stride, D, at % KV_PAGE, count);
    for (int r = 0; r < count; r++, to += D)
        memcpy(to, u->v + from + r * stride, (size_t)D * sizeof(float));
    return count;
}

/* Without pages: keys of `count` positions from start on; values too, if there is a prefix. */
static void collect(const struct attention_unit *u, const float *k, const float *v, int start,
                    int count)
{
    const int D = u->shape->D;
    const size_t stride = (size_t)u->shape->K * D, head = (size_t)u->head * D;
    float *to = u->values + (size_t)start * D;
    ISA_NAME(pack_columns)(u->key_panels, k + head, stride, D, start, count);
    for (int i = 0; u->start && i < count; i++, to += D)
        memcpy(to, v + i * stride + head, (size_t)D * sizeof(float));
}

/* The new keys into their columns of the panels; into pages, the new values into their rows. */
static void append(const struct attention_unit *u)
{
    for (int i = 0; u->page && i < u->count;)
        i += append_some(u, i);
    if (u->page)
        return;
    if (u->start)
        collect(u, u->prefix_k, u->prefix_v, 0, u->start);
    collect(u, u->k, u->v, u->start, u->count);
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
                rows->q + (size_t)(d / CHAIN_BLOCK) * rows->block + r * A_STRIDE + d % CHAIN_BLOCK;
            v16_store(to, v16_mul(v16_load_some(q + d, D - d), v16_set1(rows->scale)));
        }
    }
}

/* All rows against keys key..key+keys-1, which lie together. Few rows of a small head take several
 * panels at a time. */
static void score_some(const struct rows *rows, int key, int keys, float *score)
{
    const int D = rows->unit->shape->D;
    const enum b_kind kind =
        rows->unit->page && rows->unit->format == KV_BF16 ? B_PANELS_BF16 : B_PANELS_F32;
    const void *panels = keys_at(rows->unit, key);
    if (rows->count <= LOOSE_ROWS && D <= CHAIN_BLOCK) {
        const struct gemm gemm = {.M = rows->count,
                                  .N = keys,
                                  .K = D,
                                  .a = rows->q,
                                  .a_row = A_STRIDE,
                                  .a_k = 1,
                                  .kind = kind,
                                  .b = panels,
                                  .b_stride = (ptrdiff_t)D * PANEL,
                                  .c = score,
                                  .c_row = A_STRIDE};
        ISA_NAME(gemm)(&gemm, 0, rows->count, 0, (keys + PANEL - 1) / PANEL, NULL);
        return;
    }
    for (int d = 0; d < D; d += CHAIN_BLOCK)
        for (int j = 0; j < keys; j += PANEL) {
            const size_t at = (size_t)j * D + (size_t)d * PANEL;
            const struct tile tile = {.K = D - d < CHAIN_BLOCK ? D - d : CHAIN_BLOCK,
                                      .a = rows->q + (size_t)(d / CHAIN_BLOCK) * rows->block,
                                      .b = kind == B_PANELS_BF16
                                               ? (const void *)((const bf16 *)panels + at)
                                               : (const float *)panels + at,
                                      .ahead = (const char *)panels,
                                      .c = score + j,
                                      .c_row = A_STRIDE,
                                      .c_ahead = score + j,
                                      .columns = keys - j,
                                      .accumulate = d > 0};
            ISA_NAME(tile)(&tile, rows->count, A_ROWS, kind);
        }
}

/* Against a block's keys, page by page. */
static void score_block(const struct rows *rows, int key, int keys)
{
    float *score = rows->score + (size_t)(key / CHAIN_BLOCK) * rows->block + key % CHAIN_BLOCK;
    const int step = rows->unit->page ? KV_PAGE : CHAIN_BLOCK;
    for (int j = 0; j < keys; j += step)
        score_some(rows, key + j, keys - j < step ? keys - j : step, score + j);
}

/* Lanes outside low..keys-1 of x, which begins at key j, take rest. */
INLINE v16 seen(v16 x, int j, int low, int keys, v16 rest)
{
    x = v16_first(x, keys - j, rest);
    return j < low ? v16_first(rest, low - j, x) : x;
}

/* score becomes exp(score - max) for one row, from key `from` on, 0 before key `low`; returns the
 * sum. */
static float exp_row(float *score, int block, int from, int low, int keys, float *ret_max)
{
    const v16 lowest = v16_set1(-INFINITY), zero = v16_set1(0.0f);
    v16 max = lowest, sum = zero;
    for (int j = from; j < keys; j += 16) {
        const float *at = score + (size_t)(j / CHAIN_BLOCK) * block + j % CHAIN_BLOCK;
        max = v16_max(seen(v16_load(at), j, low, keys, lowest), max);
    }
    *ret_max = v16_max_lane(max);
    max = v16_set1(*ret_max);
    for (int j = from; j < keys; j += 16) {
        float *at = score + (size_t)(j / CHAIN_BLOCK) * block + j % CHAIN_BLOCK;
        const v16 e = seen(v16_exp(v16_sub(v16_load(at), max)), j, low, keys, zero);
        sum = v16_add(sum, e);
        v16_store(at, e);
    }
    return v16_sum(sum);
}

/* ---- values */

/* out (+)= e values over `span` keys from key on, within one block. */
static void blend_some(const struct rows *rows, int key, int span)
{
    const struct attention_unit *u = rows->unit;
    const int D = u->shape->D, last = keys_of(rows, rows->count - 1);
    const enum blend_kind kind = u->page && u->format == KV_BF16 ? BLEND_BF16 : BLEND_F32;
    struct blend blend = {.e = rows->score + (size_t)(key / CHAIN_BLOCK) * rows->block +
                               key % CHAIN_BLOCK,
                          .values_row = u->page || u->start ? (size_t)D : (size_t)u->shape->K * D,
                          .out_row = rows->out_row,
                          .accumulate = key > rows->from};
    for (int i = 0; i < span / KV_PAGE && key + i * KV_PAGE < last; i++)
        blend.values[i] = values_at(u, key + i * KV_PAGE);
    for (int r = 0; r < rows->count; r++) {
        const int keys = keys_of(rows, r) - key;
        blend.keys[r] = keys < 0 ? 0 : keys < span ? keys : span;
    }
    for (int d = 0; d < D;) {
        const bool pair = TILE_VECTORS == 2 && D - d >= 32;
        blend.column = d;
        blend.out = rows->out + d;
        blend.columns = D - d;
        blends[rows->count][pair ? kind : kind + 1](&blend);
        d += pair ? 32 : 16;
    }
}

/* ---- a tile, a unit */

/* Scores become weights. */
static void weigh(const struct rows *rows)
{
    for (int r = 0; r < rows->count; r++) {
        float max;
        const float sum = exp_row(rows->score + r * A_STRIDE, rows->block, rows->from,
                                  low_of(rows, r), keys_of(rows, r), &max);
        if (rows->unit->lse)
            rows->unit->lse[place_of(rows, r)] = (float)((double)max + exact_log(sum));
        rows->inverse[r] = 1.0f / sum;
    }
}

static void put_out(const struct rows *rows)
{
    const int D = rows->unit->shape->D;
    for (int r = 0; r < rows->count; r++) {
        float *o = rows->unit->o + place_of(rows, r) * D;
        const float *out = rows->out + r * rows->out_row;
        const v16 inverse = v16_set1(rows->inverse[r]);
        for (int d = 0; d < D; d += 16)
            v16_store_some(o + d, v16_mul(v16_load(out + d), inverse), D - d);
    }
}

static void attend(struct rows *rows)
{
    const int keys = keys_of(rows, rows->count - 1);
    rows->from = low_of(rows, 0) / CHAIN_BLOCK * CHAIN_BLOCK;
    load_queries(rows);
    for (int key = rows->from; key < keys; key += CHAIN_BLOCK)
        score_block(rows, key, keys - key < CHAIN_BLOCK ? keys - key : CHAIN_BLOCK);
    weigh(rows);
    for (int key = rows->from; key < keys; key += CHAIN_BLOCK)
        blend_some(rows, key, CHAIN_BLOCK);
    put_out(rows);
}

/* Tiles of up to `count` rows of one head, with their scratch. */
static struct rows rows_of(const struct attention_unit *u, int count, float *scratch)
{
    const int D = u->shape->D, width = (D + 15) / 16 * 16;
    struct rows rows = {.unit = u,
                        .count = count,
                        .group = u->shape->H / u->shape->K,
                        .out = scratch,
                        .out_row = width,
                        .inverse = scratch + (size_t)count * width,
                        .block = count * A_STRIDE,
                        .scale = 1.0f / sqrtf((float)D)};
    rows.q = rows.inverse + (size_t)count * 16;
    rows.score = rows.q + (size_t)((D + CHAIN_BLOCK - 1) / CHAIN_BLOCK) * rows.block;
    return rows;
}

static void one_head(const struct attention_unit *u, float *scratch)
{
    const int all = u->count * (u->shape->H / u->shape->K);
    struct rows rows = rows_of(u, TILE_ROWS, scratch);
    append(u);
    for (rows.first = 0; rows.first < all; rows.first += rows.count) {
        const int left = all - rows.first;
        rows.count = left < TILE_ROWS ? left : TILE_ROWS;
        attend(&rows);
    }
}

static struct attention_unit head_of(const struct attention_unit *u, int i)
{
    const ptrdiff_t at = (ptrdiff_t)i * KV_PAGE * u->shape->D;
    struct attention_unit head = *u;
    head.head += i;
    head.kv = !u->page               ? NULL
              : u->format == KV_BF16 ? (void *)((bf16 *)u->kv + at)
                                     : (float *)u->kv + at;
    return head;
}

/* One step of the walk at head i. From key on: a page, or all of it. */
typedef void head_step(const struct rows *rows, int key);

/* The beginning of a head's piece of the page that comes next, which lies anywhere; what follows,
 * the processor sees coming. */
static void fetch(const void *piece)
{
    enum { LINE = 64, BEGINNING = 2048 };
    for (int at = 0; at < BEGINNING; at += LINE)
        __builtin_prefetch((const char *)piece + at, 0, 2);
}

static void begin_head(const struct rows *rows, int key)
{
    (void)key;
    append(rows->unit);
    load_queries(rows);
}

static void score_page(const struct rows *rows, int key)
{
    const int left = keys_of(rows, 0) - key;
    fetch(left > KV_PAGE ? keys_at(rows->unit, key + KV_PAGE) : values_at(rows->unit, rows->from));
    score_block(rows, key, left < KV_PAGE ? left : KV_PAGE);
}

static void weigh_head(const struct rows *rows, int key)
{
    (void)key;
    weigh(rows);
}

static void blend_page(const struct rows *rows, int key)
{
    if (key + KV_PAGE < keys_of(rows, 0))
        fetch(values_at(rows->unit, key + KV_PAGE));
    blend_some(rows, key, KV_PAGE);
}

static void end_head(const struct rows *rows, int key)
{
    (void)key;
    put_out(rows);
}

/* The first key that the one query's step computes. */
static int first_page(const struct attention_unit *u)
{
    const int window = u->shape->window, keys = u->start + u->count;
    return window && keys > window ? (keys - window) / KV_PAGE * KV_PAGE : 0;
}

static void each_head(const struct attention_unit *u, float *scratch, head_step *step, int key)
{
    const int group = u->shape->H / u->shape->K, D = u->shape->D, keys = u->start + u->count;
    const size_t blocks = (size_t)((D + CHAIN_BLOCK - 1) / CHAIN_BLOCK) +
                          (size_t)((keys + CHAIN_BLOCK - 1) / CHAIN_BLOCK);
    const size_t slice = (size_t)group * ((size_t)((D + 15) / 16 * 16) + 16 + blocks * A_STRIDE);
    for (int i = 0; i < u->heads; i++) {
        const struct attention_unit head = head_of(u, i);
        struct rows rows = rows_of(&head, group, scratch + (size_t)i * slice);
        rows.from = first_page(u);
        step(&rows, key);
    }
}

/* One query of all heads over pages. */
static void heads_together(const struct attention_unit *u, float *scratch)
{
    const int keys = u->start + u->count, from = first_page(u);
    each_head(u, scratch, begin_head, 0);
    for (int key = from; key < keys; key += KV_PAGE)
        each_head(u, scratch, score_page, key);
    each_head(u, scratch, weigh_head, 0);
    for (int key = from; key < keys; key += KV_PAGE)
        each_head(u, scratch, blend_page, key);
    each_head(u, scratch, end_head, 0);
}

void ISA_NAME(attention)(const struct attention_unit *u, float *scratch)
{
    if (u->page && u->heads > 1 && u->count == 1 && u->shape->H / u->shape->K <= TILE_ROWS) {
        heads_together(u, scratch);
        return;
    }
    for (int i = 0; i < u->heads; i++) {
        const struct attention_unit head = head_of(u, i);
        one_head(&head, scratch);
    }
}
