/* Root mean square norm. Sums over a row: 16 lanes by index mod 16, then the fixed tree. */
#include "tensor/cpu/isa.h"

/* sum_i a[i] * b[i] * (w ? w[i] : 1) over a row: a is first multiplied by w. */
static float row_dot(const float *a, const bf16 *w, const float *b, int C)
{
    v16 sum = v16_set1(0.0f);
    for (int i = 0; i < C; i += 16) {
        v16 left = v16_load_some(a + i, C - i);
        if (w)
            left = v16_mul(left, v16_load_bf16_some(w + i, C - i));
        sum = v16_fma(left, v16_load_some(b + i, C - i), sum);
    }
    return v16_sum(sum);
}

void ISA_NAME(rmsnorm)(float *y, float *r, const float *x, const bf16 *weight, float eps, int N,
                       int C)
{
    for (int n = 0; n < N; n++, x += C, y += C) {
        r[n] = 1.0f / sqrtf(row_dot(x, NULL, x, C) / (float)C + eps);
        const v16 scale = v16_set1(r[n]);
        for (int i = 0; i < C; i += 16) {
            v16 normed = v16_mul(v16_load_some(x + i, C - i), scale);
            v16_store_some(y + i, v16_mul(normed, v16_load_bf16_some(weight + i, C - i)), C - i);
        }
    }
}

/* dx += dy w r - x (sum dy w x) r^3 / C */
void ISA_NAME(rmsnorm_dx)(float *dx, const float *dy, const float *x, const float *r,
                          const bf16 *weight, int N, int C)
{
    for (int n = 0; n < N; n++, x += C, dx += C, dy += C) {
        const float minus = -(row_dot(dy, weight, x, C) * (r[n] * r[n] * r[n]) / (float)C);
        const v16 scale = v16_set1(r[n]), along = v16_set1(minus);
        for (int i = 0; i < C; i += 16) {
            v16 dyw = v16_mul(v16_load_some(dy + i, C - i), v16_load_bf16_some(weight + i, C - i));
            v16 slope = v16_fma(dyw, scale, v16_mul(v16_load_some(x + i, C - i), along));
            v16_store_some(dx + i, v16_add(v16_load_some(dx + i, C - i), slope), C - i);
        }
    }
}

/* dweight[c] = chain over rows ascending of dy * (x * r). */
void ISA_NAME(rmsnorm_dweight)(float *dweight, const float *dy, const float *x, const float *r,
                               int N, int C, int c0, int c1)
{
    for (int i = c0; i < c1; i += 16) {
        v16 sum = v16_load_some(dweight + i, c1 - i);
        for (int n = 0; n < N; n++) {
            const size_t at = (size_t)n * C + i;
            v16 normed = v16_mul(v16_load_some(x + at, c1 - i), v16_set1(r[n]));
            sum = v16_fma(v16_load_some(dy + at, c1 - i), normed, sum);
        }
        v16_store_some(dweight + i, sum, c1 - i);
    }
}
