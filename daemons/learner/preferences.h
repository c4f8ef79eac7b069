/* Settings of objectives on preferences from the recipe's keys.
 *
 *     TRY(preferences_set(recipe, &config));           -- of the objective's row; keys that are not written leave it
 *
 * Pure. */
#pragma once
#include "rl/objective.h"
#include "svc/recipe/recipe.h"

/* INVALID: a key that the objective's scores have no use for; file, key and value. */
err_t preferences_set(const struct recipe *recipe, struct objective_config *ret);
