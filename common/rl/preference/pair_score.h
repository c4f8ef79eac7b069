/* A completion's score: the quantity whose difference a loss on pairs is a function of. The kinds
 * are in rl/pair_word_table.h. Any thread.
 *
 *     struct score_value s = score_at(&config, u, logp, tokens);
 *     -> s.value, s.slope = d value / d logp of each token
 *
 * u: the sum of logp - reference over the completion's tokens; scores without a reference
 * (score_refers) do not read it. logp: their sum. */
#pragma once
#include "rl/pair_config.h"

struct score_value {
    double value, slope;
};
struct score_value score_at(const struct pair_config *config, double u, double logp, int tokens);

/* Whether it reads the reference. */
static inline bool score_refers(enum score score)
{
    return score <= SCORE_MEAN;
}
