/* Inside svc only: the checks of options against each other. To add a check: a function and its row
 * in recipe_check.c, a test. */
#pragma once
#include "svc/recipe/recipe.h"

/* INVALID at the place of the key that is most likely wrong, naming both. */
err_t recipe_check(const struct recipe *recipe);
