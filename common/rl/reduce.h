/* How losses of tokens become one number: the coefficient of each (rl/word_table.h has the kinds).
 * Any thread.
 *
 *     dlogp[t] = reduce_token(REDUCE_TOKEN_MEAN, &totals, tokens, 0) * slope; */
#pragma once
#include "rl/columns.h"
#include "rl/word_table.h"

/* Of one token's loss in a sequence of `tokens` unmasked ones; length is L. */
double reduce_token(enum reduce reduce, const struct rl_totals *totals, int tokens, double length);

/* Of one loss that speaks for a whole sequence: 1/B in a mean over sequences; where tokens are what
 * counts, the weight that its tokens would have had together. */
double reduce_sequence(enum reduce reduce, const struct rl_totals *totals, int tokens,
                       double length);
