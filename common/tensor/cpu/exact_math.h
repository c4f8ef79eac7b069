/* exp and log of our own: plain operations and explicit fma in a fixed order. So the bits are the
 * same with every instruction set and libm. Included by *_isa.c (exp: lanes) and by rope_table.c
 * (double only, with EXACT_DOUBLE_ONLY). */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Natural logarithm of a positive normal number; infinity and NaN are returned. m in [sqrt(1/2),
 * sqrt(2)), 2 atanh((m-1)/(m+1)) as a series. */
static inline double exact_log(double x)
{
    if (!(x < INFINITY))
        return x;
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int exponent = (int)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        exponent++;
    }
    const double s = (m - 1) / (m + 1), z = s * s;
    double p = 1.0 / 21;
    p = p * z + 1.0 / 19;
    p = p * z + 1.0 / 17;
    p = p * z + 1.0 / 15;
    p = p * z + 1.0 / 13;
    p = p * z + 1.0 / 11;
    p = p * z + 1.0 / 9;
    p = p * z + 1.0 / 7;
    p = p * z + 1.0 / 5;
    p = p * z + 1.0 / 3;
    const double ln2_high = 0x1.62e42fefa38p-1,
                 ln2_low = 0x1.ef35793c7673p-45; // high: exponent * it is exact
    return exponent * ln2_high + (exponent * ln2_low + (2 * s + 2 * s * (z * p)));
}

#ifndef EXACT_DOUBLE_ONLY
#include "tensor/cpu/lanes.h"

/* e^x: 2^n e^r, |r| <= ln(2)/2, the polynomial of Cephes' expf. Exactly 0 below -87; above 88,
 * e^88. NaN stays NaN. */
INLINE v16 v16_exp(v16 x)
{
    /* 1.5 * 2^23: the sum's low bits are the nearest integer */
    const v16 magic = v16_set1(12582912.0f);
    const v16 z = v16_min(v16_set1(88.0f), v16_max(v16_set1(-87.0f), x));
    const v16 shifted = v16_fma(z, v16_set1(1.44269504f), magic);
    const v16 n = v16_sub(shifted, magic);
    v16 r = v16_fma(n, v16_set1(-0.693359375f), z);
    r = v16_fma(n, v16_set1(2.12194440e-4f), r);
    v16 p = v16_fma(r, v16_set1(1.9875691500e-4f), v16_set1(1.3981999507e-3f));
    p = v16_fma(p, r, v16_set1(8.3334519073e-3f));
    p = v16_fma(p, r, v16_set1(4.1665795894e-2f));
    p = v16_fma(p, r, v16_set1(1.6666665459e-1f));
    p = v16_fma(p, r, v16_set1(5.0000001201e-1f));
    p = v16_add(v16_fma(p, v16_mul(r, r), r), v16_set1(1.0f));
    p = v16_mul(p, v16_pow2(shifted));
    return v16_if_less(x, v16_set1(-87.0f), v16_set1(0.0f), p);
}
#endif
