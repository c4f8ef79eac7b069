/* What objectives read of an update's columns, and what they count. */
#include "rl/reference_kl.h"
#include "testing/testing.h"
#include "unit/rl/update_kit.h"
#include <math.h>
#include <string.h>

static void a_range_leaves_the_other_slopes_alone(void **state)
{
    (void)state;
    SCOPED_VALUE(fixture) f = random_fixture(5);
    struct rl_tally tally = {0};
    double slope[TOKENS_MAX];
    const struct objective *rloo = objective_find("rloo");
    for (size_t t = 0; t < TOKENS_MAX; t++)
        slope[t] = 5;
    assert_ok(grad_of("rloo", &rloo->row.defaults, &f, (struct range){1, 1}, slope, &tally));
    assert_true(tally.units == 0);
    assert_ok(grad_of("rloo", &rloo->row.defaults, &f, (struct range){1, 2}, slope, &tally));
    for (size_t t = 0; t < TOKENS_MAX; t++)
        assert_int_equal(slope[t] == 5, t < f.columns->first[1] || t >= f.columns->first[2]);
    assert_err(ERR_INVALID, "rloo: sequences 1 to 99 are not whole units",
               grad_of("rloo", &rloo->row.defaults, &f, (struct range){1, 99}, slope, &tally));
}

static void on_policy_the_ratio_is_exactly_one(void **state)
{
    (void)state;
    SCOPED_VALUE(fixture) f = random_fixture(4);
    struct rl_tally tally = {0};
    double slope[TOKENS_MAX], plain[TOKENS_MAX];
    columns_drop(f.columns, COLUMN_WEIGHT);
    columns_drop(f.columns, COLUMN_PROXIMAL_LOGP);
    memcpy(f.logp, f.behaviour, tokens_of(&f) * sizeof *f.logp);
    f.totals = columns_totals(f.columns);
    struct objective_config config = objective_find("rloo")->row.defaults;
    assert_ok(grad_of("rloo", &config, &f, all_of(&f), slope, &tally));
    struct rl_figures figures = rl_tally_figures(&tally);
    assert_true(figures.ess == 1 && figures.weight_max == 1 && figures.clip_frac == 0);
    assert_true(figures.kl_behaviour == 0 && figures.kl_behaviour_k3 == 0);
    config.gate.gate = GATE_NONE;
    assert_ok(grad_of("rloo", &config, &f, all_of(&f), plain, &tally));
    assert_memory_equal(slope, plain, sizeof *slope * tokens_of(&f)); // plain REINFORCE
    for (size_t i = 0; i < f.columns->sequences; i++)
        for (size_t t = f.columns->first[i]; t < f.columns->first[i + 1]; t++)
            assert_near(slope[t], -f.advantage[i] / (double)f.columns->sequences, 1e-15);
}

static void masked_tokens_count_nowhere(void **state)
{
    (void)state;
    static const double all[] = {-1, -2, -3, -4, -5, -6}, weight[] = {1, 0, 1, 0, 0, 1};
    static const double all_old[] = {-1.1, -9, -2.9, -9, -9, -6.1}, advantage[] = {1, 7, -2};
    static const double kept[] = {-1, -3, -6}, kept_old[] = {-1.1, -2.9, -6.1},
                        kept_advantage[] = {1, -2};
    SCOPED_VALUE(fixture) masked = fixture_new(3, (size_t[]){3, 2, 1});
    SCOPED_VALUE(fixture) without = fixture_new(2, (size_t[]){2, 1});
    memcpy(masked.logp, all, sizeof all);
    memcpy(masked.old, all_old, sizeof all);
    memcpy(masked.reference, all_old, sizeof all);
    memcpy(masked.advantage, advantage, sizeof advantage);
    memcpy(columns_add(masked.columns, COLUMN_WEIGHT), weight, sizeof weight);
    memcpy(without.logp, kept, sizeof kept);
    memcpy(without.old, kept_old, sizeof kept);
    memcpy(without.reference, kept_old, sizeof kept);
    memcpy(without.advantage, kept_advantage, sizeof kept_advantage);
    columns_drop(masked.columns, COLUMN_BEHAVIOUR_LOGP);
    columns_drop(without.columns, COLUMN_BEHAVIOUR_LOGP);
    const struct rl_totals a = masked.totals = columns_totals(masked.columns), b = without.totals;
    assert_true(a.tokens == 3 && a.sequences == 2 && b.tokens == 3 && b.sequences == 2);
    for (int ratio = RATIO_TOKEN; ratio <= RATIO_GEOMETRIC; ratio++)
        for (int reduce = REDUCE_TOKEN_MEAN; reduce <= REDUCE_CONST_NORM; reduce++) {
            struct objective_config config = objective_find("grpo")->row.defaults;
            double got[6], want[3];
            struct rl_tally x = {0}, y = {0};
            config.ratio = (enum ratio)ratio;
            config.reduce = (enum reduce)reduce;
            config.reduce_length = 4;
            config.kl_coef = 0.1;
            assert_ok(grad_of("grpo", &config, &masked, all_of(&masked), got, &x));
            assert_ok(grad_of("grpo", &config, &without, all_of(&without), want, &y));
            assert_memory_equal(&x, &y, sizeof x);
            assert_true(got[0] == want[0] && got[2] == want[1] && got[5] == want[2]);
            assert_true(got[1] == 0 && got[3] == 0 && got[4] == 0);
        }
}

