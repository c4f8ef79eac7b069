/* Our exp, log, sine and cosine against libm in a wider type. */
#include "tensor/cpu/exact_math.h"
#include "tensor/rope.h"
#include "testing/tensors.h"

/* The distance from want in units of the last place of a float near it. */
static double float_ulps(float got, long double want)
{
    int exponent;
    frexpl(want, &exponent);
    return (double)(fabsl(got - want) / ldexpl(1, exponent - 24 < -149 ? -149 : exponent - 24));
}

static void exp_is_within_two_ulps(void **state)
{
    (void)state;
    double worst = 0;
    for (double at = -87; at < 88; at += 16 * 0.00037) {
        float x[16], e[16];
        for (int i = 0; i < 16; i++)
            x[i] = (float)(at + i * 0.00037);
        v16_store(e, v16_exp(v16_load(x)));
        for (int i = 0; i < 16 && x[i] <= 88; i++)
            worst = fmax(worst, float_ulps(e[i], expl(x[i])));
    }
    print_message("exp: at most %.3f ulp\n", worst);
    assert_true(worst < 1.5); // a degree 6 polynomial and the last rounding
}

static void exp_at_the_edges(void **state)
{
    (void)state;
    const float x[16] = {0,  -0.0f, -87,      -87.1f, -1000,   -INFINITY, 88,
                         89, 1000,  INFINITY, NAN,    -1e-40f, 1e-40f};
    float e[16];
    v16_store(e, v16_exp(v16_load(x)));
    assert_true(e[0] == 1 && e[1] == 1 && e[11] == 1 && e[12] == 1);
    assert_true(e[2] > 0 && e[3] == 0 && e[4] == 0 && e[5] == 0 && !signbit(e[5]));
    assert_true(e[6] == e[7] && e[7] == e[8] && e[8] == e[9] && isfinite(e[9]));
    assert_true(isnan(e[10]));
}

static void log_is_within_two_ulps(void **state)
{
    (void)state;
    const struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    double worst = 0;
    for (uint64_t i = 0; i < 200000; i++) {
        const double x =
            i % 2 ? exp(rng_uniform(&rng, i) * 60 - 20) : 1 + rng_uniform(&rng, i) * 1e-3;
        const long double want = logl(x);
        int exponent;
        frexpl(want, &exponent);
        worst = fmax(worst, (double)(fabsl(exact_log(x) - want) / ldexpl(1, exponent - 53)));
    }
    print_message("log: at most %.3f ulp of double\n", worst);
    assert_true(worst < 3); // the division, and s and its series rounded apart
    assert_true(exact_log(1) == 0 && isnan(exact_log(NAN)) && isinf(exact_log(INFINITY)));
}

/* A float's half ulp, and near a zero of the function what the frequency's own rounding makes of a
 * large position. */
static void rope_table_is_within_an_ulp(void **state)
{
    (void)state;
    enum { POSITIONS = 131072, D = 8 };
    float *cos = guarded(POSITIONS * D / 2 * 4), *sin = guarded(POSITIONS * D / 2 * 4);
    double worst = 0;
    const struct rope rope = {.R = D, .theta = 500000};
    rope_table(cos, sin, POSITIONS, &rope);
    for (int t = 0; t < POSITIONS; t += t < 4000 ? 1 : 37)
        for (int i = 0; i < D / 2; i++) {
            const long double angle = t * powl(500000, -2.0L * i / D);
            const size_t at = (size_t)t * (D / 2) + i;
            const long double c = cosl(angle), s = sinl(angle), slack = 2e-10L;
            if (fabsl(c) > 1e-3L)
                worst = fmax(worst, float_ulps(cos[at], c));
            if (fabsl(s) > 1e-3L)
                worst = fmax(worst, float_ulps(sin[at], s));
            assert_true(fabsl(cos[at] - c) < 6e-8L + slack && fabsl(sin[at] - s) < 6e-8L + slack);
        }
    print_message("rope: at most %.3f ulp\n", worst);
    assert_true(worst < 1);
    assert_true(cos[0] == 1 && sin[0] == 0);
    guarded_free_all();
}

TESTS(cmocka_unit_test(exp_is_within_two_ulps), cmocka_unit_test(exp_at_the_edges),
      cmocka_unit_test(log_is_within_two_ulps), cmocka_unit_test(rope_table_is_within_an_ulp))
