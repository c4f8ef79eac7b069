#include "base/json.h"
#include "unit/rl/update_kit.h"

/* Pairs of neighbours; no advantages, and the behaviour only for the record. */
static struct fixture pairs_new(size_t sequences, const size_t *tokens)
{
    struct fixture f = fixture_new(sequences, tokens);
    fixture_units(&f, 2);
    columns_drop(f.columns, COLUMN_PROXIMAL_LOGP);
    columns_drop(f.columns, COLUMN_ADVANTAGE);
    f.weight = columns_add(f.columns, COLUMN_WEIGHT);
    for (size_t t = 0; t < tokens_of(&f); t++)
        f.weight[t] = 1;
    return f;
}

static struct objective_config dpo(enum pair_loss loss, double beta, double smoothing)
{
    struct objective_config ret = objective_find("online_dpo")->row.defaults;
    ret.pair = (struct pair_config){loss, beta, smoothing};
    ret.gate = (struct gate_config){GATE_NONE};
    return ret;
}

static struct rl_tally grad(const struct objective_config *config, const struct fixture *f,
                            double *slope)
{
    struct rl_tally tally = {0};
    assert_ok(grad_of("online_dpo", config, f, all_of(f), slope, &tally));
    return tally;
}

/* The golden arrays, sequences in the pairs' order. */
static struct fixture golden_inputs(const json_t *golden)
{
    const json_t *inputs = json_object_get(golden, "inputs"),
                 *length = json_object_get(inputs, "length"),
                 *order = json_object_get(json_object_get(golden, "pairs"), "order");
    const size_t sequences = json_array_size(order);
    size_t tokens[SEQUENCES_MAX], place[SEQUENCES_MAX];
    for (size_t i = 0; i < sequences; i++) {
        place[i] = (size_t)json_integer_value(json_array_get(order, i));
        tokens[i] = (size_t)json_integer_value(json_array_get(length, place[i]));
    }
    struct fixture f = pairs_new(sequences, tokens);
    for (size_t i = 0; i < sequences; i++) {
        size_t from = 0;
        for (size_t j = 0; j < place[i]; j++)
            from += (size_t)json_integer_value(json_array_get(length, j));
        for (size_t t = f.columns->first[i]; t < f.columns->first[i + 1]; t++, from++) {
            f.logp[t] = json_number_value(json_array_get(json_object_get(inputs, "logp"), from));
            f.reference[t] =
                json_number_value(json_array_get(json_object_get(inputs, "reference"), from));
            f.behaviour[t] =
                json_number_value(json_array_get(json_object_get(inputs, "behaviour"), from));
        }
    }
    return f;
}

static double number(const json_t *vector, const char *key)
{
    assert_non_null(json_object_get(vector, key));
    return json_number_value(json_object_get(vector, key));
}

/* Sums of a dozen doubles: 1e-12 of what they come to. */
static void assert_close(double got, double want)
{
    assert_near(got, want, 1e-12 * fmax(1, fabs(want)));
}

/* A vector without a gate is a vector without a behaviour. */
static struct gate_config golden_gate(const json_t *vector, struct fixture *f)
{
    const double limit = number(vector, "limit");
    struct gate_config gate = {GATE_NONE, limit, limit, .cap = limit};
    const char *name = json_string_value(json_object_get(vector, "gate"));
    assert_true(gate_find(name, &gate.gate));
    if (gate.gate == GATE_NONE)
        columns_drop(f->columns, COLUMN_BEHAVIOUR_LOGP);
    return gate;
}