/* Groups without a reference carry NaN: they count nowhere in the KL term, and the rest of their
 * loss stays. */
static void a_reference_that_is_not_there_is_skipped(void **state)
{
    (void)state;
    SCOPED_VALUE(fixture) f = random_fixture(3);
    SCOPED_VALUE(fixture) none = random_fixture(3);
    struct objective_config config = objective_find("rloo")->row.defaults;
    struct rl_tally with = {0}, without = {0}, plain = {0};
    double slope[TOKENS_MAX], want[TOKENS_MAX], policy[TOKENS_MAX], nats;
    for (size_t t = f.columns->first[1]; t < f.columns->first[2]; t++)
        f.reference[t] = NAN;
    assert_ok(grad_of("rloo", &config, &f, all_of(&f), policy, &plain));
    config.kl_coef = 0.5;
    assert_ok(grad_of("rloo", &config, &f, all_of(&f), slope, &with));
    assert_ok(grad_of("rloo", &config, &none, all_of(&none), want, &without));
    for (size_t t = 0; t < tokens_of(&f); t++) {
        const bool skipped = t >= f.columns->first[1] && t < f.columns->first[2];
        assert_true(slope[t] == (skipped ? policy : want)[t]);
    }
    const size_t tokens = columns_tokens(f.columns, 1);
    assert_true(with.policy == plain.policy && with.referred + (double)tokens == without.referred);
    assert_true(isfinite(rl_tally_figures(&with).kl_token) && with.kl != without.kl);
    const struct kl_cost k1 = {.kl = KL_K1, .logp = COLUMN_BEHAVIOUR_LOGP};
    assert_false(reference_kl(f.columns, 1, &k1, &nats));
    assert_true(reference_kl(f.columns, 0, &k1, &nats));
    double sum = 0;
    for (size_t t = 0; t < f.columns->first[1]; t++)
        sum += columns_weight(f.columns, t) != 0 ? f.behaviour[t] - f.reference[t] : 0;
    assert_near(nats, sum, 1e-15);
    columns_drop(f.columns, COLUMN_REFERENCE_LOGP);
    assert_false(reference_kl(f.columns, 0, &k1, &nats));
}

static void figures_count_what_is_clipped_and_how_far_it_is(void **state)
{
    (void)state;
    static const double logp[] = {-1, -1}, behaviour[] = {-1.5, -0.9};
    SCOPED_VALUE(fixture) f = fixture_new(1, (size_t[]){2});
    memcpy(f.logp, logp, sizeof logp);
    memcpy(f.behaviour, behaviour, sizeof behaviour);
    *f.advantage = 1;
    columns_drop(f.columns, COLUMN_PROXIMAL_LOGP);
    columns_drop(f.columns, COLUMN_REFERENCE_LOGP);
    struct rl_tally tally = {0};
    double slope[2];
    assert_ok(
        grad_of("grpo", &objective_find("grpo")->row.defaults, &f, all_of(&f), slope, &tally));
    struct rl_figures figures = rl_tally_figures(&tally);
    const double up = exp(0.5), down = exp(-0.1);
    assert_near(figures.clip_frac, 0.5, 0);
    assert_near(figures.kl_behaviour, -0.2, 1e-15);
    assert_near(figures.kl_behaviour_k3, (up - 1 - 0.5 + down - 1 + 0.1) / 2, 1e-15);
    assert_near(figures.ess, (up + down) * (up + down) / (2 * (up * up + down * down)), 1e-15);
    assert_near(figures.weight_max, up, 1e-15);
    assert_true(isnan(figures.kl_token));
    assert_true(isnan(rl_tally_figures(&(struct rl_tally){0}).ess));
}

