/* The rewarder's jobs without a ring.
 *
 * `rlhfd-rewarder --job score`: completions on standard input, their scores on standard output.
 *
 * A line in: {"row": {...}, "text": "...", "tokens": 5, "ended": true}; the same line out with
 * "scores" and "reward". Lines pass the ring's pipeline with its scorers alone. So the measured
 * scores are those that training optimises. */
#pragma once
#include "svc/recipe/recipe.h"
#include <stdio.h>

/* INVALID names the line. Lines already written stand. */
err_t score_offline(const struct recipe *recipe, FILE *in, FILE *out);

/* `rlhfd-rewarder --job check`: reads every stage's entry and opens the scorers, which score an
 * empty completion of the first rows of data.train and data.eval. `rlhfctl check` cannot find these
 * things by itself. One JSON object on standard output: {"notes": ["..."]}, or {"code": N,
 * "message": "..."} for the error, which is returned, too. */
err_t check_offline(const struct recipe *recipe, FILE *out);
