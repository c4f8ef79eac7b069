/* Who this generator is among those of a run.
 *
 *     char *name = identity_name(recipe);      -- the caller's
 */
#pragma once
#include "svc/recipe.h"

char *identity_name(const struct recipe *
                        recipe); // generator.name, or host and process: unique among those of a run
