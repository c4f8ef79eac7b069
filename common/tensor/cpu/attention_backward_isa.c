/* The gradient of causal attention (Dao 2022, without the blocks): with p = exp(score - lse), as in the forward,
 *   dv[j] = sum p dO;  ds = p (dO . v[j] - dO . o);  dq = scale * sum_j ds k[j];  dk[j] = sum ds (q * scale).
 * Chains: dq over keys ascending; dk and dv over the group's heads, then queries, ascending. */
#include "tensor/cpu/isa.h"

static float dot(const float *a, const float *b, int D)
{
    v16 sum = v16_set1(0.0f);
    for (int d = 0; d < D; d += 16)
        sum = v16_fma(v16_load_some(a + d, D - d), v16_load_some(b + d, D - d), sum);
    return v16_sum(sum);
}

/* to += factor * x */
static void add_scaled(float *to, float factor, const float *x, int D)
{
    for (int d = 0; d < D; d += 16)
        v16_store_some(
            to + d,
            v16_fma(v16_set1(factor), v16_load_some(x + d, D - d), v16_load_some(to + d, D - d)),
            D - d);
}

/* Chain over d, as the forward has it. */
static float chain(const float *a, const float *b, int D)
{
    float sum = 0;
    for (int d = 0; d < D; d++)
        sum = fmaf(a[d], b[d], sum);
    return sum;
}

static void row_backward(const struct attention_gradient *u, int i, int h, float *q)
{
    const int D = u->shape->D;
    const size_t at = (size_t)i * u->shape->H + h, stride = (size_t)u->shape->K * D,
                 head = (size_t)u->head * D;
    const float scale = 1.0f / sqrtf((float)D), *d_o = u->d_o + at * D;
    const float delta = dot(d_o, u->o + at * D, D);
    float *dq = u->dq + at * D;
    for (int d = 0; d < D; d++) {
        q[d] = u->q[at * D + d] * scale;
        dq[d] = 0;
    }
    for (int j = 0; j <= i; j++) {
        const float *k = u->k + j * stride + head;
        float lane[16];
        v16_store(lane, v16_exp(v16_set1(chain(q, k, D) - u->lse[at])));
        const float p = lane[0], ds = p * (chain(d_o, u->v + j * stride + head, D) - delta);
        add_scaled(dq, ds, k, D);
        add_scaled(u->dk + j * stride + head, ds, q, D);
        add_scaled(u->dv + j * stride + head, p, d_o, D);
    }
    for (int d = 0; d < D; d++)
        dq[d] *= scale;
}

void ISA_NAME(attention_backward)(const struct attention_gradient *u, float *scratch)
{
    const int D = u->shape->D, group = u->shape->H / u->shape->K;
    const size_t stride = (size_t)u->shape->K * D, head = (size_t)u->head * D;
    for (int i = 0; i < u->count; i++) {
        memset(u->dk + i * stride + head, 0, (size_t)D * sizeof(float));
        memset(u->dv + i * stride + head, 0, (size_t)D * sizeof(float));
    }
    for (int g = 0; g < group; g++)
        for (int i = 0; i < u->count; i++)
            row_backward(u, i, u->head * group + g, scratch);
}
