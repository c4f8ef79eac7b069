/* The recipe's list of scorers, made ready. Any thread; the result belongs to one. */
#pragma once
#include "rewarder/scorer.h"
#include "svc/recipe.h"

/* INVALID: no scorers, or as scorers_new. */
err_t scorers_from_recipe(const struct recipe *recipe, struct scorers **ret);
