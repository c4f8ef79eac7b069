/* The gradient of causal attention (Dao 2022): with p = exp(score - lse),
 *   dv[j] = sum p dO             ds    = p (dO . v[j] - dO . o)
 *   dq    = scale * sum_j ds k[j]      dk[j] = sum ds (q * scale)
 * Chains: dq over keys ascending; dk and dv over the group's heads, then queries, ascending; those
 * of a prefix go on from what is there. Queries go in blocks of QUERIES from the segment's first; a
 * masked pair within a block, or one that the window hides, is a zero in the chains. */
#include "tensor/cpu/isa.h"

enum { QUERIES = 28 };

/* One block of queries of one head; what a unit's blocks share. */
struct block {
    const struct attention_gradient *unit;
    int head, first, count, keys; // the query head; queries first..; keys 0..keys-1, prefix and all
    float scale;
    float *key_panels, *value_panels;
    float *q;       // (count,D), times scale
    float *p, *ds;  // (count,row)
    float *scratch; // of gemm
    ptrdiff_t row;  // from one row of p or ds to the next
};

static float dot(const float *a, const float *b, int D)
{
    v16 sum = v16_set1(0.0f);
    for (int d = 0; d < D; d += 16)
        sum = v16_fma(v16_load_some(a + d, D - d), v16_load_some(b + d, D - d), sum);
    return v16_sum(sum);
}

static void product(const struct block *b, struct gemm gemm)
{
    ISA_NAME(gemm)(&gemm, 0, gemm.M, 0, (gemm.N + PANEL - 1) / PANEL, b->scratch);
}

/* One row: the score becomes p, dO.v becomes ds; zero before `low`, and from `keys` to `all`. */
static void row_slopes(float *p, float *ds, float lse, float delta, int low, int keys, int all)
{
    const v16 minus = v16_set1(lse), d = v16_set1(delta), zero = v16_set1(0.0f);
    for (int j = 0; j < all; j += 16) {
        const v16 e = v16_exp(v16_sub(v16_load(p + j), minus));
        const v16 slope = v16_mul(e, v16_sub(v16_load(ds + j), d));
        v16_store(p + j, v16_first(zero, low - j, v16_first(e, keys - j, zero)));
        v16_store(ds + j, v16_first(zero, low - j, v16_first(slope, keys - j, zero)));
    }
}

/* p and ds of the block, with the forward's scores. */
static void block_slopes(const struct block *b)
{
    const struct attention_gradient *u = b->unit;
    const int D = u->shape->D, H = u->shape->H;
    const size_t query = ((size_t)b->first * H + b->head) * D;
    for (int r = 0; r < b->count; r++)
        for (int d = 0; d < D; d += 16)
            v16_store_some(b->q + r * D + d,
                           v16_mul(v16_load_some(u->q + query + (size_t)r * H * D + d, D - d),
                                   v16_set1(b->scale)),
                           D - d);
    struct gemm gemm = {.M = b->count,
                        .N = b->keys,
                        .K = D,
                        .a = b->q,
                        .a_row = D,
                        .a_k = 1,
                        .kind = B_PANELS_F32,
                        .b = b->key_panels,
                        .b_stride = (ptrdiff_t)D * PANEL,
                        .c = b->p,
                        .c_row = b->row};
    product(b, gemm);
    gemm.a = u->d_o + query;
    gemm.a_row = (ptrdiff_t)H * D;
    gemm.b = b->value_panels;
    gemm.c = b->ds;
    product(b, gemm);
    for (int r = 0; r < b->count; r++) {
        const size_t at = query + (size_t)r * H * D;
        const int keys = u->start + b->first + r + 1, window = u->shape->window;
        row_slopes(b->p + r * b->row, b->ds + r * b->row,
                   u->lse[(size_t)(b->first + r) * H + b->head], dot(u->d_o + at, u->o + at, D),
                   window && keys > window ? keys - window : 0, keys, b->keys);
    }
}

