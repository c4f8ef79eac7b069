/* Objectives: columns of a batch in, loss and slopes out. Pure: no device, clock, thread or file;
 * double precision.
 *
 *     const struct objective *objective = objective_find("rloo");
 *     struct objective_config config = objective->row.defaults;
 *     advantage_compute(config.advantage, &groups, config.advantage_epsilon, advantage);    -- rl/advantages/advantage.h: the round
 *     struct rl_totals totals = columns_totals(update);
 *     TRY(objective_grad(objective, &config, update, micro, &totals, &slopes, &tally));     -- each range of the update
 *
 * The rows and their meaning are in rl/objective_table.h. A row is advantage x gate (ratio, clip) x
 * correction x KL x reduction, or a loss on pairs. Each of these may be set apart. Any thread. */
#pragma once
#include "base/err.h"
#include "rl/advantages/advantage.h"
#include "rl/columns.h"
#include "rl/kernels/correction.h"
#include "rl/kernels/gate.h"
#include "rl/kernels/pair.h"
#include "rl/kernels/reduce.h"
#include "rl/kl.h"
#include "rl/objective_table.h"
#include "rl/tally.h"
#include <stddef.h>

struct pass;
struct objective {
    struct objective_row row;
    void (*kernel)(const struct pass *pass, size_t unit, size_t end); // rl/kernels/kernel.h
};

/* The gradient's parts, each over the tokens of the whole update; those that the row does not name
 * are NULL. */
struct rl_slopes {
    double *logp;           // Slope of the loss by the token's log-probability.
    double *value;          // Slope by the value.
    double *row[ROW_TERMS]; // Slopes by the terms of the row (objective_terms).
};

const struct objective *objective_find(const char *name); // NULL: no such row
const struct objective *objective_at(size_t i);           // NULL: past the last

/* INVALID: settings that make no sense; the message names the field. */
err_t objective_check(const struct objective *objective, const struct objective_config *config);

/* The columns that must be there before the first update, beside logp: of objective_grad, and of
 * objective_value_grad beside vpred. */
uint64_t objective_needs(const struct objective *objective, const struct objective_config *config);

/* A coupled objective's slopes need log-probabilities of a whole group or of the whole update
 * (rl/kernels/coupling.h). Its range is the whole update, in a second pass. */
bool objective_is_coupled(const struct objective *objective, const struct objective_config *config);

/* Writes the slopes of the range's tokens and adds to *tally; masked tokens get 0. INVALID: a
 * missing column that the settings need, a range that cuts a unit, or an empty update. Then the
 * slopes are as they were. */
err_t objective_grad(const struct objective *objective, const struct objective_config *config,
                     const struct columns *update, struct range range,
                     const struct rl_totals *totals, const struct rl_slopes *slopes,
                     struct rl_tally *tally);

/* The critic's part of a row whose outputs have OUTPUT_VALUE. Reads vpred, value and returns and no
 * other column but weight. Of a reward model's row (objective_is_reward) all that there is: reads
 * vpred and what the row needs, and margin and preferred where they are. Writes slopes->value as
 * objective_grad does logp, and adds to the same sums of *tally that its figures are of; neither
 * call adds to those of the other. */
err_t objective_value_grad(const struct objective *objective, const struct objective_config *config,
                           const struct columns *update, struct range range,
                           const struct rl_totals *totals, const struct rl_slopes *slopes,
                           struct rl_tally *tally);
