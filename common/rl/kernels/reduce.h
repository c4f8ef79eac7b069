/* How losses of tokens become one number: the coefficient of each (rl/word_table.h has the kinds).
 * Any thread.
 *
 *     dlogp[t] = reduce_token(REDUCE_TOKEN_MEAN, &totals, tokens, 0) * slope; */
#pragma once
#include "rl/columns.h"
#include "rl/word_table.h"

/* The coefficient of one token's loss in a sequence of which so many tokens count
 * (columns_counted); length is L, or the
 * mean of the group's tokens. */
double reduce_token(enum reduce reduce, const struct rl_totals *totals, int tokens, double length);

/* The coefficient of one loss for a whole sequence of `tokens` unmasked ones. In a mean over
 * sequences this is 1/B; in a mean over tokens, the weight that its tokens would have had
 * together. */
double reduce_sequence(enum reduce reduce, const struct rl_totals *totals, int tokens,
                       double length);
