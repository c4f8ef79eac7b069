/* Layer norm. Sums over a row: 16 lanes by index mod 16, then the fixed tree. The mean first, then
 * the squares of what is left. */
#include "tensor/cpu/isa.h"

/* x - mean; lanes behind the row are +0. */
INLINE v16 centred(const float *x, v16 mean, int left)
{
    return v16_first(v16_sub(v16_load_some(x, left), mean), left, v16_set1(0.0f));
}

static float row_mean(const float *x, int C)
{
    v16 sum = v16_set1(0.0f);
    for (int i = 0; i < C; i += 16)
        sum = v16_add(sum, v16_load_some(x + i, C - i));
    return v16_sum(sum) / (float)C;
}

void ISA_NAME(layernorm)(float *y, float *stats, const float *x, const bf16 *weight, float eps,
                         int N, int C)
{
    for (int n = 0; n < N; n++, x += C, y += C, stats += 2) {
        stats[0] = row_mean(x, C);
        const v16 mean = v16_set1(stats[0]);
        v16 sum = v16_set1(0.0f);
        for (int i = 0; i < C; i += 16) {
            const v16 d = centred(x + i, mean, C - i);
            sum = v16_fma(d, d, sum);
        }
        stats[1] = 1.0f / sqrtf(v16_sum(sum) / (float)C + eps);
        const v16 scale = v16_set1(stats[1]);
        for (int i = 0; i < C; i += 16) {
            const v16 normed = v16_mul(centred(x + i, mean, C - i), scale);
            v16_store_some(y + i, v16_mul(normed, v16_load_bf16_some(weight + i, C - i)), C - i);
        }
    }
}

/* With d = x - mean and g = dy w:  dx += r g - (r sum g / C + d (sum g d) r^3 / C) */
void ISA_NAME(layernorm_dx)(float *dx, const float *dy, const float *x, const float *stats,
                            const bf16 *weight, int N, int C)
{
    for (int n = 0; n < N; n++, x += C, dx += C, dy += C, stats += 2) {
        const float r = stats[1];
        const v16 mean = v16_set1(stats[0]), scale = v16_set1(r);
        v16 plain = v16_set1(0.0f), along = plain;
        for (int i = 0; i < C; i += 16) {
            const int left = C - i;
            const v16 g =
                v16_mul(v16_load_some(dy + i, left), v16_load_bf16_some(weight + i, left));
            plain = v16_add(plain, g);
            along = v16_fma(g, centred(x + i, mean, left), along);
        }
        const v16 level = v16_set1(v16_sum(plain) * r / (float)C);
        const v16 tilt = v16_set1(v16_sum(along) * (r * r * r) / (float)C);
        for (int i = 0; i < C; i += 16) {
            const int left = C - i;
            const v16 g =
                v16_mul(v16_load_some(dy + i, left), v16_load_bf16_some(weight + i, left));
            const v16 away = v16_fma(centred(x + i, mean, left), tilt, level);
            const v16 slope = v16_sub(v16_mul(g, scale), away);
            v16_store_some(dx + i, v16_add(v16_load_some(dx + i, left), slope), left);
        }
    }
}

/* dweight[c] = chain over rows ascending of dy * ((x - mean) * r). */
void ISA_NAME(layernorm_dweight)(float *dweight, const float *dy, const float *x,
                                 const float *stats, int N, int C, int c0, int c1)
{
    for (int i = c0; i < c1; i += 16) {
        const int left = c1 - i;
        v16 sum = v16_load_some(dweight + i, left);
        for (int n = 0; n < N; n++) {
            const size_t at = (size_t)n * C + i;
            const v16 d = centred(x + at, v16_set1(stats[2 * n]), left);
            sum =
                v16_fma(v16_load_some(dy + at, left), v16_mul(d, v16_set1(stats[2 * n + 1])), sum);
        }
        v16_store_some(dweight + i, sum, left);
    }
}
