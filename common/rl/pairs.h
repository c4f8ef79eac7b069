/* The pairs of a round: of each group the best and the worst completion. Any thread.
 *
 *     struct advantage_in in = {.groups = 64, .first = first, .reward = reward};
 *     size_t pairs = rl_pairs_pick(&in, 0, false, pair);      -- pair: room for in.groups
 *     -> pair[i].chosen, pair[i].rejected: indices into reward
 *
 * Deterministic: the lowest index among equals; pairs in the order of the groups. */
#pragma once
#include "rl/advantage.h"
#include <stddef.h>

struct rl_pair {
    int chosen, rejected; // sequences, counted over the round
};

/* At most one pair for a group; returns how many. A group whose best - worst <= margin (>= 0) has none, or with ties_first its
 * first and last completion as chosen and rejected. A group of one completion has none. Rewards are finite. */
size_t rl_pairs_pick(const struct advantage_in *in, double margin, bool ties_first,
                     struct rl_pair *ret);

/* The same of one group; false: it has none. */
static inline bool rl_pair_of(const double *reward, int completions, double margin, bool ties_first,
                              struct rl_pair *ret)
{
    const int first[] = {0, completions};
    const struct advantage_in one = {.groups = 1, .first = first, .reward = reward};
    return rl_pairs_pick(&one, margin, ties_first, ret) == 1;
}
