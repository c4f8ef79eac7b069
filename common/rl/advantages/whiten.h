/* Scales a column of tokens to a standard deviation of 1 over the unmasked tokens of a whole round,
 * with Bessel's correction, as TRL does. Masked tokens are left alone. Any thread.
 *
 *     whiten(round, round->at[COLUMN_TOKEN_ADVANTAGE], true);    -- to mean 0
 *     whiten(round, round->at[COLUMN_TOKEN_REWARD], false);      -- the mean stays as it is */
#pragma once
#include "rl/columns.h"

#define WHITEN_EPSILON 1e-8 // added to the variance

/* The same of a column of sequences, each as often as it has unmasked tokens, to mean 0. */
void whiten_sequences(const struct columns *round, double *values);

/* Fewer than two tokens are left as they are. */
void whiten(const struct columns *round, double *values, bool shift_mean);
