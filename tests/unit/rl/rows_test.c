/* Every row of the table of objectives, with its defaults and with a KL term: a new row is tested
 * by what it declares. */
#include "base/mem.h"
#include "rl/kernels/coupling.h"
#include "unit/rl/update_kit.h"

enum { SEEDS = 24 };

/* A number as the column's row allows it. Log-probabilities of a token lie near one another. */
static double number(const struct column_row *row, double logp, const struct rng *rng,
                     uint64_t draw)
{
    const bool of_a_token =
        row->range == RANGE_LOGP || row->id == COLUMN_LOGP || row->id == COLUMN_PROXIMAL_LOGP;
    if (row->id == COLUMN_WEIGHT)
        return (double[]){0, 0.3, 1, 1}[rng_below(rng, draw, 4)];
    return of_a_token               ? logp + 0.2 * rng_normal(rng, draw)
           : row->dtype == VALUE_U8 ? (double)rng_below(rng, draw, 2)
                                    : rng_normal(rng, draw);
}

/* Two to four units as the row has them, in sequences of 1 to 8 tokens. */
static struct fixture random_units(enum objective_unit unit, const struct rng *rng, uint64_t *draw)
{
    size_t tokens[SEQUENCES_MAX], sequences = 0, in_unit[4], units;
    units = 2 + (size_t)rng_below(rng, (*draw)++, 3);
    for (size_t u = 0; u < units; u++) {
        in_unit[u] = unit == OBJECTIVE_PAIR    ? 2
                     : unit == OBJECTIVE_GROUP ? 2 + (size_t)rng_below(rng, (*draw)++, 3)
                                               : 1;
        for (size_t i = 0; i < in_unit[u]; i++)
            tokens[sequences++] = 1 + (size_t)rng_below(rng, (*draw)++, 8);
    }
    struct fixture f = {.columns = columns_new(sequences, tokens)};
    columns_set_units(f.columns, units, in_unit);
    return f;
}

static void fill(struct columns *columns, const struct column_row *row, const double *logp,
                 const struct rng *rng, uint64_t *draw)
{
    double *at = columns_add(columns, row->id);
    const size_t count = row->unit == UNIT_TOKEN      ? columns->first[columns->sequences]
                         : row->unit == UNIT_SEQUENCE ? columns->sequences
                                                      : columns->units;
    for (size_t i = 0; i < count; i++)
        at[i] = number(row, logp[row->unit == UNIT_TOKEN ? i : 0], rng, (*draw)++);
}

/* An update with these columns and no others. */
static struct fixture random_update(const struct objective *objective, uint64_t columns,
                                    uint64_t seed)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 6, 0);
    uint64_t draw = 0;
    struct fixture f = random_units(objective->row.unit, &rng, &draw);
    double logp[TOKENS_MAX];
    for (size_t t = 0; t < tokens_of(&f); t++)
        logp[t] = -1 - 3 * rng_uniform(&rng, draw++);
    for (unsigned id = 0; id < COLUMNS; id++)
        if (columns & COLUMN_BIT(id))
            fill(f.columns, column_row(id), logp, &rng, &draw);
    f.totals = columns_totals(f.columns);
    return f;
}

/* ---- the settings that each row is tested with */

struct variant {
    const struct objective *objective;
    struct objective_config config;
    uint64_t needs; // of columns, logp included
};

static void for_each_row(void (*test)(const struct variant *variant))
{
    const struct objective *objective;
    for (size_t i = 0; (objective = objective_at(i)); i++)
        for (int kl = -1; kl <= KL_K3; kl++) {
            struct variant v = {objective, objective->row.defaults,
                                COLUMN_BIT(predicted(objective->row.name))};
            if (kl >= 0 && objective_is_reward(&objective->row))
                continue; // takes none
            if (v.config.reduce == REDUCE_CONST_NORM)
                v.config.reduce_length = 7;
            if (kl >= 0) {
                v.config.kl_coef = 0.3;
                v.config.kl = (enum kl)kl; // K3_PLUS has the slope of another one
            }
            v.needs |= objective_needs(objective, &v.config) |
                       objective_term_columns(objective_terms(&objective->row, &v.config));
            test(&v);
        }
}

/* ---- what holds for every row */

/* A pair's slopes are those of its loss where the same weights drew it; pair_test.c has others. */
static void on_policy(const struct variant *v, struct fixture *f)
{
    double *behaviour = f->columns->at[COLUMN_BEHAVIOUR_LOGP];
    if (v->config.pair.loss != PAIR_NONE && behaviour)
        memcpy(behaviour, f->columns->at[COLUMN_LOGP], tokens_of(f) * sizeof *behaviour);
}

/* Whole-batch values are constants to a slope; ranks are so by themselves. */
static struct coupling *held(const struct variant *v, struct fixture *f)
{
    const enum pair_loss loss = v->config.pair.loss;
    if (!coupling_is_needed(&v->config) || loss == PAIR_AOT || loss == PAIR_AOT_UNPAIRED)
        return NULL;
    return coupling_new(&v->config, f->columns, NULL);
}

