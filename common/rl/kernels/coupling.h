/* Whole-batch values: the losses of an update take them from one another, as constants to each
 * slope. They need the log-probabilities of all of its sequences first, so an objective that is
 * coupled makes two passes over an update (learner/round/step.h).
 *
 *     if (objective_is_coupled(objective, &config)) {
 *         SCOPED(coupling) coupling = coupling_new(&config, update, running);
 *         totals.coupling = coupling;
 *         TRY(objective_grad(objective, &config, update, all, &totals, &slopes, &tally));
 *         coupling_keep(coupling, &config, running);
 *     }
 *
 * Without one objective_grad makes its own, from a NULL `running`. Sums go in the order of the
 * sequences: how an update is cut changes no bit. */
#pragma once
#include "base/scoped.h"
#include "rl/columns.h"
#include "rl/objective_config.h"
#include "rl/running.h"

struct coupling {
    /* Compared with beta u. */
    double anchor;
    /* Of this update; 0: as it is set. */
    double beta;
    /* (sequences) AOT: the chosen one's own gap of log-probabilities. The other side of the z of
     * each sequence. NULL: ranks do not matter. */
    double *gap, *other;
    /* (sequences) 1: the pair trains nothing; and how many are left. NULL: none is dropped. */
    double *dropped, kept;
    /* For the running values: means over the update of beta times the gap of pairs, and of beta
     * u. */
    double mean_gap, mean_reward;
};

struct coupling *coupling_new(const struct objective_config *config, const struct columns *update,
                              const struct running *running);

/* Moves the running values on, once an update. running NULL: none is kept. */
void coupling_keep(const struct coupling *coupling, const struct objective_config *config,
                   struct running *running);

void coupling_free(struct coupling *coupling);
DEFINE_SCOPED(coupling)

/* Whether the settings couple the sequences of an update beyond its units. */
bool coupling_is_needed(const struct objective_config *config);
