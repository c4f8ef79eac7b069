/* Advantages from rewards: how much better a completion is than the others. Over all groups of a
 * round at once, in recorded order.
 *
 *     struct advantage_in in = {.groups = 64, .first = first, .reward = reward};     -- group g: first[g]..first[g+1]-1
 *     advantage_compute(ADVANTAGE_LOO, &in, 0, advantage);
 *
 * A group whose rewards are all equal, or of one completion, gets exactly 0 (RAW apart): nothing is
 * learnt from it. Any thread. To add one: a row of ADVANTAGES in rl/word_table.h, its case in
 * advantage.c. */
#pragma once
#include "rl/objective_config.h"
#include <stddef.h>

struct advantage_in {
    size_t groups;
    const size_t *first;  // (groups + 1)
    const double *reward; // (first[groups])
};

/* ret (first[groups]). */
void advantage_compute(enum advantage advantage, const struct advantage_in *in, double epsilon,
                       double *ret);