/* Its loss has constants that finite differences move: a token's own probability, or a distance. Or
 * the reference moves along for the ratio's sake, and the KL term does not take that for a
 * constant. gate_test.c and tests/golden/objective_keys.py have those. */
static bool has_constants(const struct objective_config *config)
{
    const bool kl = config->kl_coef > 0;
    return config->gate.gate == GATE_PROBABILITY || (kl && config->kl == KL_SCORE) ||
           (kl && config->gate.base == BASE_REFERENCE);
}

static void check_slopes(const struct variant *v)
{
    const uint64_t weights = COLUMN_BIT(COLUMN_WEIGHT);
    if (has_constants(&v->config))
        return;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        SCOPED_VALUE(fixture)
        f = random_update(v->objective, v->needs | (seed % 2 ? weights : 0), seed);
        on_policy(v, &f);
        SCOPED(coupling) coupling = held(v, &f);
        f.totals.coupling = coupling;
        assert_slopes(v->objective->row.name, &f, &v->config);
    }
}

static void slopes_agree_with_finite_differences(void **)
{
    for_each_row(check_slopes);
}

/* ---- of those that have a critic */

#define VALUES (NEEDS_OF_VALUE | COLUMN_BIT(COLUMN_VPRED))

static err_t value_grad(const struct variant *v, const struct fixture *f, struct range range,
                        double *slope, struct rl_tally *tally)
{
    return objective_value_grad(v->objective, &v->config, f->columns, range, &f->totals,
                                &(struct rl_slopes){.value = slope}, tally);
}

static double value_loss_at(const struct variant *v, const struct fixture *f, double *slope)
{
    struct rl_tally tally = {0};
    assert_ok(value_grad(v, f, all_of(f), slope, &tally));
    return v->config.value.coef * rl_tally_figures(&tally).value_loss;
}

/* As assert_slopes, of the critic's new values. */
static void check_value_slopes(const struct variant *v)
{
    const double h = 1e-5;
    double slope[TOKENS_MAX], unused[TOKENS_MAX];
    for (uint64_t seed = 0; seed < SEEDS && objective_has_critic(&v->objective->row); seed++) {
        SCOPED_VALUE(fixture)
        f = random_update(v->objective, VALUES | (seed % 2 ? COLUMN_BIT(COLUMN_WEIGHT) : 0), seed);
        struct variant limits = *v;
        limits.config.value = (struct value_config){0.7, seed % 3 ? 0.5 * (double)(seed % 3) : 0};
        value_loss_at(&limits, &f, slope);
        for (size_t t = 0; t < tokens_of(&f); t++) {
            double *at = &f.columns->at[COLUMN_VPRED][t];
            const double v0 = *at;
            *at = v0 + h;
            const double up = value_loss_at(&limits, &f, unused);
            *at = v0 - h;
            const double down = value_loss_at(&limits, &f, unused);
            *at = v0;
            assert_near(slope[t], (up - down) / (2 * h), 1e-8);
        }
    }
}

static void slopes_of_values_agree_with_finite_differences(void **)
{
    for_each_row(check_value_slopes);
}

static void check_value_parts(const struct variant *v)
{
    struct rl_tally whole = {0}, parts = {0};
    double slope[TOKENS_MAX], part[TOKENS_MAX];
    if (!objective_has_critic(&v->objective->row))
        return;
    SCOPED_VALUE(fixture) f = random_update(v->objective, VALUES | COLUMN_BIT(COLUMN_WEIGHT), 5);
    assert_ok(value_grad(v, &f, all_of(&f), slope, &whole));
    for (size_t i = 0; i < f.columns->sequences; i++)
        assert_ok(value_grad(v, &f, (struct range){i, i + 1}, part, &parts));
    assert_memory_equal(slope, part, sizeof *slope * tokens_of(&f));
    assert_memory_equal(&whole, &parts, sizeof whole);
}

static void whole_units_of_values_add_up_to_the_same_bits(void **)
{
    for_each_row(check_value_parts);
}

static void check_value_refusals(const struct variant *v)
{
    double slope[TOKENS_MAX];
    struct rl_tally tally = {0};
    SCOPED_VALUE(fixture) f = random_update(v->objective, VALUES, 5);
    SCOPED_MEM char *without = mem_printf("%s has no critic", v->objective->row.name);
    if (objective_is_reward(&v->objective->row))
        return;
    if (!objective_has_critic(&v->objective->row)) {
        assert_err(ERR_INVALID, without, value_grad(v, &f, all_of(&f), slope, &tally));
        return;
    }
    for (unsigned id = 0; id < COLUMNS; id++) {
        if (!(VALUES & COLUMN_BIT(id)))
            continue;
        SCOPED_VALUE(fixture) lacking = random_update(v->objective, VALUES & ~COLUMN_BIT(id), 5);
        SCOPED_MEM char *want = mem_printf("needs the column %s (", column_name(id));
        assert_err(ERR_INVALID, want, value_grad(v, &lacking, all_of(&lacking), slope, &tally));
    }
}

