/* The rows of preferences: rl/objective_table.h has the form of a row, joins them with the others, and is what others include.
 *
 *   on pairs (rl/kernels/kernel_pair.c): a loss of z = beta (score of the chosen - score of the rejected) and what the row adds.
 *         A round's pair is the best and the worst of a group. gate = GATE_NONE is TRL's form.
 *         online_dpo is dpo with PPO's clip, which stops tokens that have moved far from what older weights drew; where the
 *         same weights drew them, it changes no bit.
 *   on labels (rl/kernels/kernel_label.c): each completion is desirable or not, by learner.kto.rule.
 *   on residuals (rl/kernels/kernel_residual.c): the square of what a reward leaves unexplained of a log-ratio.
 *   on lists (rl/kernels/kernel_list.c): all completions of a prompt, in the order of their rewards. */
#pragma once

// clang-format off
#define PAIR_FORM .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3
#define PLAIN_FORM .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3
#define RESIDUAL_FORM(target) .advantage = target, .gate = {GATE_NONE}, .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3
#define NEEDS_OF_REFERENCE COLUMN_BIT(COLUMN_REFERENCE_LOGP)

/* Ends of their help: how the daemons draw them. */
#define DRAWN_PAIRS  ". Online: the best and the worst of a group"
#define DRAWN_LABELS "; online a reward above the mean of its group is desirable, one below is not (learner.kto.rule)"
#define DRAWN_LISTS  ". Online: all of a group whose rewards differ, equal ones by their place"

/* Of a pair against the reference, and without one. */
#define ROW_PAIR(X, name, help, source, lag, ...) \
    X(name, kernel_pair, OBJECTIVE_PAIR, DATA_PAIRS, NEEDS_OF_REFERENCE, OUTPUT_LOGP, FIGURES_OF_PAIRS, help DRAWN_PAIRS, source, lag, \
      PAIR_FORM, .pair = {__VA_ARGS__})
#define ROW_FREE_PAIR(X, name, help, source, lag, ...) \
    X(name, kernel_pair, OBJECTIVE_PAIR, DATA_PAIRS, 0, OUTPUT_LOGP, FIGURES_OF_PAIRS, help DRAWN_PAIRS, source, lag, \
      PAIR_FORM, .pair = {__VA_ARGS__})
#define ROW_LABEL(X, name, help, source, lag, ...) \
    X(name, kernel_label, OBJECTIVE_SEQUENCE, DATA_LABELS, NEEDS_OF_REFERENCE | COLUMN_BIT(COLUMN_LABEL), OUTPUT_LOGP, 0, \
      help DRAWN_LABELS, source, lag, PLAIN_FORM, .label = {__VA_ARGS__})
#define ROW_LIST(X, name, needs, help, source, lag, ...) \
    X(name, kernel_list, OBJECTIVE_GROUP, DATA_LISTS, COLUMN_BIT(COLUMN_REWARD) | (needs), OUTPUT_LOGP, 0, \
      help DRAWN_LISTS, source, lag, PLAIN_FORM, .list = {__VA_ARGS__})

#define LAG_OF_PAIRS   "any policy's pairs are valid, but the optimum is reached where the data are: fresh pairs train better"
#define LAG_OF_FREE    "any policy's pairs are valid; no reference holds the policy near, so a foreign pair moves it far"
#define LAG_OF_ANCHOR  "any policy's pairs are valid; the likelihood of the chosen is an anchor as they age"
#define LAG_OF_LABELS  "any policy's completions are valid; what they are compared with is of the weights being trained"
#define LAG_OF_LISTS   "any policy's completions are valid: the list is normalised over itself alone"
#define LAG_OF_SQUARES "any policy's completions are valid without a weight: each residual is 0 at the optimum"

