/* What check and up look at before anything is started. Any thread. */
#pragma once
#include "svc/recipe.h"

/* Everything the ring reads: model and tokenizer fit, data has the columns that the recipe names. One line says what is
 * wrong, with file, line and what is allowed. */
err_t check_ring(const struct recipe *recipe);
