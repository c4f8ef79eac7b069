/* The reference of an offline run: a model that stands still, and the log-probabilities of rows
 * under it. They stay with the rows, so that each is computed once for a chunk.
 *
 *     TRY(frozen_open(recipe, be, directory, &frozen));
 *     TRY(frozen_fill(frozen, group));        -- the group has the column from here on
 *
 * The numbers are those that a rewarder would send: the same forward computes them (likelihood.h).
 * Owner: the thread that owns the backend. */
#pragma once
#include "model/likelihood.h"
#include "svc/recipe/recipe.h"
#include "wire/rollout.h"

struct frozen;

/* directory: a model's, or an adapter's beside its base. PRECONDITION: its tokens are not the
 * policy's; EXHAUSTED: no room. */
err_t frozen_open(const struct recipe *recipe, struct backend *be, const char *directory,
                  struct frozen **ret);

/* Of any sequences: for updates_set_referee, whose arg is the frozen. */
err_t frozen_logp(void *frozen, const struct sequence *sequence, size_t count,
                  float inverse_temperature, float *ret);

/* Replaces what is there. */
err_t frozen_fill(struct frozen *frozen, struct group *group);
void frozen_free(struct frozen *frozen);
DEFINE_SCOPED(frozen)
