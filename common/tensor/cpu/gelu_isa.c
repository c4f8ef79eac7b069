/* The unit y = x Phi(x), and its approximation by tanh. Element by element, so sources and results
 * may be the same memory. */
#include "tensor/cpu/isa.h"

INLINE int left_of(size_t count, size_t i)
{
    return count - i < 16 ? (int)(count - i) : 16;
}

INLINE v16 polynomial(v16 x, const float *coefficient, int count)
{
    v16 p = v16_set1(coefficient[0]);
    UNROLL for (int i = 1; i < count; i++)
    {
        p = v16_fma(p, x, v16_set1(coefficient[i]));
    }
    return p;
}

/* Phi(x) = (1 + erf(s)) / 2, s = x / sqrt(2), within 2e-7. For |s| < 1 the polynomial is that of
 * Cephes' erff. Beyond, t = 1 / (1 + |s| / 2) gives erfc by the fit of Numerical Recipes (Press
 * 1992, erfcc). The fit keeps its relative precision where x is far below 0. */
INLINE v16 normal_share(v16 x)
{
    static const float near_zero[] = {7.853861353153693e-5f, -8.010193625184903e-4f,
                                      5.188327685732524e-3f, -2.685381193529856e-2f,
                                      1.128358514861418e-1f, -3.761262582423300e-1f,
                                      1.128379165726710e+0f};
    static const float far[] = {0.17087277f, -0.82215223f, 1.48851587f, -1.13520398f,
                                0.27886807f, -0.18628806f, 0.09678418f, 0.37409196f,
                                1.00002368f, -1.26551223f};
    const v16 zero = v16_set1(0.0f), half = v16_set1(0.5f), one = v16_set1(1.0f);
    const v16 s = v16_mul(x, v16_set1(0.70710678f)), square = v16_mul(s, s);
    const v16 size = v16_max(s, v16_mul(s, v16_set1(-1.0f)));
    const v16 inside = v16_fma(v16_mul(s, half), polynomial(square, near_zero, 7), half);
    const v16 t = v16_div(one, v16_fma(size, half, one));
    const v16 power = v16_sub(polynomial(t, far, 10), square);
    const v16 tail = v16_mul(v16_mul(t, half), v16_exp(power));
    const v16 outside = v16_if_less(x, zero, tail, v16_sub(one, tail));
    return v16_if_less(size, one, inside, outside);
}

/* The density at x, by which Phi grows: e^(-x^2 / 2) / sqrt(2 pi). */
INLINE v16 normal_density(v16 x)
{
    return v16_mul(v16_exp(v16_mul(v16_mul(x, x), v16_set1(-0.5f))), v16_set1(0.39894228f));
}

/* (1 + tanh(u)) / 2 = sigmoid(2u), 2u = x (LINE + CUBE x^2). */
#define LINE 1.5957691216f // 2 sqrt(2 / pi)
#define CUBE 0.0713548163f // 0.044715 of that

/* e^-2u, which is (1 - share) / share. */
INLINE v16 tanh_odds(v16 x)
{
    const v16 slope = v16_fma(v16_mul(x, x), v16_set1(CUBE), v16_set1(LINE));
    return v16_exp(v16_mul(v16_mul(x, slope), v16_set1(-1.0f)));
}

INLINE v16 tanh_share(v16 odds)
{
    return v16_div(v16_set1(1.0f), v16_add(v16_set1(1.0f), odds));
}

/* share (1 - share) d2u/dx */
INLINE v16 tanh_density(v16 x, v16 odds, v16 share)
{
    const v16 slope = v16_fma(v16_mul(x, x), v16_set1(3 * CUBE), v16_set1(LINE));
    return v16_mul(v16_mul(v16_mul(odds, share), share), slope);
}

void ISA_NAME(gelu)(float *y, const float *x, size_t count, int by_tanh)
{
    for (size_t i = 0; i < count; i += 16) {
        const int left = left_of(count, i);
        const v16 at = v16_load_some(x + i, left);
        v16_store_some(y + i, v16_mul(at, by_tanh ? tanh_share(tanh_odds(at)) : normal_share(at)),
                       left);
    }
}

/* dx = dy (share + x density) */
void ISA_NAME(gelu_backward)(float *dx, const float *dy, const float *x, size_t count, int by_tanh)
{
    for (size_t i = 0; i < count; i += 16) {
        const int left = left_of(count, i);
        const v16 at = v16_load_some(x + i, left);
        const v16 odds = by_tanh ? tanh_odds(at) : at;
        const v16 share = by_tanh ? tanh_share(odds) : normal_share(at);
        const v16 density = by_tanh ? tanh_density(at, odds, share) : normal_density(at);
        v16_store_some(dx + i, v16_mul(v16_load_some(dy + i, left), v16_fma(at, density, share)),
                       left);
    }
}
