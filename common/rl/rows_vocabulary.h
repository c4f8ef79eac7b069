/* The rows whose losses read whole distributions of the next token, or weigh the tokens of one answer by one another.
 * rl/objective_table.h has the form of a row, joins them with the others, and is what others include.
 *
 *   superhf  the likelihood of the best of a group, mean over its tokens, and coef times the mean over the same tokens of KL(q, p)
 *         of whole rows. The authors' code sums the divergence over completions instead; their coef is to be read so.
 *   gkd   nothing but the distance of whole rows from the reference's, over the policy's own completions: distillation on
 *         policy. learner.reference.path is the teacher.
 *   tdpo1, tdpo2  z = beta (u_w - u_l - alpha (D_l - D_w)), D the sum of KL(q, p) over a completion's rows. TDPO2 has D_w
 *         without a slope; TDPO1 has one, and alpha = 1.
 *   unlikelihood, cringe  the likelihood of good completions, and coef times what each token of a bad one loses.
 *   ift   a_t = -logp_t, c_t = sum of gamma^(s-t) a_s over s >= t, the loss sum(a c) / sum(c): early tokens weigh more. The
 *         weights have a slope unless `detached`, as in the authors' code. */
#pragma once

// clang-format off
#define ROWS_VOCABULARY(X) \
    X(superhf, kernel_best, OBJECTIVE_PAIR, DATA_LISTS, 0, OUTPUT_LOGP, FIGURE_BIT(row_distance) | FIGURE_BIT(pairs), \
      "the likelihood of the best of a group, near the reference's distributions", \
      "Mukobi 2023, arXiv 2310.16763", \
      "any policy's answers are valid, as no ratio is taken", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .rows = {.distance = DISTANCE_FORWARD, .coef = 0.35, .beta = 0.5}) \
    X(gkd, kernel_distance, OBJECTIVE_SEQUENCE, DATA_REWARDS, 0, OUTPUT_LOGP, FIGURE_BIT(row_distance), \
      "distillation on policy: the distance from the teacher's distributions over the policy's own completions", \
      "Agarwal 2023, arXiv 2306.13649", \
      "rows are compared under the newest weights; only the prefixes are older", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .rows = {.distance = DISTANCE_JSD, .coef = 1, .beta = 0.5}) \
    X(tdpo1, kernel_tdpo, OBJECTIVE_PAIR, DATA_PAIRS, COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP | OUTPUT_TERM(FORWARD_KL), \
      FIGURES_OF_PAIRS, \
      "DPO whose margin has the difference of the sides' divergences from the reference", \
      "Zeng 2024, arXiv 2404.11999", \
      "any policy's pairs are valid; divergences are of the newest weights", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3, \
      .tdpo = {.beta = 0.1, .alpha = 1, .through_chosen = true}) \
    X(tdpo2, kernel_tdpo, OBJECTIVE_PAIR, DATA_PAIRS, COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP | OUTPUT_TERM(FORWARD_KL), \
      FIGURES_OF_PAIRS, \
      "DPO whose margin has that difference, the chosen one's divergence a constant", \
      "Zeng 2024, arXiv 2404.11999", \
      "any policy's pairs are valid; divergences are of the newest weights", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3, \
      .tdpo = {.beta = 0.1, .alpha = 0.5}) \
    X(unlikelihood, kernel_contrast, OBJECTIVE_SEQUENCE, DATA_LABELS, COLUMN_BIT(COLUMN_LABEL), OUTPUT_LOGP, 0, \
      "the likelihood of good completions, and -log(1 - p) of each token of bad ones", \
      "Welleck 2019, arXiv 1908.04319", \
      "any policy's answers are valid, as no ratio is taken", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .contrast = {CONTRAST_COMPLEMENT, .coef = 1}) \
    X(cringe, kernel_contrast, OBJECTIVE_SEQUENCE, DATA_LABELS, COLUMN_BIT(COLUMN_LABEL), OUTPUT_LOGP | OUTPUT_TERM(RIVAL_LOGP), 0, \
      "the likelihood of good completions, and for each token of bad ones a contrast with the likeliest other token", \
      "Adolphs 2022, arXiv 2211.05826, with k = 1", \
      "the other token is the newest weights' own, whoever drew the completion", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .contrast = {CONTRAST_RIVAL, .coef = 1}) \
    X(ift, kernel_ift, OBJECTIVE_SEQUENCE, DATA_DEMONSTRATIONS, 0, OUTPUT_LOGP, 0, \
      "likelihood of the targets, early tokens weighing more by what follows from them", \
      "Hua 2024, arXiv 2405.11870: its weights; inputs are the answers, not a mixture with predictions", \
      "any policy's answers are valid, as no ratio is taken", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3, \
      .ift = {.gamma = 0.95})
// clang-format on
