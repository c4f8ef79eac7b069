/* Inside svc only: the recipe's checks and documentation that come from the tables of rl. */
#pragma once
#include "svc/recipe/recipe.h"

/* INVALID at a key that the objective cannot use, or whose columns nobody fills with these
 * settings. */
err_t recipe_check_objective(const struct recipe *recipe);

/* The part of docs/recipe.md on objectives, the words of their keys, columns and figures. */
void recipe_objectives_markdown(struct bytes *ret);
