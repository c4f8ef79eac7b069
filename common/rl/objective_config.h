/* The settings of an objective: plain values, each of them a key of the recipe. The defaults are in
 * rl/objective_table.h.
 *
 *     struct objective_config config = objective->row.defaults;
 *     config.gate.epsilon_high = 0.28;
 *     TRY(objective_check(objective, &config));
 *
 * Header-only, as the table is. */
#pragma once
#include "rl/pair_config.h"
#include "rl/row_term.h"
#include "rl/word_table.h"

#define ADVANTAGE_EPSILON 1e-4 // TRL's; verl has 1e-6

struct gate_config {
    enum gate gate;
    /* CLIP. */
    double epsilon_low, epsilon_high;
    /* CLIP: for A < 0 the loss is at most -dual A (dual clip); 0: off. */
    double dual;
    /* CAP: of r itself, so 1 + epsilon_high where others say "cap 1 + epsilon". */
    double cap;
};

struct correction_config {
    enum correction correction;
    double low, high;
};

/* Of ADVANTAGE_GAE (rl/advantages/gae.h). */
struct gae_config {
    /* [0, 1]: the discount of a token, and of a difference. */
    double gamma, lambda;
    /* > 0: limits of the token's weight w in what later tokens tell of it, and of its own. */
    double c_bar, rho_bar;
    /* A completion that was cut off goes on with bootstrap_value, instead of ending there. */
    bool bootstrap;
    /* To a standard deviation of 1 over the round (rl/advantages/whiten.h); rewards keep their
     * mean. */
    bool whiten_advantages, whiten_rewards;
};

/* Of the critic's loss (rl/kernels/kernel_value.c). */
struct value_config {
    double coef;
    /* > 0: how far vpred may move from `value`; 0: without a limit. */
    double clip;
};

struct objective_config {
    enum advantage advantage;
    double advantage_epsilon;
    enum ratio ratio;
    struct gate_config gate;
    /* Needs the column proximal_logp. */
    struct correction_config correction;
    enum reduce reduce;
    /* L of REDUCE_CONST_NORM, > 0. */
    double reduce_length;
    /* Of the KL term in the loss; 0: none. */
    double kl_coef;
    enum kl kl;
    /* Of objectives on pairs. */
    struct pair_config pair;
    /* Of those on labels, on lists, and on residuals. */
    struct label_config label;
    struct list_config list;
    struct residual_config residual;
    /* Of objectives with a critic. */
    struct gae_config gae;
    struct value_config value;
    /* Terms of whole rows of the vocabulary, and objectives on them. */
    struct row_config rows;
    struct tdpo_config tdpo;
    struct contrast_config contrast;
    struct ift_config ift;
};