static void every_vector_agrees_with_pytorch(void **state)
{
    (void)state;
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/objectives.json", 1 << 20, &golden));
    size_t v;
    json_t *vector;
    json_array_foreach (json_object_get(json_object_get(golden, "pairs"), "vectors"), v, vector) {
        SCOPED_VALUE(fixture) f = golden_inputs(golden);
        double slope[TOKENS_MAX];
        enum pair_loss loss = PAIR_NONE;
        for (size_t t = 0; t < tokens_of(&f); t++)
            f.weight[t] = json_number_value(json_array_get(json_object_get(vector, "weight"), t));
        f.totals = columns_totals(f.columns);
        assert_true(pair_loss_find(json_string_value(json_object_get(vector, "pair_loss")), &loss));
        struct objective_config config =
            dpo(loss, number(vector, "beta"), number(vector, "label_smoothing"));
        config.kl_coef = number(vector, "kl_coef");
        config.gate = golden_gate(vector, &f);
        const struct rl_tally tally = grad(&config, &f, slope);
        const struct rl_figures figures = rl_tally_figures(&tally);
        assert_close(figures.loss, number(vector, "loss"));
        assert_close(figures.rewards_chosen, number(vector, "rewards_chosen"));
        assert_close(figures.rewards_rejected, number(vector, "rewards_rejected"));
        assert_close(figures.rewards_margin, number(vector, "rewards_margin"));
        assert_true(figures.rewards_accuracy == number(vector, "rewards_accuracy"));
        assert_true(figures.pairs == 2);
        assert_int_equal(json_array_size(json_object_get(vector, "slope")), tokens_of(&f));
        for (size_t t = 0; t < tokens_of(&f); t++)
            assert_close(slope[t],
                         json_number_value(json_array_get(json_object_get(vector, "slope"), t)));
    }
    assert_int_equal(v, 23);
}

/* One to six pairs of 1 to 8 tokens, a quarter of the tokens masked; of some, a whole side. */
static struct fixture random_pairs(uint64_t seed)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 4, 0);
    uint64_t draw = 0;
    size_t tokens[SEQUENCES_MAX], sequences = 2 + 2 * (size_t)rng_below(&rng, draw++, 5);
    for (size_t i = 0; i < sequences; i++)
        tokens[i] = 1 + (size_t)rng_below(&rng, draw++, 8);
    struct fixture f = pairs_new(sequences, tokens);
    for (size_t t = 0; t < tokens_of(&f); t++) {
        f.reference[t] = -3 * rng_uniform(&rng, draw++);
        f.behaviour[t] = f.reference[t] + 0.3 * rng_normal(&rng, draw++);
        f.logp[t] = f.behaviour[t] + 0.3 * rng_normal(&rng, draw++);
        f.weight[t] = rng_below(&rng, draw++, 4) ? 1 : 0;
    }
    f.totals = columns_totals(f.columns);
    return f;
}

static const struct pair_config losses[] = {
    {PAIR_SIGMOID, 0.1, 0}, {PAIR_SIGMOID, 2, 0}, {PAIR_SIGMOID, 1, 0.2}, {PAIR_HINGE, 0.1},
    {PAIR_HINGE, 2},        {PAIR_IPO, 0.1},      {PAIR_IPO, 1},          {PAIR_SFT, 0.1},
};
enum { LOSSES = sizeof losses / sizeof *losses };

static struct objective_config config_of(size_t l, uint64_t seed)
{
    struct objective_config ret = objective_find("online_dpo")->row.defaults;
    ret.pair = losses[l];
    ret.gate = (struct gate_config){GATE_NONE};
    ret.kl_coef = seed % 2 ? 0.3 : 0;
    ret.kl = (enum kl)(seed % (KL_K3 + 1));
    ret.reduce = (enum reduce)(seed / 2 % 4);
    ret.reduce_length = 5;
    return ret;
}