#define ROWS_PREFERENCE(X) \
    X(online_dpo, kernel_pair, OBJECTIVE_PAIR, DATA_PAIRS, COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP, \
      FIGURES_OF_RATIOS | FIGURES_OF_PAIRS, \
      "the best and the worst of a group as a pair, the reference as the base, ratios clipped", \
      "Guo 2024, arXiv 2402.04792; the loss: Rafailov 2023, arXiv 2305.18290", \
      "any policy's pairs are valid; the clip stops tokens that have moved far from what older weights drew", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3, \
      .pair = {PAIR_SIGMOID, .beta = 0.1, .discopop_tau = 0.05}) \
    ROW_PAIR(X, dpo, "the likelihood of preferences, the reference as the base; loss_type has its kin", \
      "Rafailov 2023, arXiv 2305.18290", LAG_OF_PAIRS, PAIR_SIGMOID, .beta = 0.1, .discopop_tau = 0.05) \
    ROW_PAIR(X, cdpo, "dpo whose labels are wrong with probability label_smoothing: it stops there", \
      "Mitchell 2023, a note on DPO with noisy preferences", LAG_OF_PAIRS, PAIR_SIGMOID, .beta = 0.1, .label_smoothing = 0.1) \
    ROW_PAIR(X, robust_dpo, "dpo freed of the bias of wrong labels; its loss has no lower bound", \
      "Chowdhury 2024, arXiv 2403.00409", LAG_OF_PAIRS, PAIR_ROBUST, .beta = 0.1, .label_smoothing = 0.1) \
    ROW_PAIR(X, ipo, "means of tokens ahead by 1/(2 beta) and no farther, as in TRL", \
      "Azar 2023, arXiv 2310.12036", "any policy's pairs are valid; the target is bounded, so no pair pulls for ever", \
      PAIR_IPO, .beta = 0.1) \
    ROW_PAIR(X, ipo_sum, "ipo of sums, as in OpenRLHF; beta is another than that of ipo", \
      "Azar 2023, arXiv 2310.12036", "any policy's pairs are valid; the target is bounded, so no pair pulls for ever", \
      PAIR_IPO_SUM, .beta = 0.1) \
    ROW_PAIR(X, rso, "hinge of pairs drawn by rejection sampling: the drawing is the recipe's", \
      "Liu 2023, arXiv 2309.06657", LAG_OF_PAIRS, PAIR_HINGE, .beta = 0.05) \
    ROW_PAIR(X, exo_pair, "reverse KL to the label's distribution, 1 - label_smoothing for the chosen", \
      "Ji 2024, arXiv 2402.00856", "any policy's pairs are valid; a pair that is wrong and sure of it pulls little", \
      PAIR_EXO, .beta = 0.1, .label_smoothing = 1e-3) \
    ROW_PAIR(X, nca_pair, "each completion's own likelihood of being the better: the chosen does not fall", \
      "Chen 2024, arXiv 2402.05369", LAG_OF_PAIRS, PAIR_NCA, .beta = 0.1) \
    ROW_PAIR(X, bco_pair, "a classifier of chosen and rejected, about the running mean of implicit rewards", \
      "Jung 2024, arXiv 2404.04656", LAG_OF_PAIRS, PAIR_BCO, .beta = 0.1, .anchor = ANCHOR_RUNNING) \
    ROW_PAIR(X, sppo_hard, "regression of each side to 1/(2 beta) and -1/(2 beta), as in TRL: the paper halves it", \
      "Wu 2024, arXiv 2405.00675", LAG_OF_PAIRS, PAIR_SPPO, .beta = 0.1) \
    ROW_PAIR(X, aot, "dpo of ranks: the update's sorted gaps against the reference's", \
      "Melnyk 2024, arXiv 2406.05882", LAG_OF_PAIRS, PAIR_AOT, .beta = 0.1) \
    ROW_PAIR(X, aot_unpaired, "dpo of ranks: the update's sorted chosen against its sorted rejected", \
      "Melnyk 2024, arXiv 2406.05882", LAG_OF_PAIRS, PAIR_AOT_UNPAIRED, .beta = 0.1) \
    ROW_PAIR(X, apo_zero, "the chosen rises and the rejected falls, each against the reference", \
      "D'Oosterlinck 2024, arXiv 2408.06266", LAG_OF_PAIRS, PAIR_APO_ZERO, .beta = 0.1) \
    ROW_PAIR(X, apo_down, "both fall, the rejected faster: for chosen ones that are worse than the policy", \
      "D'Oosterlinck 2024, arXiv 2408.06266", LAG_OF_PAIRS, PAIR_APO_DOWN, .beta = 0.1) \
    ROW_PAIR(X, discopop, "logistic and exponential loss, blended by how far the pair is", \
      "Lu 2024, arXiv 2406.08414", LAG_OF_PAIRS, PAIR_DISCOPOP, .beta = 0.1, .discopop_tau = 0.05) \
    ROW_PAIR(X, sigmoid_norm, "dpo of means over tokens", \
      "Lambert 2024 (Tulu 3), arXiv 2411.15124", LAG_OF_PAIRS, PAIR_SIGMOID_NORM, .beta = 5) \
    ROW_PAIR(X, gpo, "any convex loss of the gap, by loss_type", \
      "Tang 2024, arXiv 2402.05749", LAG_OF_PAIRS, PAIR_EXPONENTIAL, .beta = 0.1) \
    ROW_PAIR(X, dno, "dpo of soft labels, the probability by the rewards that the chosen is better", \
      "Rosset 2024, arXiv 2404.03715", "the reference is the iterate before: the older the pairs, the older it should be", \
      PAIR_SOFT, .beta = 0.1) \
    ROW_PAIR(X, dpop, "dpo that does not let the chosen fall below the reference", \
      "Pal 2024 (Smaug), arXiv 2402.13228", LAG_OF_PAIRS, PAIR_SIGMOID, .beta = 0.3, .penalty = 50) \
    ROW_PAIR(X, beta_dpo, "dpo whose beta follows the update's gap. The pairs farthest from the running gap are left out, where " \
      "the paper draws them", \
      "Wu 2024, arXiv 2407.08639", "any policy's pairs are valid; the filter drops outliers, stale ones first", \
      PAIR_SIGMOID, .beta = 0.1, .adapt = 0.6, .drop = 0.2) \
    ROW_PAIR(X, f_dpo, "dpo under another divergence than the reverse KL, by f_divergence_type", \
      "Wang 2023, arXiv 2309.16240", LAG_OF_PAIRS, PAIR_SIGMOID, .beta = 0.1, .score = SCORE_JS, .alpha = 0.5) \
    ROW_PAIR(X, ld_dpo, "dpo in which tokens beyond the shorter completion's length count ld_alpha", \
      "Liu 2024, arXiv 2409.06411", LAG_OF_PAIRS, PAIR_SIGMOID, .beta = 0.1, .score = SCORE_LENGTH, .alpha = 0.5) \
    ROW_PAIR(X, r_dpo, "dpo in which a longer chosen needs less: z grows by length_alpha a token", \
      "Park 2024, arXiv 2403.19159; length_alpha [recalled]", LAG_OF_PAIRS, PAIR_SIGMOID, .beta = 0.1, .length = 0.01) \
    X(xpo, kernel_pair, OBJECTIVE_PAIR, DATA_MIXTURE, NEEDS_OF_REFERENCE, OUTPUT_LOGP, FIGURES_OF_PAIRS, \
      "dpo that takes likelihood off the reference's completion, the rejected one of a pair (exploration)", \
      "Xie 2024, arXiv 2405.21046", "the reference's half never ages", \
      PAIR_FORM, .pair = {PAIR_SIGMOID, .beta = 0.1, .optimism = 1e-5}) \
    ROW_PAIR(X, rpo, "dpo and the likelihood of the chosen, rpo_alpha of it, mean over its tokens", \
      "Pang 2024, arXiv 2404.19733; Liu 2024, arXiv 2405.16436", LAG_OF_ANCHOR, PAIR_SIGMOID, .beta = 0.1, .nll = 1) \
    ROW_FREE_PAIR(X, simpo, "means of logp, the chosen ahead by simpo_gamma; no reference", \
      "Meng 2024, arXiv 2405.14734", LAG_OF_FREE, PAIR_SIGMOID, .beta = 2, .score = SCORE_LOGP_MEAN, .gamma = 0.5) \
    ROW_FREE_PAIR(X, alphapo, "simpo of a bent reward, (1 - exp(-alpha m)) / alpha", \
      "Gupta 2025, arXiv 2501.03884", LAG_OF_FREE, PAIR_SIGMOID, .beta = 2, .score = SCORE_ALPHA, .alpha = 0.25, .gamma = 0.5) \
    ROW_FREE_PAIR(X, cpo, "dpo without a reference, and the likelihood of the chosen, cpo_alpha of it", \
      "Xu 2024, arXiv 2401.08417", LAG_OF_ANCHOR, PAIR_SIGMOID, .beta = 0.1, .score = SCORE_LOGP, .nll = 1) \
    ROW_FREE_PAIR(X, orpo, "the likelihood of the chosen, and beta times the loss of the log-odds; TRL counts the prompt's tokens, too", \
      "Hong 2024, arXiv 2403.07691", "any policy's pairs are valid; the slope of the odds grows without bound where a mean token is sure", \
      PAIR_SIGMOID, .beta = 0.1, .score = SCORE_ODDS, .nll = 1) \
    ROW_FREE_PAIR(X, slic, "hinge of logp, and the likelihood of the chosen, a whole completion's", \
      "Zhao 2023, arXiv 2305.10425", LAG_OF_ANCHOR, PAIR_HINGE, .beta = 1, .score = SCORE_LOGP, .nll = 0.1, .nll_mean = NLL_PAIRS) \
    X(pairwise_preference, kernel_pair, OBJECTIVE_PAIR, DATA_COMPARISONS, 0, OUTPUT_LOGP, FIGURES_OF_PAIRS, \
      "a pairwise preference model: behind two answers shown beside each other, the label of the better one is the likelier of the " \
      "two labels", \
      "Dong 2024 (RLHF Workflow), arXiv 2405.07863", "no policy is trained: answers may be anybody's", \
      PAIR_FORM, .pair = {PAIR_SOFT, .beta = 1, .score = SCORE_LOGP}) \
    ROW_LABEL(X, kto, "single completions, desirable or not, against the KL from the reference", \
      "Ethayarajh 2024, arXiv 2402.01306", LAG_OF_LABELS, \
      LABEL_KTO, .beta = 0.1, .desirable = 1, .undesirable = 1, .anchor = ANCHOR_BATCH) \
    ROW_LABEL(X, apo_zero_unpaired, "kto against 0", \
      "D'Oosterlinck 2024, arXiv 2408.06266", LAG_OF_LABELS, LABEL_KTO, .beta = 0.1, .desirable = 1, .undesirable = 1) \
    ROW_LABEL(X, bco, "a classifier of desirable completions, about the running mean of implicit rewards", \
      "Jung 2024, arXiv 2404.04656", LAG_OF_LABELS, \
      LABEL_BCO, .beta = 0.1, .desirable = 1, .undesirable = 1, .anchor = ANCHOR_RUNNING) \
    ROW_LABEL(X, npo, "undesirable completions alone, less the farther they have fallen (unlearning)", \
      "Zhang 2024, arXiv 2404.05868", "any completion may be unlearnt; its slope fades as it falls", \
      LABEL_NPO, .beta = 0.1, .desirable = 1, .undesirable = 1) \
    X(rebel, kernel_residual_pair, OBJECTIVE_PAIR, DATA_PAIRS, COLUMN_BIT(COLUMN_REWARD) | NEEDS_OF_RATIO, OUTPUT_LOGP, 0, \
      "the gap of log-ratios to the sampler explains the gap of rewards / beta (eta = 1 / beta); REFUEL of a single turn" DRAWN_PAIRS, \
      "Gao 2024, arXiv 2404.16767", "the sampler's own logp is the base, so a pair is exact at any lag", \
      PLAIN_FORM, .residual = {RESIDUAL_LOGP, FROM_BEHAVIOUR, .beta = 1, .factor = 1}) \
    X(copg, kernel_residual_pair, OBJECTIVE_PAIR, DATA_PAIRS, COLUMN_BIT(COLUMN_REWARD) | NEEDS_OF_REFERENCE, OUTPUT_LOGP, 0, \
      "the gap of rewards less beta u is 0 for each pair" DRAWN_PAIRS, \
      "Flet-Berliac 2024, arXiv 2406.19185", LAG_OF_SQUARES, \
      PLAIN_FORM, .residual = {RESIDUAL_REWARD, FROM_REFERENCE, .beta = 0.1, .factor = 0.5}) \
    X(tba, kernel_residual_group, OBJECTIVE_GROUP, DATA_REWARDS, COLUMN_BIT(COLUMN_REWARD) | NEEDS_OF_REFERENCE, OUTPUT_LOGP, 0, \
      "trajectory balance: u - R / beta is the same for all of a group", \
      "Bartoldson 2025, arXiv 2503.18929", LAG_OF_SQUARES, \
      PLAIN_FORM, .residual = {RESIDUAL_LOGP, FROM_REFERENCE, .beta = 0.1, .factor = 1}) \
    X(dro_v, kernel_residual_group, OBJECTIVE_GROUP, DATA_REWARDS, COLUMN_BIT(COLUMN_REWARD) | NEEDS_OF_REFERENCE, OUTPUT_LOGP, 0, \
      "R - V - beta u is 0; V is what makes a group's loss least, in place of a network's", \
      "Richemond 2024, arXiv 2405.19107", LAG_OF_SQUARES, \
      PLAIN_FORM, .residual = {RESIDUAL_REWARD, FROM_REFERENCE, .beta = 1, .factor = 0.5}) \
    X(mirror_descent, kernel_residual, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | NEEDS_OF_RATIO, OUTPUT_LOGP, 0, \
      "the log-ratio to the sampler, times beta, explains what a reward is beyond the group's mean", \
      "Kimi Team 2025 (k1.5), arXiv 2501.12599", LAG_OF_SQUARES, \
      RESIDUAL_FORM(ADVANTAGE_GROUP_MEAN), .residual = {RESIDUAL_REWARD, FROM_BEHAVIOUR, .beta = 0.1, .factor = 1}) \
    X(oapl, kernel_residual, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | NEEDS_OF_RATIO, OUTPUT_LOGP, 0, \
      "the log-ratio to the sampler, times beta, explains what a reward is beyond the group's soft value", \
      "OAPL 2026, arXiv 2602.19362", LAG_OF_SQUARES, \
      RESIDUAL_FORM(ADVANTAGE_SOFT_VALUE), .advantage_beta = 0.5, .residual = {RESIDUAL_REWARD, FROM_BEHAVIOUR, .beta = 1e-3, .factor = 1}) \
    X(sppo, kernel_residual, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | NEEDS_OF_REFERENCE, OUTPUT_LOGP, 0, \
      "u of each is the probability, less 1/2, of being better than another of its group, over beta", \
      "Wu 2024, arXiv 2405.00675", "the reference is the iterate before: the older the completions, the older it should be", \
      RESIDUAL_FORM(ADVANTAGE_PREFERENCE), .residual = {RESIDUAL_LOGP, FROM_REFERENCE, .beta = 1e-3, .factor = 1}) \
    ROW_LIST(X, exo, NEEDS_OF_REFERENCE, "reverse KL over a group, to the softmax of rewards", \
      "Ji 2024, arXiv 2402.00856", LAG_OF_LISTS, LIST_EXO, .beta = 0.5, .reward_beta = 0.5) \
    ROW_LIST(X, dpo_rw, NEEDS_OF_REFERENCE, "cross-entropy over a group, to the softmax of rewards", \
      "Ji 2024, arXiv 2402.00856", LAG_OF_LISTS, LIST_DPO_RW, .beta = 0.5, .reward_beta = 0.5) \
    ROW_LIST(X, pl_dpo, NEEDS_OF_REFERENCE, "dpo of the whole order of a group (Plackett-Luce)", \
      "Rafailov 2023, arXiv 2305.18290", LAG_OF_LISTS, LIST_PL, .beta = 0.1) \
    ROW_LIST(X, lipo, NEEDS_OF_REFERENCE, "dpo over all pairs of a group, by what swapping their ranks costs", \
      "Liu 2024, arXiv 2402.01878; beta [recalled]", LAG_OF_LISTS, LIST_LIPO, .beta = 0.05) \
    ROW_LIST(X, pro, 0, "each place of the order against all that follow, by means of logp, and the likelihood of the best", \
      "Song 2023, arXiv 2306.17492", "foreign completions are what it is for; no reference", LIST_PRO, .beta = 1, .sft = 0.05) \
    ROW_LIST(X, rrhf, 0, "means of logp in the order of rewards, and the likelihood of the best", \
      "Yuan 2023, arXiv 2304.05302", "foreign completions are what it is for; no reference", LIST_RRHF, .beta = 1, .sft = 1) \
    ROW_LIST(X, d2o, NEEDS_OF_REFERENCE | NEEDS_OF_RATIO, "the worst of a group falls, against the others since they were drawn", \
      "Duan 2024, arXiv 2403.03419 [recalled]", "the others should be drawn afresh now and then", \
      LIST_D2O, .beta = 0.1, .alpha = 0.1)
// clang-format on
