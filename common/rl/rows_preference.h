/* The rows of preferences: rl/objective_table.h has the form of a row, joins them with the others, and is what others include.
 *
 *   online_dpo  pairs of completions of the weights being trained (Guo 2024): -log sigma(beta (u_w - u_l)), u = sum of
 *         logp - reference; rl/kernels/pair.h has the other losses. Where older weights drew a pair, PPO's clip stops tokens
 *         that have moved far enough (rl/kernels/kernel_pair.c); where the same weights did, it changes no bit. gate =
 *         GATE_NONE is TRL's form. */
#pragma once

// clang-format off
#define ROWS_PREFERENCE(X) \
    X(online_dpo, kernel_pair, OBJECTIVE_PAIR, DATA_PAIRS, COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP, \
      FIGURES_OF_RATIOS | FIGURES_OF_PAIRS, \
      "the best and the worst of a group as a pair, the reference as the base, ratios clipped", \
      "Guo 2024, arXiv 2402.04792; the loss: Rafailov 2023, arXiv 2305.18290", \
      "any policy's pairs are valid; the clip stops tokens that have moved far from what older weights drew", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3, \
      .pair = {PAIR_SIGMOID, .beta = 0.1})
// clang-format on
