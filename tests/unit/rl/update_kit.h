/* An update of made-up columns for tests of objectives.
 *
 *     SCOPED_VALUE(fixture) f = random_fixture(7);
 *     assert_ok(grad_of("rloo", &config, &f, all_of(&f), slope, &tally));
 *     assert_slopes("rloo", &f, &config);                  -- finite differences
 *     assert_parts_add_up("rloo", &f, &config, 1);         -- unit by unit, the same bits */
#pragma once
#include "base/rng.h"
#include "rl/objective.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { TOKENS_MAX = 192, SEQUENCES_MAX = 24 };

/* Weights are there only where asked for. */
struct fixture {
    /* Owned. */
    struct columns *columns;
    struct rl_totals totals;
    /* Columns of it; NULL: not there. */
    double *logp, *old, *behaviour, *reference, *advantage, *weight;
};

static inline void fixture_done(struct fixture *f)
{
    columns_free(f->columns);
}

static inline struct fixture fixture_new(size_t sequences, const size_t *tokens)
{
    struct fixture f = {.columns = columns_new(sequences, tokens)};
    f.logp = columns_add(f.columns, COLUMN_LOGP);
    f.old = columns_add(f.columns, COLUMN_PROXIMAL_LOGP);
    f.behaviour = columns_add(f.columns, COLUMN_BEHAVIOUR_LOGP);
    f.reference = columns_add(f.columns, COLUMN_REFERENCE_LOGP);
    f.advantage = columns_add(f.columns, COLUMN_ADVANTAGE);
    f.totals = columns_totals(f.columns);
    return f;
}

/* Their neighbours as units of so many sequences each. */
static inline void fixture_units(struct fixture *f, size_t each)
{
    size_t unit[SEQUENCES_MAX];
    for (size_t u = 0; u < f->columns->sequences / each; u++)
        unit[u] = each;
    columns_set_units(f->columns, f->columns->sequences / each, unit);
}

static inline size_t tokens_of(const struct fixture *f)
{
    return f->columns->first[f->columns->sequences];
}

static inline struct range all_of(const struct fixture *f)
{
    return (struct range){0, f->columns->sequences};
}

/* Where slopes of terms of rows go. */
static double row_slopes[ROW_TERMS][TOKENS_MAX];

static inline struct rl_slopes slopes_at(double *logp)
{
    struct rl_slopes slopes = {.logp = logp};
    for (int k = 0; k < ROW_TERMS; k++)
        slopes.row[k] = row_slopes[k];
    return slopes;
}

static inline err_t grad_of(const char *row, const struct objective_config *config,
                            const struct fixture *f, struct range range, double *slope,
                            struct rl_tally *tally)
{
    const struct objective *objective = objective_find(row);
    struct rl_slopes slopes = slopes_at(slope);
    if (!objective_is_reward(&objective->row))
        return objective_grad(objective, config, f->columns, range, &f->totals, &slopes, tally);
    slopes.value = slope;
    return objective_value_grad(objective, config, f->columns, range, &f->totals, &slopes, tally);
}

static inline double loss_at(const char *row, const struct fixture *f,
                             const struct objective_config *config, double *slope)
{
    struct rl_tally tally = {0};
    assert_ok(grad_of(row, config, f, all_of(f), slope, &tally));
    return rl_tally_figures(&tally).loss;
}

/* Gates whose ratio is a constant. */
static inline bool ratio_is_constant(const struct objective_config *config)
{
    return config->gate.gate == GATE_CAP || gate_weighs(config->gate.gate);
}

/* The column that slopes are of: of a reward model the value. */
static inline enum column predicted(const char *row)
{
    return objective_is_reward(objective_row(row)) ? COLUMN_VPRED : COLUMN_LOGP;
}

/* Moves the token's logp, or its value. Where the ratio is a constant, the weights that it is taken
 * to move along. So they do for a pair, whose loss as it is reported has no ratio. */
