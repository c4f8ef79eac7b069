/* The values of the recipe that decide samples and scores. The daemons of one run must agree on
 * them. None of them is LIVE.
 *
 *     recipe_of_samples(recipe, hello_put, &hello);      -- "generator.temperature", "1.0", ...
 *
 * Any thread. */
#pragma once
#include "svc/recipe/recipe.h"

typedef void (*recipe_tell)(void *arg, const char *key, const char *value);

/* Of a generator and the learner. */
void recipe_of_samples(const struct recipe *recipe, recipe_tell fn, void *arg);

/* Of a rewarder and the learner: more if there is a reference model. */
void recipe_of_scores(const struct recipe *recipe, recipe_tell fn, void *arg);
