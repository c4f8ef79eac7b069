/* One round's updates, stage by stage (stages.h), and the KL controller. The new weights depend on
 * nothing but the old weights, the round and the recipe. So the daemon's loop, a replay after a
 * restart and a synchronous loop in one process make the same.
 *
 *     SCOPED(updates) updates = NULL;
 *     TRY(updates_new(recipe, &trainees, &updates));
 *     TRY(updates_run(updates, round, groups, after_each, arg, &report));
 *     TRY(updates_configure(updates, changed));        -- the rounds from here on were recorded with other settings
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/mismatching.h"
#include "learner/round/report.h"
#include "learner/round/step.h"
#include "learner/store/rounds.h"
#include "rl/kl_control.h"
#include "svc/recipe/recipe.h"

struct updates;

/* Both are borrowed. INVALID: settings that the objective cannot have; EXHAUSTED: memory. */
err_t updates_new(const struct recipe *recipe, struct trainees *trainees, struct updates **ret);

/* From the next round on objective, schedule, optimizer and the KL coefficient are this recipe's.
 * Large memory stays as it is, unless settings that decide its size differ (step_configure); no
 * live one does. INVALID: settings that the objective cannot have; all is as it was. EXHAUSTED:
 * nothing can be trained. */
err_t updates_configure(struct updates *updates, const struct recipe *recipe);

/* Trains the round: stages_run, whose errors it has. done(arg, u) comes after update u = 0, 1, ...,
 * when the model has its weights; an error of it ends the round. */
err_t updates_run(struct updates *updates, const struct round *round, struct group *const *groups,
                  err_t (*done)(void *arg, uint32_t u), void *arg, struct round_report *report);

/* The figures of the objective on groups that are not trained: of held-out rows. Nothing of
 * *updates or of the weights changes. Errors as stages_run's. */
err_t updates_measure(struct updates *updates, const struct round *round,
                      struct group *const *groups, struct rl_figures *ret);

/* From the next round on; NULL: none. */
void updates_set_referee(struct updates *updates, const struct referee *referee);

/* The KL coefficient in force: part of a checkpoint. */
double updates_kl_coef(const struct updates *updates);
void updates_set_kl_coef(struct updates *updates, double coef);

/* The running values as they stand: part of a checkpoint, too. */
const struct running *updates_running(const struct updates *updates);
void updates_set_running(struct updates *updates, const struct running *running);
size_t updates_bytes(const struct updates *updates);        // of the workspace
uint64_t updates_workspaces(const struct updates *updates); // made so far
void updates_free(struct updates *updates);
DEFINE_SCOPED(updates)
