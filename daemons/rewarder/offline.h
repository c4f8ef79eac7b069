/* `rlhfd-rewarder --job score`: completions on standard input, their scores on standard output.
 *
 * A line in: {"row": {...}, "text": "...", "tokens": 5, "ended": true}; the same line out with "scores" and "reward".
 * The scorers are those of the recipe, so what training optimises and what is measured are one thing. */
#pragma once
#include "svc/recipe.h"
#include <stdio.h>

/* INVALID names the line. Lines already written stand. */
err_t score_offline(const struct recipe *recipe, FILE *in, FILE *out);
