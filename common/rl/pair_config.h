/* The settings of losses on pairs, labels, lists and residuals: a part of rl/objective_config.h.
 * Those that are left out are 0, and 0 is off.
 *
 * Header-only, as the table is. */
#pragma once
#include "rl/pair_word_table.h"

struct pair_config {
    enum pair_loss loss;
    /* > 0. */
    double beta;
    /* [0, 0.5): probability that a pair is the wrong way round; SIGMOID, ROBUST and EXO. */
    double label_smoothing;
    enum score score;
    /* Of the scores ALPHA_DIVERGENCE, LENGTH and ALPHA. */
    double alpha;
    /* z is less by this (SimPO), and more by length times the tokens of the chosen beyond those of
     * the rejected (R-DPO). */
    double gamma, length;
    /* z is less by beta penalty max(0, -score of the chosen) (DPOP). */
    double penalty;
    /* Of DISCOPOP, > 0. */
    double discopop_tau;
    /* Factors: of the chosen one's negative log-likelihood, and of the rejected one's logp. */
    double nll;
    enum nll nll_mean;
    double optimism;
    /* Of BCO. */
    enum anchor anchor;
    /* beta of the update is beta (1 + adapt (gap - running gap)), at least 1e-3 (beta-DPO). A gap
     * is beta times the difference of scores, its mean over pairs. The share `drop` of the update's
     * pairs trains nothing: those farthest from the running gap. */
    double adapt, drop;
};

struct label_config {
    enum label_loss loss;
    /* > 0. */
    double beta;
    /* >= 0. */
    double desirable, undesirable;
    enum anchor anchor;
    enum label_rule rule;
    double threshold;
};

struct list_config {
    enum list_loss loss;
    /* > 0. */
    double beta;
    /* > 0: of EXO and DPO_RW. */
    double reward_beta;
    /* >= 0: of PRO and RRHF. */
    double sft;
    /* > 0: of D2O. */
    double alpha;
};

/* The loss is factor e^2; factor 0: no objective on residuals. */
struct residual_config {
    enum residual residual;
    enum residual_base base;
    /* > 0. */
    double beta;
    double factor;
};

/* Of objectives that train a reward model. */
struct reward_config {
    /* Factor of the squared sum of a pair's scores, which holds them near 0 (Eisenstein 2023); 0:
     * none. */
    double center;
    /* The difference of rewards above which two completions are a pair. */
    double least;
};
