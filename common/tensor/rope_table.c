/* cos and sin of position * theta^(-2i/D), in double by our own series: libms differ in the last
 * bit. */
#define EXACT_DOUBLE_ONLY
#include "tensor/backend.h"
#include "tensor/cpu/exact_math.h"

/* e^x for x in about [-700, 700]: 2^n e^r, |r| <= ln(2)/2, Taylor to r^13. */
static double exact_exp(double x)
{
    const double n = rint(x * 0x1.71547652b82fep+0);
    const double r = fma(-n, 0x1.abc9e3b39803fp-56, fma(-n, 0x1.62e42fefa39efp-1, x));
    double p = 1;
    for (int k = 13; k >= 1; k--)
        p = 1 + p * r / k;
    return ldexp(p, (int)n);
}

/* sin(r) and cos(r), |r| <= pi/4. */
static void sin_cos_near_zero(double r, double *ret_sin, double *ret_cos)
{
    const double z = r * r;
    double s = 1, c = 1;
    for (int k = 16; k >= 2; k -= 2) {
        s = 1 - s * z * (1.0 / (k * (k + 1)));
        c = 1 - c * z * (1.0 / (k * (k - 1)));
    }
    *ret_sin = r * s;
    *ret_cos = c;
}

/* Of position * frequency, the product taken exactly: its low part is added to the reduced
 * angle. */
static void angle_sin_cos(double position, double frequency, float *ret_sin, float *ret_cos)
{
    const double angle = position * frequency, low = fma(position, frequency, -angle);
    const double n = rint(angle * 0x1.45f306dc9c883p-1); // 2/pi
    const double r = fma(-n, 0x1.1a62633145c07p-54, fma(-n, 0x1.921fb54442d18p+0, angle)) + low;
    double s, c;
    sin_cos_near_zero(r, &s, &c);
    const int quarter = (int)((int64_t)n & 3);
    const double sines[] = {s, c, -s, -c}, cosines[] = {c, -s, -c, s};
    *ret_sin = (float)sines[quarter];
    *ret_cos = (float)cosines[quarter];
}

void rope_table(float *cos, float *sin, int positions, int D, double theta)
{
    const int half = D / 2;
    for (int i = 0; i < half; i++) {
        const double frequency = exact_exp(-2.0 * i / D * exact_log(theta));
        for (int t = 0; t < positions; t++)
            angle_sin_cos(t, frequency, &sin[(size_t)t * half + i], &cos[(size_t)t * half + i]);
    }
}
