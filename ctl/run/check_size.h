/* `rlhfctl check` on a recipe's largest group: whether one message has room for it, with all that
 * the stops of the ring add. Any thread: pure. */
#pragma once
#include "svc/recipe/recipe.h"
#include <stddef.h>

/* The facts that the recipe does not have itself. */
struct check_size {
    size_t row_bytes;  // of the longest row
    double token_text; // bytes of text that a token makes, on average over the vocabulary
    bool truncates;    // generators stamp sampled_logp
};

/* INVALID: a group whose completions all have generator.max_tokens would be rejected. */
err_t check_size(const struct recipe *recipe, const struct check_size *facts);
