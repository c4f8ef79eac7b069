/* The optimizer: sum of squares for clipping, and one AdamW step. */
#include "tensor/cpu/isa.h"

/* 16 chains of doubles by index mod 16, then the tree. A float's square is exact in double. */
double ISA_NAME(square_sum)(const float *x, size_t count)
{
    double lane[16] = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16)
        for (int j = 0; j < 16; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    for (int j = 0; i < count; i++, j++)
        lane[j] += (double)x[i] * (double)x[i];
    for (int half = 8; half; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

size_t ISA_NAME(adamw)(float *master, bf16 *w, float *m, float *v, const float *grad, size_t count,
                       const struct adamw_constants *c)
{
    const v16 grad_scale = v16_set1(c->grad_scale), beta1 = v16_set1(c->beta1),
              beta2 = v16_set1(c->beta2);
    const v16 new1 = v16_set1(c->one_minus_beta1), new2 = v16_set1(c->one_minus_beta2),
              eps = v16_set1(c->eps);
    const v16 keep = v16_set1(c->keep), minus_rate = v16_set1(-c->rate),
              v_scale = v16_set1(c->v_scale);
    size_t changed = 0;
    for (size_t i = 0; i < count; i += 16) {
        const int left = count - i < 16 ? (int)(count - i) : 16;
        v16 g = v16_mul(v16_load_some(grad + i, left), grad_scale);
        v16 m1 = v16_fma(beta1, v16_load_some(m + i, left), v16_mul(new1, g));
        v16 v1 = v16_fma(beta2, v16_load_some(v + i, left), v16_mul(new2, v16_mul(g, g)));
        v16 down = v16_add(v16_sqrt(v16_mul(v1, v_scale)), eps);
        v16 p = v16_mul(v16_load_some(master + i, left), keep);
        p = v16_fma(minus_rate, v16_div(m1, down), p);
        v16_store_some(m + i, m1, left);
        v16_store_some(v + i, v1, left);
        v16_store_some(master + i, p, left);
        changed += (size_t)v16_update_bf16(w + i, p, left);
    }
    return changed;
}
