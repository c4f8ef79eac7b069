/* The rows of policy gradients and of imitation: rl/objective_table.h has the form of a row, joins them with the others, and is
 * what others include.
 *
 *   rloo  A = R - mean of the others, token ratios to the behaviour logp with PPO's clip of 0.2, tokens summed and sequences
 *         averaged: without a clip and at lag 0 it is plain REINFORCE, -A/B for each token. TRL's form is ratio =
 *         RATIO_SEQUENCE: exact as an importance weight, but it leaves [0.8, 1.2] after a few dozen tokens and then trains
 *         nothing; so tokens are the default. For larger lags gate = GATE_CAP, cap 2: no token goes dead.
 *   grpo  A = (R - mean)/(std + 1e-4), token ratios with clip 0.2, seq_mean_token_mean, k3 to the reference where
 *         kl_coef > 0 (TRL's default coefficient is 0). TRL's "dapo" loss is reduce = REDUCE_TOKEN_MEAN.
 *   ppo   A by GAE from a critic's values, token ratios with clip 0.2 to the weights that the round began with, each token's
 *         loss times min(1, w) for the lag, token_mean; beside it the critic's loss (rl/kernels/kernel_value.c).
 *   sft   likelihood of the targets: every logp weighs -1/N (token_mean). */
#pragma once

// clang-format off
#define ROWS_POLICY(X) \
    X(rloo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_RATIOS, \
      "REINFORCE, the others of the group as baseline, ratios clipped", \
      "Ahmadian 2024, arXiv 2402.14740", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_LOO, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(grpo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_RATIOS, \
      "rewards normalised within the group, ratios clipped", \
      "Shao 2024 (DeepSeekMath), arXiv 2402.03300", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3) \
    X(ppo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, NEEDS_OF_GAE, OUTPUT_LOGP | OUTPUT_VALUE, \
      FIGURES_OF_RATIOS | FIGURES_OF_LAG | FIGURES_OF_VALUES, \
      "a critic's advantages for each token, ratios clipped; a token that older weights drew counts by its importance weight", \
      "Schulman 2017, arXiv 1707.06347; weights of V-trace: Espeholt 2018, arXiv 1802.01561", \
      "truncated importance weights correct advantages, targets and each token's loss once", \
      .advantage = ADVANTAGE_GAE, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 1}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .gae = {.gamma = 1, .lambda = 0.95, .c_bar = 1, .rho_bar = 1, .whiten_advantages = true}, \
      .value = {.coef = 1, .clip = 0.2}) \
    X(sft, kernel_policy, OBJECTIVE_TOKEN, DATA_DEMONSTRATIONS, 0, OUTPUT_LOGP, 0, \
      "likelihood of the targets", \
      "maximum likelihood", \
      "any policy's answers are valid, as no ratio is taken", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3)
// clang-format on
