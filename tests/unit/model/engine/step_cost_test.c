/* What further rows cost a step, from the steps made lately. */
#include "model/engine/step_cost.h"
#include "testing/testing.h"

/* The sums lose some digits of a double. */
#define ROUNDING 1e-6

/* So many steps of 10, 20 ... 60 rows, each of base + row * rows seconds. */
static void make(struct step_cost *cost, int steps, double base, double row)
{
    for (int i = 0; i < steps; i++) {
        const double rows = 10 * (1 + i % 6);
        step_cost_add(cost, rows, base + row * rows);
    }
}

static void rows_cost_themselves_until_more_is_known(void **)
{
    struct step_cost cost = {0};
    assert_near(step_cost_ratio(&cost, 10, 25), 2.5, ROUNDING);
    make(&cost, 7, 1, 0);
    assert_near(step_cost_ratio(&cost, 10, 25), 2.5, ROUNDING);
    make(&cost, 3, 1, 0);
    assert_near(step_cost_ratio(&cost, 10, 25), 1, ROUNDING);
    struct step_cost one_size = {0};
    for (int i = 0; i < 100; i++)
        step_cost_add(&one_size, 16, 1); // tells nothing of other sizes
    assert_near(step_cost_ratio(&one_size, 16, 32), 2, ROUNDING);
}

static void the_line_is_found(void **)
{
    struct step_cost cpu = {0}, device = {0}, both = {0};
    make(&cpu, 100, 0, 0.001);
    assert_near(step_cost_ratio(&cpu, 16, 64), 4, ROUNDING);
    assert_near(step_cost_ratio(&cpu, 64, 16), 1, ROUNDING); // fewer rows make no step shorter here
    make(&device, 100, 0.02, 0);
    assert_near(step_cost_ratio(&device, 16, 6400), 1, ROUNDING);
    make(&both, 100, 0.032, 0.001);
    assert_near(step_cost_ratio(&both, 16, 64), 2, ROUNDING); // 48 to 96 ms
}

/* Noise may tilt the line below zero at either end. */
static void a_line_that_cannot_be_is_not_followed(void **)
{
    struct step_cost falls = {0}, below = {0};
    make(&falls, 100, 1, -0.001);
    assert_near(step_cost_ratio(&falls, 10, 50), 1, ROUNDING);
    make(&below, 100, -0.005, 0.001);
    assert_near(step_cost_ratio(&below, 10, 50), 5, ROUNDING);
}

static void what_was_long_ago_is_forgotten(void **)
{
    struct step_cost cost = {0};
    make(&cost, 1000, 0, 0.001);
    make(&cost, 2000, 0.02, 0);
    assert_true(step_cost_ratio(&cost, 10, 60) < 1.01);
}

TESTS(cmocka_unit_test(rows_cost_themselves_until_more_is_known),
      cmocka_unit_test(the_line_is_found), cmocka_unit_test(a_line_that_cannot_be_is_not_followed),
      cmocka_unit_test(what_was_long_ago_is_forgotten))
