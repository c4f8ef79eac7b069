/* Gates by hand: where their slopes end, and the weights that are constants. */
#include "rl/kernels/gate.h"
#include "testing/testing.h"
#include <math.h>

struct by_hand {
    double advantage, ratio, logp, loss, slope;
    bool clipped;
};

static void assert_gate(const struct gate_config *config, const struct by_hand *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct by_hand *c = &cases[i];
        const struct gate_value v = gate_at(config, c->advantage, log(c->ratio), c->logp);
        assert_near(v.loss, c->loss, 1e-12);
        assert_near(v.slope, c->slope, 1e-12);
        assert_int_equal(v.clipped, c->clipped);
    }
}
#define ASSERT_GATE(config, cases) assert_gate(config, cases, sizeof(cases) / sizeof *(cases))

/* Better completions count in full, whatever their ratio is. */
static void taper_holds_the_weight_of_worse_completions(void **)
{
    static const struct gate_config topr = {GATE_TAPER, .positive = 1, .low = 0, .high = 1};
    static const struct by_hand cases[] = {{2, 0.1, -3, 6, -2, true},
                                           {0, 7, -3, 0, 0, true},
                                           {-2, 0.5, -3, -3, 1, false},
                                           {-2, 4, -3, -6, 2, true}};
    ASSERT_GATE(&topr, cases);
}

static void band_and_cap_are_constants(void **)
{
    static const struct gate_config band = {GATE_BAND, .low = 0.1, .high = 1.9},
                                    limit = {GATE_KL_CAP, .kl_max = 2};
    static const struct by_hand held[] = {
        {1, 0.01, -2, 0.2, -0.1, true}, {1, 1.5, -2, 3, -1.5, false}, {-1, 9, -2, -3.8, 1.9, true}};
    const struct by_hand weighed[] = {{1, exp(1), -2, 1, -0.5, false},
                                      {1, exp(2), -2, 0, 0, true},
                                      {1, exp(5), -2, 0, 0, true},
                                      {1, exp(-2), -2, 4, -2, false}};
    ASSERT_GATE(&band, held);
    ASSERT_GATE(&limit, weighed);
}

/* In probability: rare tokens may move by any ratio. */
static void total_variation_stops_what_moves_on(void **)
{
    static const struct gate_config dppo = {GATE_TV, .delta = 0.1};
    const struct by_hand cases[] = {{1, 2, log(0.4), 0, 0, true},
                                    {-1, 2, log(0.4), 2, 2, false},
                                    {-1, 0.5, log(0.2), 0, 0, true},
                                    {1, 0.5, log(0.2), -0.5, -0.5, false},
                                    {1, 50, log(0.05), -50, -50, false}};
    ASSERT_GATE(&dppo, cases);
}

static void bell_and_probability_weigh_by_what_is_likely(void **)
{
    static const struct gate_config vespo = {GATE_BELL, .k = {2, 3}, .lambda = {3, 2}},
                                    dft = {GATE_PROBABILITY};
    const struct by_hand bell[] = {{1, 1, -2, 2, -1, false},
                                   {1, 2, -1, 4 * exp(-3), -4 * exp(-3), false},
                                   {-1, 2, -1, -8 * exp(-2), 8 * exp(-2), false}};
    const struct by_hand likely[] = {{1, 9, log(0.25), -0.25 * log(0.25), -0.25, false}};
    ASSERT_GATE(&vespo, bell);
    ASSERT_GATE(&dft, likely);
}

static void soft_has_the_slope_of_the_ratio_at_one(void **)
{
    static const struct gate_config sapo = {GATE_SOFT, .temperature = {1, 1.05}};
    assert_near(gate_at(&sapo, 1.5, 0, -1).slope, -1.5, 1e-12);
    assert_near(gate_at(&sapo, -1.5, 0, -1).slope, 1.5, 1e-12);
    assert_true(fabs(gate_at(&sapo, 1, log(20), -1).slope) < 1e-6);
}

/* However far two policies are apart, numbers stay finite. */
static void far_ratios_stay_finite(void **)
{
    for (int gate = GATE_NONE; gate <= GATE_PROBABILITY; gate++)
        for (int side = -1; side <= 1; side += 2)
            for (double far = 1; far < 1e6; far *= 10) {
                const struct gate_config config = {.gate = (enum gate)gate,
                                                   .epsilon_low = 0.2,
                                                   .epsilon_high = 0.2,
                                                   .cap = 2,
                                                   .temperature = {1, 1},
                                                   .delta = 0.1,
                                                   .positive = 1,
                                                   .low = 0.1,
                                                   .high = 2,
                                                   .k = {2, 3},
                                                   .lambda = {3, 2},
                                                   .kl_max = 10};
                const struct gate_value v = gate_at(&config, -1, side * far, -far);
                assert_true(isfinite(v.loss) && isfinite(v.slope));
            }
}

TESTS(cmocka_unit_test(taper_holds_the_weight_of_worse_completions),
      cmocka_unit_test(band_and_cap_are_constants),
      cmocka_unit_test(total_variation_stops_what_moves_on),
      cmocka_unit_test(bell_and_probability_weigh_by_what_is_likely),
      cmocka_unit_test(soft_has_the_slope_of_the_ratio_at_one),
      cmocka_unit_test(far_ratios_stay_finite))
