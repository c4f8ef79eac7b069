/* Rotary position embedding, rotate-half: the pair (d, d + R/2) turns by its position's angle. */
#include "tensor/cpu/isa.h"

/* a' = a cos - b sin, b' = b cos + a sin; the product with sin is rounded first, then the fma. */
static void rotate(float *x, const float *cos, const float *sin, int half, v16 direction)
{
    for (int i = 0; i < half; i += 16) {
        const int left = half - i;
        v16 a = v16_load_some(x + i, left), b = v16_load_some(x + half + i, left);
        v16 c = v16_load_some(cos + i, left), s = v16_mul(v16_load_some(sin + i, left), direction);
        v16 minus_bs = v16_mul(v16_mul(b, s), v16_set1(-1.0f));
        v16_store_some(x + i, v16_fma(a, c, minus_bs), left);
        v16_store_some(x + half + i, v16_fma(b, c, v16_mul(a, s)), left);
    }
}

void ISA_NAME(rope)(float *x, const int32_t *position, const float *cos, const float *sin, int N,
                    int heads, int D, int R, int inverse)
{
    const int half = R / 2;
    const v16 direction = v16_set1(inverse ? -1.0f : 1.0f);
    for (int n = 0; n < N; n++) {
        const size_t row = (size_t)position[n] * (size_t)half;
        for (int h = 0; h < heads; h++, x += D)
            rotate(x, cos + row, sin + row, half, direction);
    }
}
