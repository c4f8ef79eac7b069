/* The rows that train a reward model: rl/objective_table.h has the form of a row, joins them with the others, and is what others
 * include. Their slopes are of one value of each sequence, that of its last token (rl/kernels/kernel_reward.c).
 *
 *   bradley_terry  each pair of a prompt's completions whose rewards differ: -log sigma(z) of z = value of the better - value of
 *         the worse - margin. A prompt's loss is the mean over its pairs (InstructGPT), the update's the mean over prompts. Where
 *         people disagree, preferred is the share that chose the first one of a pair.
 *   reward_regression  the squared distance of each completion's value from its reward, mean over completions. */
#pragma once

// clang-format off
#define REWARD_FORM .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3
#define LAG_OF_RATINGS "no policy is trained: completions may be anybody's, but scores are told best where completions are like these"

#define ROWS_REWARD(X) \
    X(bradley_terry, kernel_bradley_terry, OBJECTIVE_GROUP, DATA_LISTS, COLUMN_BIT(COLUMN_REWARD), OUTPUT_VALUE, FIGURES_OF_PAIRS, \
      "a reward model (rlhfctl reward train): the better of two completions has the higher score", \
      "Bradley 1952; Ouyang 2022 (InstructGPT), arXiv 2203.02155; margins: Touvron 2023 (Llama 2), arXiv 2307.09288", \
      LAG_OF_RATINGS, REWARD_FORM) \
    X(reward_regression, kernel_reward_regression, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_REWARD), OUTPUT_VALUE, \
      FIGURE_BIT(value_mean) | FIGURE_BIT(returns_mean) | FIGURE_BIT(explained_variance) | FIGURE_BIT(value_correlation), \
      "a reward model (rlhfctl reward train): a completion's score is the rating that people gave it", \
      "Wang 2024 (HelpSteer2), arXiv 2406.08673", \
      LAG_OF_RATINGS, REWARD_FORM)
// clang-format on
