/* The ways out for a person whose run has damaged files, for the line that refuses the run.
 *
 *     return damage_told(recipe, restart_open(recipe, &start));
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include "learner/store/intact.h" // STORE_BEHIND
#include "svc/recipe/recipe.h"

/* Takes e and returns it; DATA_LOSS with the ways out that there are: a backup, salvage, another
 * run from a checkpoint. */
err_t damage_told(const struct recipe *recipe, err_t e);