static void slopes_agree_with_finite_differences(void **state)
{
    (void)state;
    int held = 0, live = 0;
    for (uint64_t seed = 0; seed < 40; seed++)
        for (size_t l = 0; l < LOSSES; l++) {
            SCOPED_VALUE(fixture) f = random_pairs(seed);
            double slope[TOKENS_MAX];
            const struct objective_config config = config_of(l, seed);
            assert_slopes("online_dpo", &f, &config);
            grad(&config, &f, slope);
            for (size_t t = 0; t < tokens_of(&f); t++)
                if (config.pair.loss == PAIR_HINGE && config.kl_coef == 0)
                    *(slope[t] == 0 ? &held : &live) += f.weight[t] != 0;
        }
    assert_true(held > 50 && live > 50); // both sides of the hinge were seen
}

static void ranges_of_an_update_add_up_to_the_same_bits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++)
        for (size_t l = 0; l < LOSSES; l++)
            for (size_t pairs = 1; pairs <= 2; pairs++) {
                SCOPED_VALUE(fixture) f = random_pairs(seed);
                const struct objective_config config = config_of(l, seed);
                assert_parts_add_up("online_dpo", &f, &config, pairs);
            }
}

/* A token's slope behind a gate: a clip leaves none where its ratio is past the limit already. */
static double limited(const struct gate_config *gate, double slope, double ratio)
{
    if (gate->gate == GATE_CAP)
        return slope * fmin(ratio, gate->cap);
    const bool far = slope < 0 ? ratio > 1 + gate->epsilon_high : ratio < 1 - gate->epsilon_low;
    return far ? 0 : slope * ratio;
}

static const struct gate_config gates[] = {
    {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.3},
    {GATE_CAP, .cap = 1},
};

static void a_gate_limits_each_token(void **state)
{
    (void)state;
    int held = 0, live = 0;
    for (uint64_t seed = 0; seed < 40; seed++)
        for (size_t l = 0; l < LOSSES; l++)
            for (size_t g = 0; g < 2; g++) {
                SCOPED_VALUE(fixture) f = random_pairs(seed);
                double plain[TOKENS_MAX], slope[TOKENS_MAX], share = 0, tokens = 0;
                struct objective_config config = config_of(l, seed);
                config.kl_coef = 0;
                const struct rl_tally before = grad(&config, &f, plain);
                config.gate = gates[g];
                const struct rl_tally after = grad(&config, &f, slope);
                for (size_t t = 0; t < tokens_of(&f); t++) {
                    const double ratio = exp(f.logp[t] - f.behaviour[t]);
                    assert_near(slope[t], limited(&gates[g], plain[t], ratio), 1e-13);
                    tokens += f.weight[t];
                    share += f.weight[t] != 0 && slope[t] == 0 && plain[t] != 0;
                    *(slope[t] == 0 ? &held : &live) += plain[t] != 0;
                }
                assert_true(after.policy == before.policy && before.units == 0);
                assert_true(after.units == tokens);
                if (gates[g].gate == GATE_CLIP)
                    assert_true(after.clipped == share);
                assert_parts_add_up("online_dpo", &f, &config, 1);
            }
    assert_true(held > 500 && live > 500);
}

/* Weights that drew the pairs are weights without a gate, bit for bit. */
static void on_policy_a_gate_changes_no_bit(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++)
        for (size_t l = 0; l < LOSSES; l++)
            for (size_t g = 0; g < 2; g++) {
                SCOPED_VALUE(fixture) f = random_pairs(seed);
                double plain[TOKENS_MAX], slope[TOKENS_MAX];
                struct objective_config config = config_of(l, seed);
                memcpy(f.behaviour, f.logp, tokens_of(&f) * sizeof *f.logp);
                grad(&config, &f, plain);
                config.gate = gates[g];
                grad(&config, &f, slope);
                assert_memory_equal(slope, plain, tokens_of(&f) * sizeof *slope);
            }
}

