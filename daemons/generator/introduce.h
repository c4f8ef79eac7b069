/* A generator's name and hello.
 *
 *     char *name = introduce_name(recipe, &security); -- the caller's
 *     TRY(introduce_hello(recipe, model, &hello));  -- all that decides what a sample is
 *
 * Any thread. */
#pragma once
#include "model/model.h"
#include "svc/recipe/recipe.h"
#include "svc/security.h"
#include "wire/hello.h"

/* The certificate's, else generator.name, or host and process: unique among those of a run. */
char *introduce_name(const struct recipe *recipe, const struct security *security);

/* model: the one that decodes, as it was loaded. NOT_FOUND, INVALID: its config.json. */
err_t introduce_hello(const struct recipe *recipe, const struct model *model, struct hello *ret);
