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
#include "rl/policy_config.h"
#include "rl/row_term.h"
#include "rl/word_table.h"

/* Of ADVANTAGE_GAE (rl/advantages/gae.h). */
struct gae_config {
    /* [0, 1]: the discount of a token, and of a difference. */
    double gamma, lambda;
    /* > 0: limits of the token's weight w in what later tokens tell of it, and of its own. */
    double c_bar, rho_bar;
    /* A completion that was cut off goes on with bootstrap_value, instead of ending there. */
    bool bootstrap;
    /* > 0: alpha of the advantages' lambda, 1 - 1/(alpha T), T the completion's tokens (VAPO);
     * 0: lambda. */
    double lambda_alpha;
    /* Neighbouring tokens that are one action, and share a value, a reward and an advantage
     * (MA-RLHF); 1: each is one. */
    int macro;
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
    /* SHIFTED: added to the group's mean. */
    double advantage_shift;
    /* SOFT_VALUE, > 0. */
    double advantage_beta;
    /* Of completions and TO_GO: to a standard deviation of 1 over the round's tokens. */
    bool whiten;
    /* Advantages below 0 count as 0. */
    bool positive_only;
    enum ratio ratio;
    struct gate_config gate;
    /* Needs the column proximal_logp. */
    struct correction_config correction;
    struct mask_config mask;
    enum reduce reduce;
    /* L of REDUCE_CONST_NORM, > 0. */
    double reduce_length;
    /* Of the KL term in the loss; 0: none. */
    double kl_coef;
    enum kl kl;
    /* Of the loss (logp - behaviour logp)^2 of each token; 0: none. */
    double behaviour_coef;
    struct nll_config nll;
    struct selection_config select;
    struct step_scale step;
    /* Of objectives on pairs. */
    struct pair_config pair;
    /* Of those on labels, on lists, and on residuals. */
    struct label_config label;
    struct list_config list;
    struct residual_config residual;
    /* Of reward models. */
    struct reward_config reward;
    /* Of objectives with a critic. */
    struct gae_config gae;
    struct value_config value;
    /* Terms of whole rows of the vocabulary, and objectives on them. */
    struct row_config rows;
    struct tdpo_config tdpo;
    struct contrast_config contrast;
    struct ift_config ift;
};
