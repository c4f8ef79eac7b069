/* How losses of tokens become one number (ALGORITHMS: loss reductions): the coefficient of each. Any thread.
 *
 *     dlogp[t] = reduce_token(REDUCE_TOKEN_MEAN, &totals, tokens, 0) * slope; */
#pragma once
#include "rl/rl_batch.h"

enum reduce {
    REDUCE_TOKEN_MEAN,          // 1/N: DAPO, PPO in verl and OpenRLHF, SFT
    REDUCE_SEQ_MEAN_TOKEN_MEAN, // 1/(B T): the GRPO paper, GSPO
    REDUCE_SEQ_MEAN_TOKEN_SUM,  // 1/B: REINFORCE, RLOO: log-probabilities of whole sequences
    REDUCE_CONST_NORM,          // 1/(B L), L a constant: Dr. GRPO as in TRL
};

/* Of one token's loss in a sequence of `tokens` unmasked ones; length is L. */
double reduce_token(enum reduce reduce, const struct rl_totals *totals, int tokens, double length);

/* Of one loss that speaks for a whole sequence: 1/B in a mean over sequences; where tokens are what counts, the weight that
 * its tokens would have had together. */
double reduce_sequence(enum reduce reduce, const struct rl_totals *totals, int tokens,
                       double length);
