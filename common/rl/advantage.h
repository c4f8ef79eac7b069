/* Advantages from rewards: how much better a completion is than the others. Over all groups of a round at once, in recorded
 * order.
 *
 *     struct advantage_in in = {.groups = 64, .first = first, .reward = reward};     -- group g: first[g]..first[g+1]-1
 *     advantage_compute(ADVANTAGE_LOO, &in, 0, advantage);
 *
 * A group whose rewards are all equal, or of one completion, gets exactly 0 (RAW apart): nothing is learnt from it. Any
 * thread. To add one: a row of the table in advantage.c. */
#pragma once
#include <stdbool.h>

enum advantage {
    ADVANTAGE_ONE,        // 1 for each: imitation
    ADVANTAGE_RAW,        // R
    ADVANTAGE_LOO,        // R - mean of the others' (RLOO, Ahmadian 2024)
    ADVANTAGE_GROUP_MEAN, // R - mean (Dr. GRPO)
    ADVANTAGE_GROUP_Z,    // (R - mean) / (std + epsilon), with Bessel (GRPO)
    ADVANTAGE_BATCH_Z,    // (R - mean) / (std of all rewards of the round + epsilon) (Lite-PPO)
};

#define ADVANTAGE_EPSILON 1e-4 // TRL's; verl has 1e-6

struct advantage_in {
    int groups;
    const int *first;     // (groups + 1)
    const double *reward; // (first[groups])
};

/* ret (first[groups]). */
void advantage_compute(enum advantage advantage, const struct advantage_in *in, double epsilon,
                       double *ret);
bool advantage_needs_reward(enum advantage advantage);
const char *advantage_name(enum advantage advantage); // "loo", "group_z", ...
