/* Inside svc only: what the tables of rl say of the recipe and of its documentation. */
#pragma once
#include "svc/recipe/recipe.h"

/* INVALID at a key that the objective cannot use, or whose columns nobody fills with these
 * settings. */
err_t recipe_check_objective(const struct recipe *recipe);

/* Of docs/recipe.md: objectives, the words of their keys, columns, figures. */
void recipe_objectives_markdown(struct bytes *ret);