static void what_is_missing_or_senseless_is_named(void **state)
{
    (void)state;
    struct rl_tally tally = {0}, untouched = {0};
    double slope[TOKENS_MAX] = {5};
    const struct objective *rloo = objective_find("rloo");
    struct objective_config config = rloo->row.defaults;
#define REFUSED(part, ...)                                                                         \
    do {                                                                                           \
        SCOPED_VALUE(fixture) f = random_fixture(1);                                               \
        config = rloo->row.defaults;                                                               \
        __VA_ARGS__;                                                                               \
        assert_err(ERR_INVALID, part, grad_of("rloo", &config, &f, all_of(&f), slope, &tally));    \
    } while (0)
    REFUSED("rloo needs the column advantage (", columns_drop(f.columns, COLUMN_ADVANTAGE));
    REFUSED("rloo needs the column logp (", columns_drop(f.columns, COLUMN_LOGP));
    REFUSED("rloo needs the column behaviour_logp (", columns_drop(f.columns, COLUMN_PROXIMAL_LOGP),
            columns_drop(f.columns, COLUMN_BEHAVIOUR_LOGP));
    REFUSED("rloo needs the column proximal_logp (", columns_drop(f.columns, COLUMN_PROXIMAL_LOGP),
            config.correction = ((struct correction_config){CORRECTION_TIS_TOKEN, 0, 2}));
    REFUSED("rloo needs the column behaviour_logp (",
            columns_drop(f.columns, COLUMN_BEHAVIOUR_LOGP),
            config.correction = ((struct correction_config){CORRECTION_TIS_TOKEN, 0, 2}));
    REFUSED("rloo needs the column reference_logp (",
            columns_drop(f.columns, COLUMN_REFERENCE_LOGP), config.kl_coef = 0.1);
    REFUSED("rloo: kl_coef is", config.kl_coef = NAN);
    REFUSED("epsilon_low is 1.5; 0 to 1 is allowed", config.gate.epsilon_low = 1.5);
    REFUSED("reduce_length is 0", config.reduce = REDUCE_CONST_NORM);
    REFUSED("takes one advantage for each", config.ratio = RATIO_SEQUENCE,
            columns_add(f.columns, COLUMN_TOKEN_ADVANTAGE));
    REFUSED("totals are 0", f.totals = (struct rl_totals){0});
#undef REFUSED
    assert_true(slope[0] == 5);
    assert_memory_equal(&tally, &untouched, sizeof tally);
}

static void a_column_that_stands_in_for_another(void **state)
{
    (void)state;
    SCOPED_VALUE(fixture) f = random_fixture(1);
    const struct objective_config config = objective_find("rloo")->row.defaults;
    struct rl_tally whole = {0}, each = {0};
    double slope[TOKENS_MAX], same[TOKENS_MAX];
    assert_ok(grad_of("rloo", &config, &f, all_of(&f), slope, &whole));
    double *token = columns_add(f.columns, COLUMN_TOKEN_ADVANTAGE);
    for (size_t i = 0; i < f.columns->sequences; i++)
        for (size_t t = f.columns->first[i]; t < f.columns->first[i + 1]; t++)
            token[t] = f.advantage[i];
    columns_drop(f.columns, COLUMN_ADVANTAGE);
    assert_ok(grad_of("rloo", &config, &f, all_of(&f), same, &each));
    assert_memory_equal(slope, same, tokens_of(&f) * sizeof *slope);
    columns_drop(f.columns, COLUMN_BEHAVIOUR_LOGP); // ratios are taken to proximal_logp
    assert_ok(grad_of("rloo", &config, &f, all_of(&f), same, &each));
    assert_memory_equal(slope, same, tokens_of(&f) * sizeof *slope);
}

TESTS(cmocka_unit_test(a_range_leaves_the_other_slopes_alone),
      cmocka_unit_test(on_policy_the_ratio_is_exactly_one),
      cmocka_unit_test(masked_tokens_count_nowhere),
      cmocka_unit_test(a_reference_that_is_not_there_is_skipped),
      cmocka_unit_test(figures_count_what_is_clipped_and_how_far_it_is),
      cmocka_unit_test(what_is_missing_or_senseless_is_named),
      cmocka_unit_test(a_column_that_stands_in_for_another))
