/* An offline run: a model trained on preferences from files, by the objective, the settings and the
 * very updates of the ring (round/updates.h).
 *
 *     TRY(offline_train(recipe, false)); -- RUN/checkpoints, metrics.jsonl, updates.jsonl, evals.jsonl
 *
 * A run that was killed goes on from its newest checkpoint, and comes to the same weights, bit for
 * bit (ledger.h). SIGTERM and SIGINT end it after the round under way, with a checkpoint. With
 * train.chunks the reference is the model as the chunk before left it (sDPO, iterative DPO). RUN/
 * references keeps those that a checkpoint may need.
 *
 *     offline_run.c   the loop: rounds, checkpoints, figures
 *     opening.c       what it begins with, or goes on from
 *     referee.c       whose log-probabilities are the reference's
 *
 * Owner: the main thread. */
#pragma once
#include "svc/recipe/recipe.h"

/* reward: a reward model, by an objective that trains one (objective_is_reward); else a policy, by
 * another. INVALID, PRECONDITION, DATA_LOSS: one line says what is wrong and what is allowed. */
err_t offline_train(const struct recipe *recipe, bool reward);
