/* The core of a loss on pairs: how far the chosen completion must be ahead of the rejected one (DPO and kin). Any thread.
 *
 *     struct pair_config dpo = {PAIR_SIGMOID, .beta = 0.1};
 *     struct pair_value v = pair_at(&dpo, (struct pair_side){u_w, tokens_w}, (struct pair_side){u_l, tokens_l});
 *     -> v.loss, v.chosen = d loss / d logp of each of the chosen one's tokens, v.rejected
 *
 * u: sum over a completion's unmasked tokens of logp - reference; beta * u is its implicit reward. z = beta (u_w - u_l). */
#pragma once
#include <stdbool.h>

enum pair_loss {
    PAIR_NONE, // the objective is not one on pairs
    PAIR_SIGMOID, // -(1 - s) log sigma(z) - s log sigma(-z), s = label_smoothing (Rafailov 2023; s > 0: cDPO)
    PAIR_HINGE, // max(0, 1 - z) (SLiC's, on u)
    PAIR_IPO, // (h - 1/(2 beta))^2, h = u_w/tokens_w - u_l/tokens_l: means of tokens, as TRL's DPO has it (Azar 2023)
};

struct pair_config {
    enum pair_loss loss;
    double beta; // > 0
    double
        label_smoothing; // [0, 0.5): probability that a pair is the wrong way round; SIGMOID alone
};

struct pair_side {
    double u;
    int tokens; // unmasked, > 0
};

struct pair_value {
    double loss, chosen, rejected;
};
struct pair_value pair_at(const struct pair_config *config, struct pair_side chosen,
                          struct pair_side rejected);

const char *pair_loss_name(enum pair_loss loss);            // "none", "sigmoid", "hinge", "ipo"
bool pair_loss_find(const char *name, enum pair_loss *ret); // false: no such loss, or "none"
