/* The gated unit y = g sigmoid(g) u, and y += x. Element by element, so sources and results may be
 * the same memory. */
#include "tensor/cpu/isa.h"

INLINE v16 sigmoid(v16 x)
{
    const v16 one = v16_set1(1.0f);
    return v16_div(one, v16_add(one, v16_exp(v16_mul(x, v16_set1(-1.0f)))));
}

INLINE int left_of(size_t count, size_t i)
{
    return count - i < 16 ? (int)(count - i) : 16;
}

void ISA_NAME(swiglu)(float *y, const float *gate, const float *up, size_t count)
{
    for (size_t i = 0; i < count; i += 16) {
        const int left = left_of(count, i);
        v16 g = v16_load_some(gate + i, left), u = v16_load_some(up + i, left);
        v16_store_some(y + i, v16_mul(v16_mul(g, sigmoid(g)), u), left);
    }
}

/* du = dy g s; dg = dy u s (1 + g (1 - s)), s = sigmoid(g). */
void ISA_NAME(swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate,
                               const float *up, size_t count)
{
    const v16 one = v16_set1(1.0f);
    for (size_t i = 0; i < count; i += 16) {
        const int left = left_of(count, i);
        v16 g = v16_load_some(gate + i, left), u = v16_load_some(up + i, left);
        v16 d = v16_load_some(dy + i, left), s = sigmoid(g);
        v16 slope = v16_mul(s, v16_fma(g, v16_sub(one, s), one));
        v16_store_some(dup + i, v16_mul(d, v16_mul(g, s)), left);
        v16_store_some(dgate + i, v16_mul(v16_mul(d, u), slope), left);
    }
}

void ISA_NAME(add)(float *y, const float *x, size_t count)
{
    for (size_t i = 0; i < count; i += 16) {
        const int left = left_of(count, i);
        v16_store_some(y + i, v16_add(v16_load_some(y + i, left), v16_load_some(x + i, left)),
                       left);
    }
}
