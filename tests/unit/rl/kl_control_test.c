#include "rl/kl.h"
#include "rl/kl_control.h"
#include "testing/testing.h"
#include <math.h>

/* By hand, target 6, horizon 10000: errors of +0.2 (0.5 cut), +0.1, 0, -0.2 (-0.95 cut), -0.05. */
static void the_sequence_is_the_one_by_hand(void **state)
{
    (void)state;
    static const struct {
        double kl, completions, factor;
    } steps[] = {
        {9, 256, 1.00512}, {6.6, 256, 1.00256}, {6, 256, 1}, {0.3, 500, 0.99}, {5.7, 1000, 0.995}};
    struct kl_control control = {.coef = 0.15};
    double want = 0.15;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        kl_control_update(&control, 6, 10000, steps[i].kl, steps[i].completions);
        want *= steps[i].factor;
        assert_near(control.coef, want, 1e-15); // kl / target - 1 rounds
        if (i == 0)
            assert_near(control.coef, 0.150768, 1e-15);
    }
    assert_near(control.coef, 0.15 * 1.00512 * 1.00256 * 0.99 * 0.995, 1e-15);
}

static void a_divergence_that_follows_comes_to_the_target(void **state)
{
    (void)state;
    struct kl_control control = {.coef = 1}; // a policy whose divergence is 3 / coef
    for (int i = 0; i < 4000; i++)
        kl_control_update(&control, 6, 10000, 3 / control.coef, 64);
    assert_near(control.coef, 0.5, 1e-3);
}

static void without_a_target_or_a_number_nothing_changes(void **state)
{
    (void)state;
    struct kl_control control = {.coef = 0.3};
    kl_control_update(&control, 0, 10000, 5, 64);
    kl_control_update(&control, 6, 10000, NAN, 64);
    kl_control_update(&control, 6, 10000, INFINITY, 64);
    kl_control_update(&control, 6, 10000, -INFINITY, 64);
    kl_control_update(&control, 6, 10000, 5, 0);
    assert_true(control.coef == 0.3);
}

/* Ten completions at a horizon of 1 would make the factor -1. */
static void a_short_horizon_steps_by_a_fifth_at_most(void **state)
{
    (void)state;
    struct kl_control control = {.coef = 1};
    kl_control_update(&control, 6, 1, 0, 10);
    assert_near(control.coef, 0.8, 1e-15);
    kl_control_update(&control, 6, 1, 100, 10);
    assert_near(control.coef, 0.96, 1e-15);
    for (int i = 0; i < 200; i++)
        kl_control_update(&control, 6, 1, 100, 10);
    assert_true(control.coef == KL_COEF_MAX);
    kl_control_update(&control, 6, 10000, -1e308, 64); // k1 of samples may be below 0
    assert_near(control.coef, KL_COEF_MAX * (1 - 0.2 * 64 / 10000), 1e-6);
}

TESTS(cmocka_unit_test(the_sequence_is_the_one_by_hand),
      cmocka_unit_test(a_divergence_that_follows_comes_to_the_target),
      cmocka_unit_test(without_a_target_or_a_number_nothing_changes),
      cmocka_unit_test(a_short_horizon_steps_by_a_fifth_at_most))
