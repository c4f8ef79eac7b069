/* Makes the models that a recipe trains: the policy, and where the objective has one, its critic.
 *
 *     const char *names[TRAINEES_MAX];
 *     size_t count = load_names(recipe, names);                        -- "policy", "critic"
 *     TRY(load_trainees(recipe, be, "sft", NULL, &trainees));          -- as the recipe begins
 *     TRY(load_trainees(recipe, be, checkpoint, &recorded, &trainees)); -- shapes of a checkpoint
 *
 * Owner: the compute thread. */
#pragma once
#include "learner/round/trainee.h"
#include "svc/recipe/recipe.h"

/* The policy first; borrowed for ever. Returns how many. */
size_t load_names(const struct recipe *recipe, const char *names[TRAINEES_MAX]);

/* As settings_optimizer, for an optimizer of this backend: where its memory is the host's, states
 * have one place, and the log says so if the recipe has another. */
struct optimizer_config load_optimizer(const struct backend *be,
                                       const struct recipe_optimizer *optimizer);

/* settings_fingerprint of them. The caller's. */
char *load_fingerprint(struct trainees *trainees);

/* From the directory, and the critic from where the recipe says. recorded: the directory is a
 * checkpoint with these trainees, and optimizer_load follows. INVALID, NOT_FOUND: a model that
 * cannot be loaded. PRECONDITION: a critic that does not fit the policy. */
err_t load_trainees(const struct recipe *recipe, struct backend *be, const char *directory,
                    const struct trainee_digests *recorded, struct trainees *ret);
