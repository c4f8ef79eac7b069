/* Tokens that are drawn, scored and compared as others are, but train nothing: of completions that
 * were cut off, and of old versions.
 *
 *     const struct mask_rules rules = {.truncated = true, .max_token_lag = 8};
 *     round_batch_mask(batch, round, groups, &rules, &stale);
 *
 * An update's share has them without a weight (columns_mask). Losses are divided as if these tokens
 * had losses of 0, so the step of those left does not grow with what is masked. Advantages, targets
 * of a critic and pairs are made of all completions. A pair with a side that is masked whole trains
 * nothing. Owner: the compute thread. */
#pragma once
#include "learner/round/roundbatch.h"

struct mask_rules {
    /* Completions that ended for their length alone. */
    bool truncated;
    /* Tokens of versions that are more than so many before the round's first; 0: none. */
    uint64_t max_token_lag;
};

/* Fills COLUMN_MASKED. *ret_stale: share of the tokens with a weight that max_token_lag masks. */
void round_batch_mask(struct round_batch *batch, const struct round *round,
                      struct group *const *groups, const struct mask_rules *rules,
                      double *ret_stale);