static inline void shift(struct fixture *f, const struct objective_config *config,
                         enum column column, size_t t, double by)
{
    double *const older[] = {
        f->columns->at[COLUMN_PROXIMAL_LOGP], f->columns->at[COLUMN_BEHAVIOUR_LOGP],
        config->gate.base == BASE_REFERENCE ? f->columns->at[COLUMN_REFERENCE_LOGP] : NULL};
    const bool along = ratio_is_constant(config) || config->pair.loss != PAIR_NONE;
    f->columns->at[column][t] += by;
    for (size_t i = 0; along && i < 3; i++)
        if (older[i])
            older[i][t] += by;
}

/* Each slope against the loss at both sides of its logp: O(h^2), and the rounding of a loss of at
 * most 30 over h, are below 1e-8. A larger loss has more of it. Nothing is drawn so near to a kink
 * that it matters: with the seeds that tests have, that is known. */
static inline void assert_slopes(const char *row, struct fixture *f,
                                 const struct objective_config *config)
{
    const double h = 1e-5;
    const enum column column = predicted(row);
    double slope[TOKENS_MAX], unused[TOKENS_MAX];
    loss_at(row, f, config, slope);
    for (size_t t = 0; t < tokens_of(f); t++) {
        shift(f, config, column, t, h);
        const double up = loss_at(row, f, config, unused);
        shift(f, config, column, t, -2 * h);
        const double down = loss_at(row, f, config, unused);
        shift(f, config, column, t, h);
        assert_near(slope[t], (up - down) / (2 * h), 1e-8 * fmax(1, fabs(up) / 30));
    }
}

/* Ranges of so many units each come to the bits of the whole. */
static inline void assert_parts_add_up(const char *row, const struct fixture *f,
                                       const struct objective_config *config, size_t units)
{
    const struct columns *columns = f->columns;
    struct rl_tally whole = {0}, parts = {0};
    double slope[TOKENS_MAX], part[TOKENS_MAX];
    assert_ok(grad_of(row, config, f, all_of(f), slope, &whole));
    for (size_t u = 0; u < columns->units; u += units) {
        const size_t end = u + units < columns->units ? u + units : columns->units;
        assert_ok(grad_of(row, config, f, (struct range){columns->unit[u], columns->unit[end]},
                          part, &parts));
    }
    assert_memory_equal(slope, part, sizeof *slope * tokens_of(f));
    assert_memory_equal(&whole, &parts, sizeof whole);
}

/* Sequences of 1 to 8 tokens, a quarter of them masked, weights of 1 and 0.3. */
static inline struct fixture random_fixture(uint64_t seed)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 2, 0);
    uint64_t draw = 0;
    size_t tokens[SEQUENCES_MAX], sequences = 2 + (size_t)rng_below(&rng, draw++, 5);
    double advantage[SEQUENCES_MAX];
    for (size_t i = 0; i < sequences; i++) {
        tokens[i] = 1 + (size_t)rng_below(&rng, draw++, 8);
        advantage[i] = rng_normal(&rng, draw++);
    }
    struct fixture f = fixture_new(sequences, tokens);
    f.weight = columns_add(f.columns, COLUMN_WEIGHT);
    memcpy(f.advantage, advantage, sequences * sizeof *advantage);
    for (size_t t = 0; t < tokens_of(&f); t++) {
        f.reference[t] = -3 * rng_uniform(&rng, draw++);
        f.behaviour[t] = f.reference[t] + 0.3 * rng_normal(&rng, draw++);
        f.old[t] = f.behaviour[t] + 0.1 * rng_normal(&rng, draw++);
        f.logp[t] = f.old[t] + 0.2 * rng_normal(&rng, draw++);
        f.weight[t] = rng_below(&rng, draw++, 4) ? (rng_below(&rng, draw++, 2) ? 1 : 0.3) : 0;
    }
    f.totals = columns_totals(f.columns);
    return f;
}
