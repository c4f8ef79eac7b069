/* The parts of a step's first pass (step.h), which knows how to compute log-probabilities: that of
 * an objective that is coupled (objective_is_coupled). Without gradient it leaves the
 * log-probabilities of all, of which all slopes are computed. In the second pass each sequence is a
 * unit. So a group of any size takes the memory of its longest sequence.
 *
 *     struct step_batch other = coupled_mismatched(batch);
 *     TRY(step_logp(step, batch, batch->columns->at[COLUMN_LOGP]));
 *     TRY(step_logp(step, &other, logp));              -- (coupled_targets(&other))
 *     coupling = coupled_fill(&config, batch, first_weights, logp, &unit);
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/step.h"
#include "rl/kernels/coupling.h"

/* The mismatched sequences of a batch, if an objective asks for them; else none. */
struct step_batch coupled_mismatched(const struct step_batch *batch);
size_t coupled_targets(const struct step_batch *batch);

/* COLUMN_LOGP is there. Fills COLUMN_MISMATCHED from the logp of the mismatched sequences' targets,
 * and COLUMN_PROXIMAL_LOGP if the weights are the round's first. *ret_unit (sequences + 1): each
 * sequence is one. Both are the caller's. */
struct coupling *coupled_fill(const struct step_config *config, const struct step_batch *batch,
                              bool first_weights, const double *logp, size_t **ret_unit);
