/* An update of made-up columns for tests of policy gradients.
 *
 *     SCOPED_VALUE(fixture) f = random_fixture(7);
 *     assert_ok(grad_of("rloo", &config, &f, all_of(&f), slope, &tally)); */
#pragma once
#include "base/rng.h"
#include "rl/objective.h"
#include "testing/testing.h"
#include <string.h>

enum { TOKENS_MAX = 64, SEQUENCES_MAX = 8 };

/* An update of every column that an objective may read; masks and weights only where asked for. */
struct fixture {
    struct columns *columns; // owned
    struct rl_totals totals;
    double *logp, *old, *behaviour, *reference, *advantage; // (of columns)
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

static inline size_t tokens_of(const struct fixture *f)
{
    return f->columns->first[f->columns->sequences];
}

static inline struct range all_of(const struct fixture *f)
{
    return (struct range){0, f->columns->sequences};
}

static inline err_t grad_of(const char *row, const struct objective_config *config,
                            const struct fixture *f, struct range range, double *slope,
                            struct rl_tally *tally)
{
    return objective_grad(objective_find(row), config, f->columns, range, &f->totals,
                          &(struct rl_slopes){.logp = slope}, tally);
}

/* Sequences of 1 to 8 tokens, a quarter of them masked, weights of 1 and 0.3; nothing nearer than 1e-4 to a kink matters,
 * as a draw on one has probability 0. */
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
    double *weight = columns_add(f.columns, COLUMN_WEIGHT);
    memcpy(f.advantage, advantage, sequences * sizeof *advantage);
    for (size_t t = 0; t < tokens_of(&f); t++) {
        f.reference[t] = -3 * rng_uniform(&rng, draw++);
        f.behaviour[t] = f.reference[t] + 0.3 * rng_normal(&rng, draw++);
        f.old[t] = f.behaviour[t] + 0.1 * rng_normal(&rng, draw++);
        f.logp[t] = f.old[t] + 0.2 * rng_normal(&rng, draw++);
        weight[t] = rng_below(&rng, draw++, 4) ? (rng_below(&rng, draw++, 2) ? 1 : 0.3) : 0;
    }
    f.totals = columns_totals(f.columns);
    return f;
}
