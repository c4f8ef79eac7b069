/* The checks that `check` and `up` make before anything is started. Any thread. */
#pragma once
#include "svc/recipe/recipe.h"
#include <stdio.h>

/* Everything the ring reads: model, tokenizer, end tokens and lengths fit, scorers can be made,
 * rows of the data can be used. An error is one line with file, line, fault and allowed values.
 * Doubts go to notes, a line each (NULL: nowhere). argv: this command's, whose recipe, --run and
 * --set are handed to the rewarder. */
err_t check_ring(const struct recipe *recipe, char *const *argv, FILE *notes);
