/* The core of a loss on all completions of a prompt, which have rewards (EXO, Plackett-Luce, LiPO
 * and kin). The kinds are in rl/pair_word_table.h. Any thread.
 *
 *     struct list_config exo = {LIST_EXO, .beta = 0.5, .reward_beta = 0.5};
 *     double loss = list_at(&exo, member, count, slope);
 *     -> slope[i] = d loss / d logp of each token of member i
 *
 * Among equal rewards the first counts as the better one where an order is needed, and no pair is
 * made of them. */
#pragma once
#include "rl/pair_config.h"
#include <stddef.h>

/* Sums over a completion's unmasked tokens. */
struct list_member {
    /* Of logp - reference, and of logp - behaviour; 0 where the loss does not read it. */
    double u, moved;
    double logp;
    int tokens; // > 0
    double reward;
};

/* count >= 2. Writes ret (count). */
double list_at(const struct list_config *config, const struct list_member *member, size_t count,
               double *ret);

/* Whether it reads the reference, and the behaviour. */
static inline bool list_refers(enum list_loss loss)
{
    return loss != LIST_PRO && loss != LIST_RRHF;
}
static inline bool list_moves(enum list_loss loss)
{
    return loss == LIST_D2O;
}
