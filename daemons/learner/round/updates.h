/* One round's updates: batch, minibatches, epochs, the KL controller. What the weights become depends on nothing but the
 * weights, the round and the recipe, so the daemon's loop, a replay after a restart and a synchronous loop in one process
 * make the same.
 *
 *     SCOPED(updates) updates = NULL;
 *     TRY(updates_new(recipe, model, optimizer, &updates));
 *     TRY(updates_run(updates, round, groups, after_each, arg, &report));
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/report.h"
#include "learner/round/step.h"
#include "learner/store/rounds.h"
#include "rl/kl_control.h"
#include "svc/recipe/recipe.h"

struct updates;

/* INVALID: settings that the objective cannot have; EXHAUSTED: memory. recipe, model, optimizer: borrowed. */
err_t updates_new(const struct recipe *recipe, struct model *model, struct optimizer *optimizer,
                  struct updates **ret);

/* Trains the round. done(arg, u) comes after update u = 0, 1, ..., when the model has its weights; its error ends the round.
 * Adds to *report: loss, rewards, lag, lengths, logp_differing. INVALID: a gradient that is not finite, or reference
 * log-probabilities that are missing. */
err_t updates_run(struct updates *updates, const struct round *round, struct group *const *groups,
                  err_t (*done)(void *arg, uint32_t u), void *arg, struct round_report *report);

/* The KL coefficient in force: part of a checkpoint. */
double updates_kl_coef(const struct updates *updates);
void updates_set_kl_coef(struct updates *updates, double coef);
size_t updates_bytes(const struct updates *updates); // activations and gradients
void updates_free(struct updates *updates);
DEFINE_SCOPED(updates)
