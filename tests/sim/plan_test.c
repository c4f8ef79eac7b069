/* rlhfctl plan's formulas against what the simulated ring and network do. */
#include "base/mem.h"
#include "sim/simulated.h"
#include "testing/testing.h"
#include <math.h>

static void near(double formula, double simulated, double share, double beside)
{
    if (fabs(formula - simulated) > share * fabs(simulated) + beside)
        fail_msg("the formula says %g, the simulation %g", formula, simulated);
}

static void delta_bytes_are_those_measured(void **)
{
    /* ./dev bench delta, 50M parameters: share changed, plain and packed share of dense */
    static const double measured[][3] = {{0.006, 0.0074, 0.0043},
                                         {0.01, 0.0114, 0.0066},
                                         {0.04, 0.0401, 0.0192},
                                         {0.1, 0.1, 0.0393}};
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        near(plan_delta_bytes(50e6, measured[i][0], false) / 100e6, measured[i][1], 0.02, 0);
        near(plan_delta_bytes(50e6, measured[i][0], true) / 100e6, measured[i][2], 0.06, 0);
    }
    assert_true(plan_delta_bytes(50e6, 0, true) == 0);
    assert_true(plan_delta_bytes(50e6, 1, false) == 100e6);
    assert_true(plan_delta_bytes(50e6, 0.9, false) <= 100e6);
}

/* 14 bytes a parameter and model (settings_checkpoint_bytes). */
static void a_grace_period_has_a_round_and_a_checkpoint(void **)
{
    struct plan_input in = PLAN_DEFAULTS;
    struct plan one, two;
    in.parameters = 1e9;
    in.round_s = 90;
    in.disk_bytes_per_s = 1e9;
    plan_make(&in, &one);
    near(one.checkpoint_bytes, 14e9, 0, 0);
    near(one.grace_s, 90 + 14 + 10, 0, 0);
    in.trainees = 2;
    plan_make(&in, &two);
    near(two.grace_s - one.grace_s, 14, 0, 0);
    in.disk_bytes_per_s = 0;
    err_t failed = plan_check(&in);
    assert_int_equal(err_code(failed), ERR_INVALID);
    err_free(failed);
}

static void versions_arrive_when_the_formula_says(void **)
{
    static const int generators[] = {1, 2, 7, 64, 1000};
    for (size_t i = 0; i < sizeof generators / sizeof *generators; i++)
        for (int way = 0; way < PLAN_WAYS; way++)
            for (int fanout = 2; fanout <= 4; fanout += 2) {
                const double bytes = 64e6;
                struct plan_input in = PLAN_DEFAULTS;
                in.generators = generators[i];
                in.fanout = fanout;
                in.slice_bytes = 1e6;
                double *arrival = mem_array((size_t)generators[i], sizeof *arrival);
                const double last =
                    simulate_spread((enum plan_way)way, generators[i], fanout, bytes,
                                    in.slice_bytes, in.bytes_per_s, in.latency_s, arrival);
                /* A tree whose last level is not full is quicker by up to a level's children. */
                near(plan_spread_s(&in, (enum plan_way)way, bytes), last,
                     way == PLAN_TREE ? 0.25 : 0.01, 1e-4);
                mem_free(arrival);
            }
}

/* A ring that needs `needed` generators and has so many. */
static struct plan_input ring(double needed, double generators, double eta)
{
    struct plan_input in = PLAN_DEFAULTS;
    in.parameters = 1e8;
    in.generators = generators;
    in.bytes_per_s = 1e9;
    in.round_s = 20;
    in.completions = 4;
    in.slots = 64;
    in.tokens_per_s = 1600;
    in.longest_tokens = 800;
    /* exponential, cut off at the longest */
    in.mean_tokens = 200 * (1 - exp(-in.longest_tokens / 200));
    in.groups = floor(needed * in.tokens_per_s * in.round_s / (in.completions * in.mean_tokens));
    in.eta = eta;
    return in;
}

