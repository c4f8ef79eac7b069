/* Weights for the gap between who sampled (behaviour) and the old weights that ratios are taken to:
 * constants on each token's loss. Only where `old` is known apart: a ratio to behaviour corrects by
 * itself, and twice would be wrong.
 *
 *     struct correction_config tis = {CORRECTION_TIS_TOKEN, .high = 2};
 *     double whole = correction_sequence(&tis, old, behaviour, weight, tokens);
 *     double w = correction_token(&tis, whole, old[t] - behaviour[t]);
 *
 * To add one: a row of CORRECTIONS in rl/word_table.h, a case in each of the two. Any thread. */
#pragma once
#include "rl/objective_config.h"

/* The sequence's factor; 1 for the kinds that look at tokens. weight: 0 masks a token; NULL: none
 * is. */
double correction_sequence(const struct correction_config *config, const double *old,
                           const double *behaviour, const double *weight, int tokens);

/* The token's weight, the sequence's factor included. log_ratio = old - behaviour. */
double correction_token(const struct correction_config *config, double sequence, double log_ratio);
