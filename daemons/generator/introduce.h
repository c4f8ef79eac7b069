/* A generator's name and hello.
 *
 *     char *name = introduce_name(recipe);          -- the caller's
 *     TRY(introduce_hello(recipe, model, &hello));  -- all that decides what a sample is
 *
 * Any thread. */
#pragma once
#include "model/model.h"
#include "svc/recipe/recipe.h"
#include "wire/hello.h"

/* generator.name, or host and process: unique among those of a run. */
char *introduce_name(const struct recipe *recipe);

/* model: the one that decodes, as it was loaded. NOT_FOUND, INVALID: its config.json. */
err_t introduce_hello(const struct recipe *recipe, const struct model *model, struct hello *ret);
