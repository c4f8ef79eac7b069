/* The core of a loss on pairs: how far the chosen completion must be ahead of the rejected one (DPO
 * and kin). The kinds are in rl/pair_word_table.h. Any thread.
 *
 *     struct pair_config dpo = {PAIR_SIGMOID, .beta = 0.1};
 *     struct pair_side chosen = {u_w, tokens_w}, rejected = {u_l, tokens_l};
 *     struct pair_value v = pair_at(&dpo, chosen, rejected);
 *     -> v.loss, v.chosen = d loss / d u of the chosen one, v.rejected
 *
 * u: the completion's score (rl/preference/pair_score.h); beta * u is its implicit reward. z = beta
 * (u_w - u_l), and what gamma, length and penalty add. */
#pragma once
#include "rl/objective_config.h"

struct pair_side {
    double u;
    int tokens; // unmasked, > 0
    /* Read by SOFT alone, and by BCO alone. */
    double reward, anchor;
};

struct pair_value {
    double loss, chosen, rejected;
};
struct pair_value pair_at(const struct pair_config *config, struct pair_side chosen,
                          struct pair_side rejected);
