/* The part of the table of options that sets objectives on preferences: pairs, labels, lists and
 * residuals. recipe_table.h includes it, and has the form of a row. */
#pragma once

// clang-format off
#define RECIPE_DPO(X, C, G) \
    X(number_or_default, beta, "default", LIVE, ABOVE(0, 1e3), "factor of the implicit reward, beta * (logp - reference logp); orpo: of its loss; ipo: tau") \
    X(word,   loss_type, "default", FIXED, WORDS(WORD_LIST_AFTER("default", PAIR_LOSSES)), "loss as a function of the difference of implicit rewards") \
    X(number_or_default, label_smoothing, "default", LIVE, BELOW(0, 0.5), "probability that a pair is the wrong way round (sigmoid, sigmoid_norm, robust, exo_pair, aot, aot_unpaired)") \
    X(number, margin, "0.0", LIVE, FROM(0, 1e6), "difference above which two rewards make a pair; a list needs one, too") \
    C(ties, recipe_ties, "skip", FIXED, "skip|first", "groups without such a pair: not trained, or the first and the last completion as if they differed") \
    X(word,   f_divergence_type, "default", FIXED, WORDS("default|reverse_kl|forward_kl|js_divergence|alpha_divergence"), "divergence from the reference that the pairs' scores come from") \
    X(number_or_default, f_alpha_divergence_coef, "default", LIVE, FROM(0, 1e3), "its alpha (f_divergence_type: alpha_divergence)") \
    X(number_or_default, ld_alpha, "default", LIVE, FROM(0, 1), "weight of tokens beyond the shorter completion's length (ld_dpo)") \
    X(number_or_default, alpha, "default", LIVE, FROM(0, 1e3), "bend of the reward (alphapo)") \
    X(number_or_default, simpo_gamma, "default", LIVE, FROM(0, 1e3), "distance by which z has to be ahead (simpo, alphapo)") \
    X(number_or_default, length_alpha, "default", LIVE, FROM(0, 1e3), "added to z for each token that the chosen has more (r_dpo)") \
    X(number_or_default, dpop_lambda, "default", LIVE, FROM(0, 1e6), "penalty of a chosen one below the reference (dpop)") \
    X(number_or_default, discopop_tau, "default", LIVE, ABOVE(0, 1e6), "width of the blend (loss_type: discopop)") \
    X(number_or_default, rpo_alpha, "default", LIVE, FROM(0, 1e6), "factor of the chosen one's negative log-likelihood (rpo; cpo_alpha of cpo; slic)") \
    X(number_or_default, xpo_alpha, "default", LIVE, FROM(0, 1e6), "factor of the rejected one's log-probability (xpo)") \
    X(number_or_default, beta_adapt, "default", LIVE, FROM(0, 1e3), "how much beta follows the gap of the update (beta_dpo)") \
    X(number_or_default, beta_drop, "default", LIVE, BELOW(0, 1), "share of an update's pairs that is left out, the farthest from the running gap (beta_dpo)") \
    X(word,   anchor, "default", FIXED, WORDS(WORD_LIST_AFTER("default", ANCHORS)), "constant that implicit rewards are compared with (loss_type: bco_pair)")

#define RECIPE_KTO(X, C, G) \
    X(number_or_default, beta, "default", LIVE, ABOVE(0, 1e3), "factor of the implicit reward") \
    X(number_or_default, desirable_weight, "default", LIVE, FROM(0, 1e6), "factor of desirable completions") \
    X(number_or_default, undesirable_weight, "default", LIVE, FROM(0, 1e6), "factor of undesirable completions") \
    X(word,   anchor, "default", FIXED, WORDS(WORD_LIST_AFTER("default", ANCHORS)), "constant that implicit rewards are compared with") \
    X(word,   rule, "default", FIXED, WORDS(WORD_LIST_AFTER("default", LABEL_RULES)), "which completions of a group are desirable") \
    X(number, threshold, "0.0", LIVE, FROM(-1e6, 1e6), "reward above which a completion is desirable (rule: threshold)")

#define RECIPE_LISTWISE(X, C, G) \
    X(number_or_default, beta, "default", LIVE, ABOVE(0, 1e3), "factor of the implicit reward (beta_pi of exo)") \
    X(number_or_default, reward_beta, "default", LIVE, ABOVE(0, 1e6), "temperature of rewards (exo, dpo_rw)") \
    X(number_or_default, sft_coef, "default", LIVE, FROM(0, 1e6), "factor of the best one's negative log-likelihood (pro, rrhf)") \
    X(number_or_default, alpha, "default", LIVE, ABOVE(0, 1e3), "factor of the worst one's implicit reward (d2o)")

#define RECIPE_RESIDUAL(X, C, G) \
    X(number_or_default, beta, "default", LIVE, ABOVE(0, 1e6), "divisor of rewards, or factor of log-ratios: beta (tba, copg, sppo), beta2 (oapl), tau (dro_v), 1/eta (rebel)")
// clang-format on
