/* Whether `--job salvage` (job.h) has something to go on with: reads all of the store, writes
 * nothing. Any thread. */
#pragma once
#include "svc/recipe/recipe.h"
#include <stdbool.h>

bool salvage_possible(const struct recipe *recipe);
