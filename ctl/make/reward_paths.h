/* The directories of the models that a recipe's scorers hold: path and paths of reward_model, path
 * of preference_model. The rewarder reads those keys itself; here they say how much memory it
 * takes.
 *
 *     TRY(reward_paths_each(recipe, add, &sizing));
 *
 * Pure: no file. */
#pragma once
#include "svc/recipe/recipe.h"
#include "svc/recipe/recipe_lists.h"

enum { REWARD_PATHS_MAX = RECIPE_SCORERS * (RECIPE_TEXTS + 1) };

struct reward_path {
    const char *key;  // of the first entry with it
    const char *path; // of a reward model, which is held once; or of a scorer's preference model
    int64_t tokens;   // of a preference model's longest comparison; 0: it is a reward model
};

/* Calls fn in the recipe's order, with each reward model once. Values that are no texts or numbers
 * are left out: a check of the recipe tells them. */
err_t reward_paths_each(const struct recipe *recipe,
                        err_t (*fn)(void *arg, const struct reward_path *path), void *arg);
