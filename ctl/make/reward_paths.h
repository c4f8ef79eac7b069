/* The directories of a recipe's reward models: path and paths of the scorers of kind reward_model.
 * The rewarder reads those keys itself; here they say how much memory it takes.
 *
 *     TRY(reward_paths_each(recipe, add, &sizing));
 *
 * Pure: no file. */
#pragma once
#include "svc/recipe/recipe.h"

/* Calls fn with each directory once, in the recipe's order, and the key that names it first. Values
 * that are no texts are left out: a check of the recipe tells them. */
err_t reward_paths_each(const struct recipe *recipe,
                        err_t (*fn)(void *arg, const char *key, const char *path), void *arg);
