/* cos and sin of position * frequency, in double by our own series. libms differ in the last
 * bit. */
#define EXACT_DOUBLE_ONLY
#include "tensor/cpu/exact_math.h"
#include "tensor/rope.h"
#include <stddef.h>

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

/* Of position * frequency, times size. The product is taken exactly: its low part is added to the
 * reduced angle. */
static void angle_sin_cos(double position, double frequency, double size, float *ret_sin,
                          float *ret_cos)
{
    const double angle = position * frequency, low = fma(position, frequency, -angle);
    const double n = rint(angle * 0x1.45f306dc9c883p-1); // 2/pi
    const double r = fma(-n, 0x1.1a62633145c07p-54, fma(-n, 0x1.921fb54442d18p+0, angle)) + low;
    double s, c;
    sin_cos_near_zero(r, &s, &c);
    const int quarter = (int)((int64_t)n & 3);
    const double sines[] = {s, c, -s, -c}, cosines[] = {c, -s, -c, s};
    *ret_sin = (float)(size * sines[quarter]);
    *ret_cos = (float)(size * cosines[quarter]);
}

static double ramp(double from, double to, double x)
{
    const double at = (x - from) / (to - from);
    return at < 0 ? 0 : at > 1 ? 1 : at;
}

static const double TURN = 0x1.921fb54442d18p+2; // 2 pi

/* The share of the undivided frequency, by how many times the pair turns over the original
 * positions. */
static double llama3_share(const struct rope *rope, double frequency)
{
    return ramp(rope->low, rope->high, rope->original * frequency / TURN);
}

/* The i whose pair turns so many times over the original positions. */
static double yarn_place(const struct rope *rope, double turns)
{
    return rope->R * exact_log(rope->original / (turns * TURN)) / (2 * exact_log(rope->theta));
}

static double yarn_share(const struct rope *rope, int i)
{
    double from = yarn_place(rope, rope->beta_fast), to = yarn_place(rope, rope->beta_slow);
    if (rope->whole) {
        from = floor(from);
        to = ceil(to);
    }
    from = from > 0 ? from : 0;
    to = to < rope->R - 1 ? to : rope->R - 1;
    return 1 - ramp(from, to == from ? to + 0.001 : to, i); // as transformers has it
}

static double frequency_of(const struct rope *rope, int i)
{
    const double plain = exact_exp(-2.0 * i / rope->R * exact_log(rope->theta));
    double share = 1;
    switch (rope->kind) {
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC:
        return plain;
    case ROPE_LINEAR:
        share = 0;
        break;
    case ROPE_LLAMA3:
        share = llama3_share(rope, plain);
        break;
    case ROPE_YARN:
        share = yarn_share(rope, i);
        break;
    }
    return plain / rope->factor * (1 - share) + plain * share;
}

static double yarn_attention(const struct rope *rope)
{
    const double slope = 0.1 * exact_log(rope->factor);
    if (rope->attention != 0)
        return rope->attention;
    if (rope->mscale != 0 && rope->mscale_all != 0)
        return (slope * rope->mscale + 1) / (slope * rope->mscale_all + 1);
    return slope + 1;
}

void rope_table(float *cos, float *sin, int positions, const struct rope *rope)
{
    const int half = rope->R / 2;
    const double size = rope->kind == ROPE_YARN ? yarn_attention(rope) : 1;
    for (int i = 0; i < half; i++) {
        const double frequency = frequency_of(rope, i);
        for (int t = 0; t < positions; t++)
            angle_sin_cos(t, frequency, size, &sin[(size_t)t * half + i],
                          &cos[(size_t)t * half + i]);
    }
}
