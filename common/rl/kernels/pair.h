/* The core of a loss on pairs: how far the chosen completion must be ahead of the rejected one (DPO
 * and kin). Any thread.
 *
 *     struct pair_config dpo = {PAIR_SIGMOID, .beta = 0.1};
 *     struct pair_value v = pair_at(&dpo, (struct pair_side){u_w, tokens_w}, (struct pair_side){u_l, tokens_l});
 *     -> v.loss, v.chosen = d loss / d logp of each of the chosen one's tokens, v.rejected
 *
 * u: sum over a completion's unmasked tokens of logp - reference; beta * u is its implicit reward.
 * z = beta (u_w - u_l). */
#pragma once
#include "rl/objective_config.h"

struct pair_side {
    double u;
    int tokens; // unmasked, > 0
};

struct pair_value {
    double loss, chosen, rejected;
};
struct pair_value pair_at(const struct pair_config *config, struct pair_side chosen,
                          struct pair_side rejected);
