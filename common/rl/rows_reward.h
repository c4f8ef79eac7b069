/* The rows that train a reward model: rl/objective_table.h has the form of a row, joins them with the others, and is what others
 * include. Their slopes are of one value of each sequence, that of its last token (rl/kernels/kernel_reward.c).
 *
 *   bradley_terry  each pair of a prompt's completions whose rewards differ: -log sigma(z) of z = value of the better - value of
 *         the worse - margin. A prompt's loss is the mean over its pairs (InstructGPT), the update's the mean over prompts. Where
 *         people disagree, preferred is the share that chose the first one of a pair. */
#pragma once

// clang-format off
#define REWARD_FORM .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3
#define LAG_OF_RATINGS "no policy is trained: completions may be anybody's, but scores are told best where completions are like these"

#define ROWS_REWARD(X) \
    X(bradley_terry, kernel_bradley_terry, OBJECTIVE_GROUP, DATA_LISTS, COLUMN_BIT(COLUMN_REWARD), OUTPUT_VALUE, FIGURES_OF_PAIRS, \
      "a reward model (rlhfctl reward train): the better of two completions has the higher score", \
      "Bradley 1952; Ouyang 2022 (InstructGPT), arXiv 2203.02155; margins: Touvron 2023 (Llama 2), arXiv 2307.09288", \
      LAG_OF_RATINGS, REWARD_FORM)
// clang-format on
