/* The pair of a group: its best and its worst completion. Any thread.
 *
 *     struct rl_pair pair;
 *     if (rl_pair_of(reward, completions, 0, false, &pair))
 *         -> pair.chosen, pair.rejected: indices into reward
 *
 * Deterministic: the lowest index among equals. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct rl_pair {
    size_t chosen, rejected;
};

/* False: the group has none, as best - worst <= margin (>= 0); with ties_first the first and the
 * last completion are a pair then. A group of one completion has none. Rewards are finite. */
bool rl_pair_of(const double *reward, size_t completions, double margin, bool ties_first,
                struct rl_pair *ret);
