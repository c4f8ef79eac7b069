/* Advantages from rewards: how much better a completion is than the others. Over all groups of a
 * round at once, in recorded order.
 *
 *     struct advantage_in in = {.groups = 64, .first = first, .reward = reward};     -- group g: first[g]..first[g+1]-1
 *     advantage_compute(&config, &in, advantage);
 *
 * A group whose rewards are all equal, or of one completion, gets exactly 0 (RAW and SHIFTED
 * apart): nothing is learnt from it. Any thread. To add one: a row of ADVANTAGES in
 * rl/word_table.h, its case in advantage.c. */
#pragma once
#include "rl/objective_config.h"
#include <stddef.h>

struct advantage_in {
    size_t groups;
    const size_t *first;  // (groups + 1)
    const double *reward; // (first[groups])
    /* OPO, ESS: trained tokens of each. */
    const double *tokens;
    /* ESS: logarithm of each one's importance weight. */
    const double *log_weight;
    /* EMA: the baseline of all. */
    double baseline;
    /* MULTI: what each of so many scorers says of each, (first[groups], scorers), and their
     * weights. */
    size_t scorers;
    const double *score, *score_weight;
};

/* ret (first[groups]). Of config: advantage, advantage_epsilon, advantage_shift, advantage_beta. */
void advantage_compute(const struct objective_config *config, const struct advantage_in *in,
                       double *ret);
