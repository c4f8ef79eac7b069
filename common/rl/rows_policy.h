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
 *   sft   likelihood of the targets: every logp weighs -1/N (token_mean).
 *
 * Where authors left a setting open, or published several, the row has the one that help, source or a note here names. cispo: TRL
 * holds the ratio at epsilon_high itself, others at 1 + epsilon_high; cap is the limit of the ratio. ma_rlhf: the reward of a
 * macro action is the sum of its tokens', as in the paper. m2po: its ratio is without a limit, as the mask is one. */
#pragma once

// clang-format off
#define ROWS_POLICY(X) \
    X(rloo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE, the others of the group as baseline, ratios clipped", \
      "Ahmadian 2024, arXiv 2402.14740", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_LOO, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(rloo_sequence, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the others of the group as baseline, one clipped ratio for a completion: RLOO in TRL, proximal RLOO", \
      "Ahmadian 2024, arXiv 2402.14740; the clip: Noukhovitch 2024, arXiv 2410.18252", \
      "exact inside the clip, which completions of more than a few dozen tokens leave at once", \
      .advantage = ADVANTAGE_LOO, .ratio = RATIO_SEQUENCE, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(grpo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "rewards normalised within the group, ratios clipped", \
      "Shao 2024 (DeepSeekMath), arXiv 2402.03300", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3) \
    X(dr_grpo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "GRPO without the division by the standard deviation and by lengths", \
      "Liu 2025, arXiv 2503.20783", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_GROUP_MEAN, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_CONST_NORM, .reduce_length = 256, .kl = KL_K3) \
    X(dapo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "GRPO with a higher upper clip and a mean over tokens; its filters are learner.filter, its penalty on length the scorer's", \
      "Yu 2025, arXiv 2503.14476", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.28, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(lite_ppo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the mean of the group, the standard deviation of the round, a mean over tokens", \
      "Liu 2025, arXiv 2508.08221", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_BATCH_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(opo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the group's mean by tokens as baseline, which has the least variance", \
      "Hao 2025, arXiv 2505.23585 [recalled]", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_OPO, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(gpg, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the mean of the group as baseline, scaled up by what groups without a difference leave out; no ratio", \
      "Chu 2025, arXiv 2504.02546 [recalled]", \
      "no correction: biased where older weights drew the completions", \
      .advantage = ADVANTAGE_GPG, .ratio = RATIO_TOKEN, \
      .gate = {GATE_NONE, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(pass_k, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the best of a group alone, by how far it is ahead of the second", \
      "Chen 2025 (Pass@k training), arXiv 2508.10751 [recalled]", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_PASS_K, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(maxrl, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the difference from the mean of the group over that mean: rewards are not negative", \
      "MaxRL [recalled]", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_MAXRL, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(gdpo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "each scorer's scores normalised within the group, then added, then normalised over the round", \
      "GDPO [recalled]", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_MULTI, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3) \
    X(gspo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "GRPO with one clipped ratio for a completion, the geometric mean of its tokens'", \
      "Zheng 2025, arXiv 2507.18071", \
      "stable for long completions and biased; its clip is narrow, so stale completions go dead first: widen epsilon", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_GEOMETRIC, \
      .gate = {GATE_CLIP, .epsilon_low = 3e-4, .epsilon_high = 4e-4, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3) \
    X(gmpo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the geometric mean of a completion's ratios, each held from the side that its advantage drives it to", \
      "Zhao 2025, arXiv 2507.20673 [recalled]", \
      "as gspo; a token that is held goes dead, not its completion", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_GEOMETRIC, \
      .gate = {GATE_GEO_CLIP, .epsilon_low = 0.4, .epsilon_high = 0.4, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3) \
    X(sapo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "GRPO with a smooth gate in place of the clip", \
      "Gao 2025, arXiv 2511.20347 [recalled]", \
      "the slope of a token falls smoothly to 0 as its ratio leaves 1", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_SOFT, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .temperature = {1, 1.05}}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3) \
    X(cispo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE weighed by a capped ratio: every token keeps a slope; the cap is of the ratio itself, as in TRL", \
      "Chen 2025 (MiniMax-M1), arXiv 2506.13585", \
      "truncated importance weights: bounded, biased low, no token goes dead", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CAP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 5}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(aipo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE weighed by a capped ratio to those that drew the token, always", \
      "Wu 2025 (LlamaRL), arXiv 2505.24034 [recalled]", \
      "truncated importance weights to the behaviour policy: bounded, no token goes dead", \
      .advantage = ADVANTAGE_GROUP_MEAN, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CAP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .base = BASE_BEHAVIOUR}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(vespo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE weighed by a bell around the completion's ratio of 1", \
      "VESPO, as TRL has it [recalled]", \
      "a soft filter of completions: the weight of long, stale ones goes to 0", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_SEQUENCE, \
      .gate = {GATE_BELL, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .base = BASE_BEHAVIOUR, .k = {2, 3}, .lambda = {3, 2}}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(dppo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "ratios to those that drew the token, which stop where its probability has moved too far; a pull back to them", \
      "DPPO as in prime-rl; the pull: Kimi K2.5", \
      "made for always stale data: needs the behaviour policy alone, and is lenient to rare tokens", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_TV, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .base = BASE_BEHAVIOUR, .delta = 0.2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, .behaviour_coef = 1e-3) \
    X(tinker_dro, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE and a pull back to those that drew the token", \
      "Tinker cookbook (DRO)", \
      "no ratio: the pull alone holds the policy near older weights", \
      .advantage = ADVANTAGE_GROUP_MEAN, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_NONE, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, .behaviour_coef = 0.05) \
    X(topr, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE whose worse completions count by their ratio, at most 1, and the better ones in full", \
      "Le Roux 2025, arXiv 2503.14286", \
      "stable at any lag: the better completions are imitated, the worse fade once they are unlikely", \
      .advantage = ADVANTAGE_GROUP_MEAN, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_SEQUENCE, \
      .gate = {GATE_TAPER, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .base = BASE_BEHAVIOUR, .positive = 1, .low = 0, .high = 1}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(asymre, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE with a baseline below the mean of the group, and no ratio", \
      "Arnal 2025, arXiv 2506.20520", \
      "safe at any lag while the baseline is below the behaviour policy's mean reward", \
      .advantage = ADVANTAGE_SHIFTED, .advantage_shift = -0.1, \
      .gate = {GATE_NONE, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(reinforce, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "rewards times the likelihood, without a baseline or a ratio; learner.advantage gives it one", \
      "Williams 1992", \
      "no correction: biased where older weights drew the completions; drives down what is bad without an end", \
      .advantage = ADVANTAGE_RAW, \
      .gate = {GATE_NONE, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(remax, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE with the reward of the greedy completion as baseline, which generator.greedy_baseline draws", \
      "Li 2023, arXiv 2310.10505", \
      "no correction: biased where older weights drew the completions; the baseline ages, too, and stays unbiased", \
      .advantage = ADVANTAGE_GREEDY, \
      .gate = {GATE_NONE, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(reinforce_plus_plus, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_TOKEN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "rewards of tokens from each on, normalised over the round, ratios clipped; no critic, and one completion is enough", \
      "Hu 2025, arXiv 2501.03262", \
      "ratios to the behaviour policy correct each token until the clip stops it; rounds mix versions, and are normalised together", \
      .advantage = ADVANTAGE_TO_GO, .whiten = true, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .gae = {.gamma = 1}) \
    X(reinforce_plus_plus_baseline, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "the difference from the mean of the group, normalised over the round's tokens, ratios clipped", \
      "Hu 2025, arXiv 2501.03262", \
      "ratios to the behaviour policy correct each token until the clip stops it", \
      .advantage = ADVANTAGE_GROUP_MEAN, .whiten = true, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K2) \
    X(a_lol, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP, FIGURES_OF_GATE, \
      "better completions alone, weighed by their ratio to the reference, within limits", \
      "Baheti 2023, arXiv 2305.14718", \
      "made for data of any policy: ratios are to the reference", \
      .advantage = ADVANTAGE_GROUP_MEAN, .advantage_epsilon = ADVANTAGE_EPSILON, .positive_only = true, .ratio = RATIO_SEQUENCE, \
      .gate = {GATE_BAND, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .base = BASE_REFERENCE, .low = 0.1, .high = 1.9}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(crpg, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP, FIGURES_OF_GATE, \
      "completions weighed down the further they are from the reference, and left out beyond a limit", \
      "Xu 2024 (CGPO), arXiv 2409.20370 [recalled]", \
      "very stale completions far from the reference weigh 0; no other correction", \
      .advantage = ADVANTAGE_GROUP_MEAN, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_SEQUENCE, \
      .gate = {GATE_KL_CAP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .base = BASE_REFERENCE, .kl_max = 10}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_K3) \
    X(nash_md, kernel_policy, OBJECTIVE_SEQUENCE, DATA_MIXTURE, COLUMN_BIT(COLUMN_ADVANTAGE) | COLUMN_BIT(COLUMN_REFERENCE_LOGP), OUTPUT_LOGP, FIGURES_OF_GATE, \
      "how much likelier than half a completion beats one of the mixture, and each token's distance from the reference", \
      "Munos 2023, arXiv 2312.00886", \
      "an estimate on policy: stale completions bias it", \
      .advantage = ADVANTAGE_RAW, \
      .gate = {GATE_NONE, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .reduce = REDUCE_SEQ_MEAN_TOKEN_SUM, .kl = KL_SCORE, .kl_coef = 0.1) \
    X(decoupled_ppo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | NEEDS_OF_CORRECTION, OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "ratios clipped around the round's first weights, tokens weighed by how much likelier these draw them", \
      "Hilton 2021, arXiv 2110.00641; Fu 2025 (AReaL), arXiv 2505.24298", \
      "the weight corrects the lag and the clip the step: measured to lag 8 without a loss", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 5}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(intellect_2, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "GRPO whose ratios are at most 4 where a completion is worse than the others", \
      "Prime Intellect 2025 (INTELLECT-2), arXiv 2505.07291 [recalled]", \
      "ratios to the behaviour policy correct each token until the clip stops it, on both sides", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2, .dual = 4}, \
      .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(m2po, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | NEEDS_OF_CORRECTION, OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "REINFORCE weighed by the ratio, without the round's tokens of the largest distance from those that drew them", \
      "Zheng 2025, arXiv 2510.01161", \
      "the mask holds the weights' second moment: reported stable 256 updates behind", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CAP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 1e6, .base = BASE_BEHAVIOUR}, \
      .mask = {MASK_M2, .high = 0.04}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(grpo_v3_2, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE), OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "GRPO without worse completions that the policy has left, and a KL term that is exact off policy", \
      "DeepSeek-V3.2, arXiv 2512.02556 [recalled]", \
      "ratios to the behaviour policy correct each token until the clip stops it; the mask leaves out what is bad and stale", \
      .advantage = ADVANTAGE_GROUP_Z, .advantage_epsilon = ADVANTAGE_EPSILON, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .mask = {MASK_OPSM, .high = 0.5}, .reduce = REDUCE_SEQ_MEAN_TOKEN_MEAN, .kl = KL_K3_UNBIASED) \
    X(vcpo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, COLUMN_BIT(COLUMN_ADVANTAGE) | NEEDS_OF_CORRECTION, OUTPUT_LOGP, FIGURES_OF_POLICY, \
      "a baseline of least variance under importance weights, capped ratios, and a step that shrinks with the effective sample size", \
      "VCPO 2026, arXiv 2602.17616", \
      "the step adapts to staleness (learner.ess_step)", \
      .advantage = ADVANTAGE_ESS, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 2}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .step = {STEP_LINEAR, 1}) \
    X(ppo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, NEEDS_OF_GAE, OUTPUT_LOGP | OUTPUT_VALUE, FIGURES_OF_POLICY | FIGURES_OF_LAG | FIGURES_OF_VALUES, \
      "a critic's advantages for each token, ratios clipped; a token that older weights drew counts by its importance weight", \
      "Schulman 2017, arXiv 1707.06347; weights of V-trace: Espeholt 2018, arXiv 1802.01561", \
      "truncated importance weights correct advantages, targets and each token's loss once", \
      .advantage = ADVANTAGE_GAE, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 1}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .gae = {.gamma = 1, .lambda = 0.95, .c_bar = 1, .rho_bar = 1, .whiten_advantages = true}, \
      .value = {.coef = 1, .clip = 0.2}) \
    X(ma_rlhf, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, NEEDS_OF_GAE, OUTPUT_LOGP | OUTPUT_VALUE, FIGURES_OF_POLICY | FIGURES_OF_LAG | FIGURES_OF_VALUES, \
      "PPO whose actions are runs of tokens, which share a value, a reward and an advantage", \
      "Chai 2024, arXiv 2410.02743", \
      "truncated importance weights correct advantages, targets and each token's loss once", \
      .advantage = ADVANTAGE_GAE, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 1}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .gae = {.gamma = 1, .lambda = 0.95, .c_bar = 1, .rho_bar = 1, .whiten_advantages = true, .macro = 5}, \
      .value = {.coef = 1, .clip = 0.2}) \
    X(pf_ppo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, NEEDS_OF_GAE, OUTPUT_LOGP | OUTPUT_VALUE, FIGURES_OF_POLICY | FIGURES_OF_LAG | FIGURES_OF_VALUES, \
      "PPO on the best and the worst of a group alone, as often as it has completions", \
      "Shen 2024, arXiv 2409.06957", \
      "truncated importance weights correct advantages, targets and each token's loss once", \
      .advantage = ADVANTAGE_GAE, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 1}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .gae = {.gamma = 1, .lambda = 0.95, .c_bar = 1, .rho_bar = 1, .whiten_advantages = true}, \
      .select = {SELECT_MAX_MIN}, .value = {.coef = 1, .clip = 0.2}) \
    X(vapo, kernel_policy, OBJECTIVE_SEQUENCE, DATA_REWARDS, NEEDS_OF_GAE, OUTPUT_LOGP | OUTPUT_VALUE, FIGURES_OF_POLICY | FIGURES_OF_LAG | FIGURES_OF_VALUES, \
      "PPO with a lambda that grows with the completion, a higher upper clip, and the likelihood of good completions", \
      "Yue 2025, arXiv 2504.05118", \
      "truncated importance weights correct advantages, targets and each token's loss once", \
      .advantage = ADVANTAGE_GAE, .ratio = RATIO_TOKEN, \
      .gate = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.28, .cap = 2}, \
      .correction = {CORRECTION_TIS_TOKEN, .high = 1}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, .nll = {.coef = 0.1, .reduce = REDUCE_TOKEN_MEAN}, \
      .gae = {.gamma = 1, .lambda = 1, .c_bar = 1, .rho_bar = 1, .whiten_advantages = true, .lambda_alpha = 0.05}, \
      .value = {.coef = 1, .clip = 0.2}) \
    X(sft, kernel_policy, OBJECTIVE_TOKEN, DATA_DEMONSTRATIONS, 0, OUTPUT_LOGP, 0, \
      "likelihood of the targets", \
      "maximum likelihood", \
      "any policy's answers are valid, as no ratio is taken", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(dft, kernel_policy, OBJECTIVE_TOKEN, DATA_DEMONSTRATIONS, 0, OUTPUT_LOGP, 0, \
      "likelihood of the targets, each token weighed by its probability", \
      "Wu 2025, arXiv 2508.05629", \
      "any policy's answers are valid, as no ratio is taken", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_PROBABILITY}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3) \
    X(best_of_n, kernel_policy, OBJECTIVE_TOKEN, DATA_REWARDS, 0, OUTPUT_LOGP, 0, \
      "likelihood of the best of a group: best-of-n, RAFT, rejection sampling", \
      "Dong 2023 (RAFT), arXiv 2304.06767", \
      "any policy's answers are valid, as no ratio is taken", \
      .advantage = ADVANTAGE_ONE, .gate = {GATE_NONE}, .reduce = REDUCE_TOKEN_MEAN, .kl = KL_K3, \
      .select = {SELECT_BEST})
// clang-format on
