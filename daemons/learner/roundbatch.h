/* A round's groups → the arrays of its updates: sequences, advantages, what the generator stamped. Owner: the compute thread;
 * the groups outlive it. */
#pragma once
#include "learner/report.h"
#include "learner/step.h"
#include "learner/store/rounds.h"
#include "svc/recipe.h"

struct round_batch {
    size_t groups, sequences, targets;
    struct sequence *sequence;
    double *advantage; // (sequences), over the whole round
    float *behaviour;  // (targets)
    bool *fresh;       // (sequences) whether all its tokens are of the round's first version
    size_t *first_sequence, *first_target; // (groups + 1)
};

/* advantage and epsilon: of the objective. */
struct round_batch *round_batch_new(const struct round *round, struct group *const *groups,
                                    const struct objective_config *settings);

/* Update u of the round's `updates`: a contiguous share of its groups, as the round's order has them. */
struct step_batch round_batch_update(const struct round_batch *batch, uint32_t u, uint32_t updates,
                                     float temperature);

/* Fills the report's figures of rewards, lag and lengths. */
void round_batch_report(const struct round_batch *batch, const struct round *round,
                        struct group *const *groups, const struct recipe *recipe,
                        struct round_report *ret);
void round_batch_free(struct round_batch *batch);
DEFINE_SCOPED(round_batch)