static void values_without_a_critic_or_a_column_are_refused(void **)
{
    for_each_row(check_value_refusals);
}

/* ---- all of them */

/* Slopes that are all 0 would agree with a loss that is constant. */
static void check_learning(const struct variant *v)
{
    double slope[TOKENS_MAX], most = 0;
    SCOPED_VALUE(fixture) f = random_update(v->objective, v->needs, 1);
    loss_at(v->objective->row.name, &f, &v->config, slope);
    for (size_t t = 0; t < tokens_of(&f); t++)
        for (int k = -1; k < ROW_TERMS; k++)
            most = fmax(most, fabs(k < 0 ? slope[t] : row_slopes[k][t]));
    assert_true(most > 1e-4);
}

static void there_is_something_to_learn(void **)
{
    for_each_row(check_learning);
}

static void check_parts(const struct variant *v)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        for (size_t units = 1; units <= 2; units++) {
            SCOPED_VALUE(fixture)
            f = random_update(v->objective, v->needs | COLUMN_BIT(COLUMN_WEIGHT), seed);
            assert_parts_add_up(v->objective->row.name, &f, &v->config, units);
        }
}

static void whole_units_add_up_to_the_same_bits(void **)
{
    for_each_row(check_parts);
}

static void check_masked(const struct variant *v)
{
    const char *name = v->objective->row.name;
    SCOPED_VALUE(fixture) f = random_update(v->objective, v->needs | COLUMN_BIT(COLUMN_WEIGHT), 2);
    double *weight = f.columns->at[COLUMN_WEIGHT], slope[TOKENS_MAX];
    loss_at(name, &f, &v->config, slope);
    for (size_t t = 0; t < tokens_of(&f); t++)
        assert_true(weight[t] != 0 || slope[t] == 0);
    memset(weight, 0, tokens_of(&f) * sizeof *weight);
    f.totals = columns_totals(f.columns);
    assert_true(loss_at(name, &f, &v->config, slope) == 0);
    for (size_t t = 0; t < tokens_of(&f); t++)
        assert_true(slope[t] == 0);
}

static void what_is_masked_has_no_slope(void **)
{
    for_each_row(check_masked);
}

static void check_missing(const struct variant *v)
{
    const char *name = v->objective->row.name;
    for (unsigned id = 0; id < COLUMNS; id++) {
        if (!(v->needs & COLUMN_BIT(id)))
            continue;
        SCOPED_VALUE(fixture) f = random_update(v->objective, v->needs & ~COLUMN_BIT(id), 3);
        struct rl_tally tally = {0}, untouched = {0};
        double slope[TOKENS_MAX] = {5};
        SCOPED_MEM char *want = mem_printf("%s needs the column %s (", name, column_name(id));
        assert_err(ERR_INVALID, want, grad_of(name, &v->config, &f, all_of(&f), slope, &tally));
        assert_true(slope[0] == 5);
        assert_memory_equal(&tally, &untouched, sizeof tally);
    }
}

static void a_column_that_is_missing_is_named(void **)
{
    for_each_row(check_missing);
}

/* With the columns that it needs a row measures what it says that it measures. */
static void check_figures(const struct variant *v)
{
    const bool critic = objective_has_critic(&v->objective->row);
    SCOPED_VALUE(fixture) f = random_update(v->objective, v->needs | (critic ? VALUES : 0), 4);
    struct rl_tally tally = {0};
    double slope[TOKENS_MAX];
    assert_ok(grad_of(v->objective->row.name, &v->config, &f, all_of(&f), slope, &tally));
    if (critic)
        assert_ok(value_grad(v, &f, all_of(&f), slope, &tally));
    const struct rl_figures figures = rl_tally_figures(&tally);
    const uint64_t always = FIGURE_BIT(loss) | FIGURE_BIT(loss_kl);
    for (unsigned i = 0; i < RL_FIGURES_COUNT; i++)
        if ((v->objective->row.figures | always) & (UINT64_C(1) << i) && !isfinite(figures.at[i]))
            fail_msg("%s: %s is %g", v->objective->row.name, rl_figure_name((enum rl_figure)i),
                     figures.at[i]);
    assert_true((figures.loss_kl != 0) == (v->config.kl_coef > 0));
}

static void the_figures_that_a_row_declares_are_measured(void **)
{
    for_each_row(check_figures);
}

TESTS(cmocka_unit_test(slopes_agree_with_finite_differences),
      cmocka_unit_test(slopes_of_values_agree_with_finite_differences),
      cmocka_unit_test(whole_units_of_values_add_up_to_the_same_bits),
      cmocka_unit_test(values_without_a_critic_or_a_column_are_refused),
      cmocka_unit_test(there_is_something_to_learn),
      cmocka_unit_test(whole_units_add_up_to_the_same_bits),
      cmocka_unit_test(what_is_masked_has_no_slope),
      cmocka_unit_test(a_column_that_is_missing_is_named),
      cmocka_unit_test(the_figures_that_a_row_declares_are_measured))