static struct simulated simulated(const struct plan_input *in, int rounds)
{
    const int n = (int)in->generators;
    double *publish = mem_array((size_t)n, sizeof *publish);
    const enum plan_way way = in->fanout < in->generators ? PLAN_TREE : PLAN_STAR;
    const double bytes = plan_delta_bytes(in->parameters, in->changed, in->zstd);
    simulate_spread(way, n, (int)in->fanout, bytes, in->slice_bytes, in->bytes_per_s, in->latency_s,
                    publish);
    struct simulated_config config = {.generators = n,
                                      .slots = (int)in->slots,
                                      .groups = (int)in->groups,
                                      .completions = (int)in->completions,
                                      .eta = (int)in->eta,
                                      .rounds = rounds,
                                      .token_s = in->slots / in->tokens_per_s,
                                      .mean_tokens = 200,
                                      .longest_tokens = in->longest_tokens,
                                      .round_s = in->round_s,
                                      .score_s = in->score_s,
                                      .publish_s = publish,
                                      .seed = 1};
    struct simulated result;
    simulate_ring(&config, &result);
    mem_free(publish);
    assert_true(result.lag_max <= (uint64_t)in->eta);
    return result;
}

static void compare(double needed, double generators, double eta, int rounds)
{
    const struct plan_input in = ring(needed, generators, eta);
    struct plan plan;
    plan_make(&in, &plan);
    const struct simulated result = simulated(&in, rounds);
    print_message(
        "needed %4g there %4g eta %g  round %.2f s (%.2f)  idle %.3f (%.3f)  lag %.2f (%.2f)\n",
        needed, generators, eta, plan.round_s, result.round_s, plan.learner_idle,
        result.learner_idle, plan.lag, result.lag_mean);
    near(plan.round_s, result.round_s, 0.04, 0);
    near(plan.learner_idle, result.learner_idle, 0, 0.04);
    near(plan.lag, result.lag_mean, 0.06, 0);
}

static void generators_that_suffice_and_that_do_not(void **)
{
    compare(10, 13, 4, 60);
    compare(10, 5, 4, 60);
    compare(100, 130, 4, 40);
    compare(100, 50, 8, 40);
    compare(770, 1000, 4, 24);
}

static void small_lags(void **)
{
    compare(10, 13, 0, 60);
    compare(10, 13, 1, 60);
    compare(10, 13, 2, 60);
}

static void the_lag_needed_is_enough_and_less_is_not(void **)
{
    struct plan_input in = ring(10, 14, 1);
    struct plan plan;
    plan_make(&in, &plan);
    assert_true(plan.eta_needed >= 2);
    in.eta = plan.eta_needed;
    assert_true(simulated(&in, 60).learner_idle < 0.03);
    in.eta = plan.eta_needed - 1;
    assert_true(simulated(&in, 60).learner_idle > 0.03);
}

/* ARCHITECTURE.md's table of memory; a version is what trains. */
static void an_adapter_travels_and_is_optimized_alone(void **)
{
    struct plan_input in = PLAN_DEFAULTS;
    struct plan whole, adapter;
    plan_make(&in, &whole);
    in.adapter = in.parameters / 100;
    plan_make(&in, &adapter);
    assert_true(whole.learner_bytes == 20 * in.parameters);
    assert_true(whole.generator_bytes == 2 * in.parameters);
    assert_true(adapter.learner_bytes == 4 * in.parameters + 20 * in.adapter);
    assert_true(adapter.generator_bytes == 2 * in.parameters + 2 * in.adapter);
    assert_true(adapter.full_bytes == 2 * in.adapter);
    assert_true(adapter.delta_bytes < whole.delta_bytes / 99);
}

static void what_is_out_of_range_is_named(void **)
{
    struct plan_input in = PLAN_DEFAULTS;
    in.changed = 1.5;
    err_t e = plan_check(&in);
    assert_int_equal(err_code(e), ERR_INVALID);
    assert_string_equal(err_message(e), "changed: 1.5; allowed: 0 to 1");
    err_free(e);
    in = PLAN_DEFAULTS;
    in.latency_s = NAN;
    e = plan_check(&in);
    assert_int_equal(err_code(e), ERR_INVALID);
    err_free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(delta_bytes_are_those_measured),
        cmocka_unit_test(a_grace_period_has_a_round_and_a_checkpoint),
        cmocka_unit_test(versions_arrive_when_the_formula_says),
        cmocka_unit_test(generators_that_suffice_and_that_do_not),
        cmocka_unit_test(small_lags),
        cmocka_unit_test(the_lag_needed_is_enough_and_less_is_not),
        cmocka_unit_test(an_adapter_travels_and_is_optimized_alone),
        cmocka_unit_test(what_is_out_of_range_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