static void block_dq(const struct block *b)
{
    const struct attention_gradient *u = b->unit;
    const int D = u->shape->D, H = u->shape->H;
    float *dq = u->dq + ((size_t)b->first * H + b->head) * D;
    struct gemm gemm = {.M = b->count,
                        .N = D,
                        .K = u->start,
                        .a = b->ds,
                        .a_row = b->row,
                        .a_k = 1,
                        .kind = B_ROWS_F32,
                        .b = u->prefix_k + (size_t)u->head * D,
                        .b_stride = (ptrdiff_t)u->shape->K * D,
                        .c = dq,
                        .c_row = (ptrdiff_t)H * D};
    if (u->start)
        product(b, gemm);
    gemm.K = b->keys - u->start;
    gemm.a = b->ds + u->start;
    gemm.b = u->k + (size_t)u->head * D;
    gemm.accumulate = u->start > 0;
    product(b, gemm);
    for (int r = 0; r < b->count; r++, dq += (size_t)H * D)
        for (int d = 0; d < D; d += 16)
            v16_store_some(dq + d, v16_mul(v16_load_some(dq + d, D - d), v16_set1(b->scale)),
                           D - d);
}

/* dk += ds^T q, dv += p^T dO, of `keys` keys from key on */
static void block_dkv(const struct block *b, int key, int keys, float *dk, float *dv)
{
    const struct attention_gradient *u = b->unit;
    const int D = u->shape->D, H = u->shape->H;
    struct gemm gemm = {.M = keys,
                        .N = D,
                        .K = b->count,
                        .a = b->ds + key,
                        .a_row = 1,
                        .a_k = b->row,
                        .kind = B_ROWS_F32,
                        .b = b->q,
                        .b_stride = D,
                        .c = dk + (size_t)u->head * D,
                        .c_row = (ptrdiff_t)u->shape->K * D,
                        .accumulate = true};
    product(b, gemm);
    gemm.a = b->p + key;
    gemm.b = u->d_o + ((size_t)b->first * H + b->head) * D;
    gemm.b_stride = (ptrdiff_t)H * D;
    gemm.c = dv + (size_t)u->head * D;
    product(b, gemm);
}

void ISA_NAME(attention_backward)(const struct attention_gradient *u, float *scratch)
{
    const int D = u->shape->D, group = u->shape->H / u->shape->K;
    const size_t stride = (size_t)u->shape->K * D, head = (size_t)u->head * D;
    const size_t all = ((size_t)u->start + u->count + PANEL - 1) / PANEL * PANEL;
    for (int i = 0; i < u->count; i++) {
        memset(u->dk + i * stride + head, 0, (size_t)D * sizeof(float));
        memset(u->dv + i * stride + head, 0, (size_t)D * sizeof(float));
    }
    struct block b = {.unit = u, .scale = 1.0f / sqrtf((float)D), .row = (ptrdiff_t)all + 16};
    b.scratch = scratch;
    b.key_panels = scratch + GEMM_SCRATCH;
    b.value_panels = b.key_panels + all * D;
    b.p = b.value_panels + all * D;
    b.ds = b.p + QUERIES * b.row;
    b.q = b.ds + QUERIES * b.row;
    if (u->start) {
        ISA_NAME(pack_columns)(b.key_panels, u->prefix_k + head, stride, D, 0, u->start);
        ISA_NAME(pack_columns)(b.value_panels, u->prefix_v + head, stride, D, 0, u->start);
    }
    ISA_NAME(pack_columns)(b.key_panels, u->k + head, stride, D, u->start, u->count);
    ISA_NAME(pack_columns)(b.value_panels, u->v + head, stride, D, u->start, u->count);
    for (int g = 0; g < group; g++) {
        b.head = u->head * group + g;
        for (b.first = 0; b.first < u->count; b.first += b.count) {
            b.count = u->count - b.first < QUERIES ? u->count - b.first : QUERIES;
            b.keys = u->start + b.first + b.count;
            block_slopes(&b);
            block_dq(&b);
            if (u->start)
                block_dkv(&b, 0, u->start, u->prefix_dk, u->prefix_dv);
            block_dkv(&b, u->start, b.keys - u->start, u->dk, u->dv);
        }
    }
}
