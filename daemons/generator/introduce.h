/* Who a generator says it is.
 *
 *     char *name = introduce_name(recipe);          -- the caller's
 *     TRY(introduce_hello(recipe, &hello));         -- all that decides what a sample is
 *
 * Any thread. */
#pragma once
#include "svc/recipe/recipe.h"
#include "wire/hello.h"

/* generator.name, or host and process: unique among those of a run. */
char *introduce_name(const struct recipe *recipe);

/* NOT_FOUND, INVALID: the model's config.json. */
err_t introduce_hello(const struct recipe *recipe, struct hello *ret);
