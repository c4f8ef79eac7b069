/* Causal attention. Per query row and head, over the keys 0..its own position:
 *   score[j] = chain over d of (q[d] / sqrt(D)) k[j][d];  max over all j;  e[j] = exp(score[j] - max)
 *   sum      = 16 lanes by j mod 16, fixed tree;          o[d] = (chain over j ascending of e[j] v[j][d]) / sum
 * A masked key takes part in nothing, so a row's bits are those of a call that ends with it. */
#include "tensor/cpu/isa.h"

/* The new keys into their columns of the panels; into a cache, the new values into its rows. */
static void append(const struct attention_unit *u)
{
    const int D = u->shape->D;
    const size_t stride = (size_t)u->shape->K * D;
    for (int i = 0; i < u->count; i++) {
        const int at = u->start + i;
        const float *k = u->k + i * stride + (size_t)u->head * D,
                    *v = u->v + i * stride + (size_t)u->head * D;
        float *column = u->key_panels + (size_t)(at / PANEL) * D * PANEL + at % PANEL;
        for (int d = 0; d < D; d++)
            column[d * PANEL] = k[d];
        if (u->values)
            memcpy(u->values + (size_t)at * D, v, (size_t)D * sizeof *v);
    }
}

/* score becomes exp(score - max); max and sum out. */
static float exp_row(float *score, int keys, float *ret_max)
{
    const v16 lowest = v16_set1(-INFINITY), zero = v16_set1(0.0f);
    v16 max = lowest, sum = zero;
    for (int j = 0; j < keys; j += 16)
        max = v16_max(v16_first(v16_load_some(score + j, keys - j), keys - j, lowest), max);
    *ret_max = v16_max_lane(max);
    for (int j = 0; j < keys; j += 16) {
        v16 e = v16_exp(v16_sub(v16_load_some(score + j, keys - j), v16_set1(*ret_max)));
        e = v16_first(e, keys - j, zero);
        sum = v16_add(sum, e);
        v16_store_some(score + j, e, keys - j);
    }
    return v16_sum(sum);
}

/* One query row and head. scratch: D scaled numbers, then the scores. */
static void attend(const struct attention_unit *u, int i, int h, float *scratch)
{
    const int D = u->shape->D, keys = u->start + i + 1;
    const size_t at = (size_t)i * u->shape->H + h;
    const float scale = 1.0f / sqrtf((float)D);
    float *q = scratch, *score = scratch + (D + 15) / 16 * 16, max;
    for (int d = 0; d < D; d++)
        q[d] = u->q[at * D + d] * scale;
    for (int j = 0; j < keys; j += 16) {
        const float *panel = u->key_panels + (size_t)(j / PANEL) * D * PANEL + j % PANEL;
        v16 sum = v16_set1(0.0f);
        for (int d = 0; d < D; d++)
            sum = v16_fma(v16_set1(q[d]), v16_load(panel + d * PANEL), sum);
        v16_store(score + j, sum);
    }
    const float total = exp_row(score, keys, &max);
    if (u->lse)
        u->lse[at] = (float)((double)max + exact_log(total));
    const float *values = u->values ? u->values : u->v + (size_t)u->head * D;
    const size_t stride = u->values ? (size_t)D : (size_t)u->shape->K * D;
    for (int d = 0; d < D; d += 16) {
        v16 sum = v16_set1(0.0f);
        for (int j = 0; j < keys; j++)
            sum = v16_fma(v16_set1(score[j]), v16_load_some(values + j * stride + d, D - d), sum);
        v16_store_some(u->o + at * D + d, v16_mul(sum, v16_set1(1.0f / total)), D - d);
    }
}

void ISA_NAME(attention)(const struct attention_unit *u, float *scratch)
{
    append(u);
    const int group = u->shape->H / u->shape->K;
    for (int i = 0; i < u->count; i++)
        for (int g = 0; g < group; g++)
            attend(u, i, u->head * group + g, scratch);
}