static void a_range_that_cuts_a_pair_is_refused(void **state)
{
    (void)state;
    SCOPED_VALUE(fixture) f = pairs_new(4, (size_t[]){1, 2, 1, 1});
    const struct objective_config config = dpo(PAIR_SIGMOID, 0.1, 0);
    static const struct range cuts[] = {{0, 1}, {0, 3}, {1, 2}, {1, 4}, {1, 1}, {0, 6}, {4, 2}};
    struct rl_tally tally = {0}, untouched = {0};
    double slope[5] = {5};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++)
        assert_err(ERR_INVALID, "are not whole units",
                   grad_of("online_dpo", &config, &f, cuts[i], slope, &tally));
    columns_set_units(f.columns, 2, (size_t[]){1, 3});
    assert_err(ERR_INVALID, "online_dpo: a unit has 1 sequences; it is a pair of them",
               grad_of("online_dpo", &config, &f, (struct range){0, 4}, slope, &tally));
    assert_memory_equal(&tally, &untouched, sizeof tally);
    assert_true(slope[0] == 5);
}

/* Far apart, where exp overflows and 1 + exp(-z) is 1: the loss is linear or 0 and the slope beta
 * or a tiny number, not 0. */
static void a_sigmoid_stays_exact_far_out(void **state)
{
    (void)state;
    const struct pair_config plain = {PAIR_SIGMOID, .beta = 1}, smoothed = {PAIR_SIGMOID, 1, 0.1};
    struct pair_value v = pair_at(&plain, (struct pair_side){-1000, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == 1000 && v.chosen == -1 && v.rejected == 1);
    v = pair_at(&plain, (struct pair_side){50, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == exp(-50) && v.chosen == -exp(-50)); // log1p(x) is x there
    v = pair_at(&plain, (struct pair_side){1e6, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == 0 && v.chosen == 0);
    v = pair_at(&smoothed, (struct pair_side){1e6, 1}, (struct pair_side){0, 1});
    assert_near(v.loss, 1e5, 1e-9);
    assert_near(v.chosen, 0.1, 1e-15); // too far: pulled back
    v = pair_at(&smoothed, (struct pair_side){log(9), 1}, (struct pair_side){0, 1});
    assert_near(v.chosen, 0, 1e-15); // cDPO's minimum: sigma(z) = 1 - label_smoothing
    const struct pair_config hinge = {PAIR_HINGE, .beta = 1};
    v = pair_at(&hinge, (struct pair_side){NAN, 1}, (struct pair_side){0, 1});
    assert_true(isnan(v.loss)); // is not taken for a pair that is far enough ahead
    v = pair_at(&hinge, (struct pair_side){1, 1}, (struct pair_side){0, 1});
    assert_true(v.loss == 0 && v.chosen == 0 && !signbit(v.loss));
}

/* At the reference itself nothing is ahead: log 2, slopes of beta/2 over the pairs, and no
 * accuracy. */
static void at_the_reference_a_pair_is_even(void **state)
{
    (void)state;
    SCOPED_VALUE(fixture) f = random_pairs(3);
    double slope[TOKENS_MAX];
    memcpy(f.logp, f.reference, tokens_of(&f) * sizeof *f.logp);
    columns_drop(f.columns, COLUMN_WEIGHT);
    f.totals = columns_totals(f.columns);
    const double pairs = (double)f.columns->units;
    const struct objective_config config = dpo(PAIR_SIGMOID, 0.5, 0);
    const struct rl_tally tally = grad(&config, &f, slope);
    const struct rl_figures figures = rl_tally_figures(&tally);
    assert_near(figures.loss, log(2), 1e-15);
    assert_true(figures.pairs == pairs && figures.rewards_accuracy == 0);
    assert_true(figures.rewards_chosen == 0 && figures.rewards_margin == 0);
    assert_true(figures.kl_token == 0 && isnan(figures.clip_frac) && figures.ess < 1);
    for (size_t i = 0; i < f.columns->sequences; i++)
        for (size_t t = f.columns->first[i]; t < f.columns->first[i + 1]; t++)
            assert_near(slope[t], (i % 2 ? 1 : -1) * 0.25 / pairs, 1e-16);
}

/* Two pairs of 2 and 1, 1 and 1 tokens, whose u are 3 against -1 and 0.5 against 2. */
static struct fixture two_pairs(void)
{
    static const double logp[] = {-1, -2, -3, -1, -1}, reference[] = {-2, -4, -2, -1.5, -3};
    struct fixture f = pairs_new(4, (size_t[]){2, 1, 1, 1});
    memcpy(f.logp, logp, sizeof logp);
    memcpy(f.reference, reference, sizeof reference);
    columns_drop(f.columns, COLUMN_BEHAVIOUR_LOGP);
    return f;
}

static void figures_are_means_over_the_pairs(void **state)
{
    (void)state;
    SCOPED_VALUE(fixture) f = two_pairs();
    double slope[5];
    const struct objective_config config = dpo(PAIR_SIGMOID, 0.1, 0);
    const struct rl_tally tally = grad(&config, &f, slope);
    const struct rl_figures figures = rl_tally_figures(&tally);
    assert_near(figures.rewards_chosen, 0.1 * 3.5 / 2, 1e-15);
    assert_near(figures.rewards_rejected, 0.1 * 1 / 2, 1e-15);
    assert_near(figures.rewards_margin, 0.1 * 2.5 / 2, 1e-15);
    assert_true(figures.rewards_accuracy == 0.5 && figures.pairs == 2);
    const struct rl_figures none = rl_tally_figures(&(struct rl_tally){0});
    assert_true(none.pairs == 0 && isnan(none.rewards_chosen) && isnan(none.rewards_rejected));
    assert_true(isnan(none.rewards_margin) && isnan(none.rewards_accuracy));
}

/* What is left of a pair with nothing on one side teaches nothing, but for the KL term. */
static void half_a_pair_teaches_nothing(void **state)
{
    (void)state;
    for (int masked = 0; masked < 2; masked++) {
        SCOPED_VALUE(fixture) f = two_pairs();
        double slope[5];
        f.weight[0] = f.weight[1] = masked;
        f.weight[2] = 1 - masked;
        f.totals = columns_totals(f.columns);
        assert_true(f.totals.sequences == 3);
        struct objective_config config = dpo(PAIR_IPO, 0.1, 0);
        const struct rl_tally tally = grad(&config, &f, slope);
        assert_true(tally.pairs == 1 && slope[0] == 0 && slope[1] == 0 && slope[2] == 0);
        assert_near(rl_tally_figures(&tally).loss, (0.5 - 2 - 5) * (0.5 - 2 - 5) * 2 / 3, 1e-13);
        assert_true(slope[3] == -slope[4] && slope[3] < 0);
        config.kl_coef = 1;
        grad(&config, &f, slope);
        assert_true((slope[0] != 0) == masked && (slope[2] != 0) == !masked);
    }
}

static void what_is_missing_or_senseless_is_named(void **state)
{
    (void)state;
    struct rl_tally tally = {0}, untouched = {0};
    double slope[TOKENS_MAX] = {5};
    const struct objective *row = objective_find("online_dpo");
    struct objective_config config = row->row.defaults;
    assert_int_equal(row->row.unit, OBJECTIVE_PAIR);
    assert_int_equal(objective_needs(row, &config),
                     COLUMN_BIT(COLUMN_REFERENCE_LOGP) | COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP));
    config = dpo(PAIR_SIGMOID, 0.1, 0);
    assert_int_equal(objective_needs(row, &config), COLUMN_BIT(COLUMN_REFERENCE_LOGP));
#define REFUSED(part, ...)                                                                         \
    do {                                                                                           \
        SCOPED_VALUE(fixture) f = random_pairs(1);                                                 \
        __VA_ARGS__;                                                                               \
        assert_err(ERR_INVALID, part,                                                              \
                   grad_of("online_dpo", &config, &f, all_of(&f), slope, &tally));                 \
    } while (0)
    REFUSED("online_dpo needs the column reference_logp (",
            columns_drop(f.columns, COLUMN_REFERENCE_LOGP));
    REFUSED("online_dpo: beta is 0; more than 0 is allowed", config = dpo(PAIR_SIGMOID, 0, 0));
    REFUSED("beta is nan", config = dpo(PAIR_IPO, NAN, 0));
    REFUSED("beta is inf", config = dpo(PAIR_IPO, INFINITY, 0));
    REFUSED("label_smoothing is 0.5; 0 to less than 0.5 is allowed",
            config = dpo(PAIR_SIGMOID, 0.1, 0.5));
    REFUSED("label_smoothing is -0.1", config = dpo(PAIR_SIGMOID, 0.1, -0.1));
    REFUSED("label_smoothing is nan", config = dpo(PAIR_SIGMOID, 0.1, NAN));
    REFUSED("label_smoothing is 0.1; the hinge loss has none", config = dpo(PAIR_HINGE, 0.1, 0.1));
    REFUSED("ratios of tokens alone", config = dpo(PAIR_HINGE, 0.1, 0),
            config.ratio = RATIO_SEQUENCE);
    REFUSED("no dual clip", config = dpo(PAIR_HINGE, 0.1, 0),
            config.gate = ((struct gate_config){GATE_CLIP, 0.2, 0.2, .dual = 2}));
    REFUSED("no correction", config = dpo(PAIR_HINGE, 0.1, 0),
            config.correction = ((struct correction_config){CORRECTION_TIS_TOKEN, .high = 2}));
    REFUSED("online_dpo needs the column behaviour_logp (", config = dpo(PAIR_HINGE, 0.1, 0),
            config.gate = gates[0], columns_drop(f.columns, COLUMN_BEHAVIOUR_LOGP));
    REFUSED("totals are 0", config = row->row.defaults, f.totals = (struct rl_totals){0});
#undef REFUSED
    assert_true(slope[0] == 5);
    assert_memory_equal(&tally, &untouched, sizeof tally);
}

static void losses_have_the_names_of_the_recipe(void **state)
{
    (void)state;
    static const char *const names[] = {
        "none",      "sigmoid",      "hinge",        "ipo",      "sft",
        "ipo_sum",   "robust",       "exo_pair",     "nca_pair", "bco_pair",
        "sppo_hard", "aot",          "aot_unpaired", "apo_zero", "apo_down",
        "discopop",  "sigmoid_norm", "exponential",  "squared",  "truncated_quadratic",
        "savage",    "soft"};
    for (int i = PAIR_SIGMOID; i <= PAIR_SOFT; i++) {
        enum pair_loss found = PAIR_NONE;
        assert_string_equal(pair_loss_name((enum pair_loss)i), names[i]);
        assert_true(pair_loss_find(names[i], &found));
        assert_int_equal(found, i);
    }
    enum pair_loss untouched = PAIR_IPO;
    assert_false(pair_loss_find("none", &untouched));
    assert_false(pair_loss_find("sigmoid_mean", &untouched));
    assert_int_equal(untouched, PAIR_IPO);
}

TESTS(cmocka_unit_test(every_vector_agrees_with_pytorch),
      cmocka_unit_test(slopes_agree_with_finite_differences),
      cmocka_unit_test(ranges_of_an_update_add_up_to_the_same_bits),
      cmocka_unit_test(a_gate_limits_each_token), cmocka_unit_test(on_policy_a_gate_changes_no_bit),
      cmocka_unit_test(a_range_that_cuts_a_pair_is_refused),
      cmocka_unit_test(a_sigmoid_stays_exact_far_out),
      cmocka_unit_test(at_the_reference_a_pair_is_even),
      cmocka_unit_test(figures_are_means_over_the_pairs),
      cmocka_unit_test(half_a_pair_teaches_nothing),
      cmocka_unit_test(what_is_missing_or_senseless_is_named),
      cmocka_unit_test(losses_have_the_names_of_the_recipe))
