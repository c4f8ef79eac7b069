/* The completions of a group that are trained, by their rewards. The kinds are in
 * rl/word_table.h. Any thread.
 *
 *     const struct rng rng = rng_keyed(seed, RNG_SELECT, round, group);
 *     size_t count = selection_of(&config, reward, completions, &rng, chosen);
 *
 * Deterministic: the lowest index among equals; draws are of the generator's numbers 0, 1, ... */
#pragma once
#include "base/rng.h"
#include "rl/policy_config.h"

/* Returns how many; ret (completions): their indices, some more than once where the kind says
 * so. */
size_t selection_of(const struct selection_config *config, const double *reward, size_t completions,
                    const struct rng *rng, size_t *ret);
