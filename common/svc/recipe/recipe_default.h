/* Options whose default follows another option: what `default` stands for.
 *
 *     config.gate.epsilon_high = recipe_epsilon_high(recipe);   -- epsilon, unless it is set
 *
 * Any thread: pure. */
#pragma once
#include "rl/objective_table.h"
#include "svc/recipe/recipe.h"

/* Ratios are clipped above 1 + this: as it is set, as epsilon is, or as the objective's row
 * says. */
double recipe_epsilon_high(const struct recipe *recipe);

/* The correction of objectives without a critic, where ratios are not to behaviour: as it is
 * set, as the objective's row says, or truncated importance weights up to 2. */
struct correction_config recipe_correction_kind(const struct recipe *recipe);

/* The word of the estimator of the KL term at its place: that of the objective's row in the loss,
 * k1 in the reward. */
const char *recipe_kl_estimator(const struct recipe *recipe);
