/* THE table of the words of losses on pairs, labels, lists and residuals, as rl/word_table.h is of the others; their help has its
 * symbols. u: the sum of d over a completion. S: the sum of its logp. m = S / T. R: its reward.
 *
 *     pair_loss_find("hinge", &loss); score_name(SCORE_MEAN); ...
 *
 * Header-only: svc includes it. To add a word: a row, its case where the enumerators are read, a vector. */
#pragma once
#include "rl/word.h"

// clang-format off
/* Losses on pairs (rl/kernels/pair.h), z = beta (score of the chosen - score of the rejected) and what the row adds. b and c are
 * beta u of the chosen and of the rejected. PAIR_NONE, not an objective on pairs, has no word. */
#define PAIR_LOSSES(W) \
    W(PAIR_SIGMOID, "sigmoid", "-(1 - s) log sigma(z) - s log sigma(-z), s = label_smoothing (DPO, Rafailov 2023; s > 0: cDPO)") \
    W(PAIR_HINGE,   "hinge",   "max(0, 1 - z) (SLiC's)") \
    W(PAIR_IPO,     "ipo",     "(h - 1/(2 beta))^2, h the difference of the means of d over tokens, as in TRL's DPO (IPO, Azar 2023)") \
    W(PAIR_SFT,     "sft",     "-mean of d over the tokens of the chosen: the likelihood of the best completion alone (best-of-n). TRL's sft is a mean over all tokens of a batch, which rpo_alpha is here") \
    W(PAIR_IPO_SUM, "ipo_sum", "(h - 1/(2 beta))^2, h the difference of the sums (IPO as in OpenRLHF; its beta is another than that of ipo)") \
    W(PAIR_ROBUST,  "robust",  "(-(1 - s) log sigma(z) + s log sigma(-z)) / (1 - 2 s) (Chowdhury 2024); without a lower bound") \
    W(PAIR_EXO,     "exo_pair", "KL from (sigma(z), sigma(-z)) to (1 - s, s), s = label_smoothing, 0.001 where that is 0 (Ji 2024)") \
    W(PAIR_NCA,     "nca_pair", "-log sigma(b) - 0.5 log sigma(-b) - 0.5 log sigma(-c) (Chen 2024)") \
    W(PAIR_BCO,     "bco_pair", "-log sigma(b - a) - log sigma(a - c), a as anchor says (Jung 2024)") \
    W(PAIR_SPPO,    "sppo_hard", "(u - 1/(2 beta))^2 of the chosen + (u + 1/(2 beta))^2 of the rejected (Wu 2024)") \
    W(PAIR_AOT,     "aot",     "sigmoid; the gap of logp of each pair meets the reference's gap of the same rank in the update (Melnyk 2024)") \
    W(PAIR_AOT_UNPAIRED, "aot_unpaired", "sigmoid; each chosen meets the rejected whose u has the same rank in the update (Melnyk 2024)") \
    W(PAIR_APO_ZERO, "apo_zero", "1 - sigma(b) + sigma(c): the chosen rises, the rejected falls (D'Oosterlinck 2024)") \
    W(PAIR_APO_DOWN, "apo_down", "sigma(b) + 1 - sigma(z): both fall, the rejected faster (D'Oosterlinck 2024)") \
    W(PAIR_DISCOPOP, "discopop", "(1 - g) (-log sigma(z)) + g exp(-z), g = sigma(z / discopop_tau) (Lu 2024)") \
    W(PAIR_SIGMOID_NORM, "sigmoid_norm", "sigmoid of means of d over tokens (Tulu 3)") \
    W(PAIR_EXPONENTIAL, "exponential", "exp(-z) (GPO, Tang 2024)") \
    W(PAIR_SQUARED, "squared", "(1 - z)^2 (GPO)") \
    W(PAIR_TRUNCATED, "truncated_quadratic", "max(0, 1 - z)^2 (GPO)") \
    W(PAIR_SAVAGE,  "savage",  "sigma(-z)^2 (GPO)") \
    W(PAIR_SOFT,    "soft",    "-P log sigma(z) - (1 - P) log sigma(-z), P = sigma(R of the chosen - R of the rejected) (DNO, Rosset 2024)")

/* The score of a completion (rl/preference/pair_score.h). */
#define SCORES(W) \
    W(SCORE_SUM,  "reverse_kl", "u (DPO)") \
    W(SCORE_FORWARD_KL, "forward_kl", "-exp(-u) (f-DPO, Wang 2023)") \
    W(SCORE_JS,   "js_divergence", "log sigma(u) (f-DPO)") \
    W(SCORE_ALPHA_DIVERGENCE, "alpha_divergence", "(exp((a - 1) u) - 1) / (a - 1), a = f_alpha_divergence_coef; a = 1: u (f-DPO)") \
    W(SCORE_LENGTH, "ld", "u, tokens beyond the shorter completion's length weighed by ld_alpha (LD-DPO, Liu 2024)") \
    W(SCORE_MEAN, "mean", "u / T") \
    W(SCORE_LOGP, "logp", "S (CPO, SLiC)") \
    W(SCORE_LOGP_MEAN, "logp_mean", "m (SimPO)") \
    W(SCORE_ODDS, "odds", "m - log(1 - exp m); beta weighs the loss, and z has none (ORPO)") \
    W(SCORE_ALPHA, "alpha", "(1 - exp(-a m)) / a, a = alpha; a = 0: m (AlphaPO)")

/* The divisor of the chosen completion's likelihood, where it is a term of the loss. */
#define NLLS(W) \
    W(NLL_TOKENS, "token_mean", "tokens of all chosen completions of the update") \
    W(NLL_PAIRS,  "seq_mean_token_sum", "pairs of the update")

/* A constant that beta u is compared with. */
#define ANCHORS(W) \
    W(ANCHOR_ZERO,       "zero",       "0") \
    W(ANCHOR_BATCH,      "batch",      "beta z0, z0 the mean of u over the update, not below 0: the KL from the reference where completions are on policy") \
    W(ANCHOR_MISMATCHED, "mismatched", "the same of prompts with completions of other prompts (KTO as in TRL); needs a pass more and a reference in the learner: learner.reference.kind, an adapter's base, or rlhfctl train") \
    W(ANCHOR_RUNNING,    "running",    "the mean over the updates so far, this one too, of the mean of beta u (BCO as in TRL)")

/* Losses on a completion and its label (rl/preference/label.h), x = beta u - anchor. */
#define LABEL_LOSSES(W) \
    W(LABEL_KTO, "kto", "desirable_weight (1 - sigma(x)) if desirable, undesirable_weight (1 - sigma(-x)) if not (Ethayarajh 2024); apo_zero_unpaired is anchor: zero") \
    W(LABEL_BCO, "bco", "-desirable_weight log sigma(x) if desirable, -undesirable_weight log sigma(-x) if not (Jung 2024)") \
    W(LABEL_NPO, "npo", "-(2 / beta) log sigma(-beta u) of undesirable ones; the others train nothing (Zhang 2024)")

/* Which of a group's completions are desirable. */
#define LABEL_RULES(W) \
    W(LABELS_MEAN,      "mean",      "R above the mean of the group; R below it is undesirable, and R at it has no label. A completion alone is compared with threshold") \
    W(LABELS_THRESHOLD, "threshold", "R above threshold; all others are undesirable")

/* Losses on all completions of a prompt (rl/preference/list.h), s = beta u, K of them. */
#define LIST_LOSSES(W) \
    W(LIST_EXO,    "exo",    "KL(softmax s, softmax(R / reward_beta)) (Ji 2024)") \
    W(LIST_DPO_RW, "dpo_rw", "cross-entropy of softmax s to softmax(R / reward_beta) (Ji 2024)") \
    W(LIST_PL,     "pl",     "-log of the Plackett-Luce probability of the order by R (Rafailov 2023)") \
    W(LIST_LIPO,   "lipo",   "sum over pairs of D (-log sigma(s_i - s_j)), D the change of DCG if the two swapped ranks (LiPO-lambda, Liu 2024)") \
    W(LIST_PRO,    "pro",    "softmax of t m at each place of the order by R, t the distance of rewards; and sft_coef (K - 1)^2 (-S) of the best (Song 2023)") \
    W(LIST_RRHF,   "rrhf",   "sum over pairs of max(0, m of the worse - m of the better); and sft_coef (-S) of the best (Yuan 2023)") \
    W(LIST_D2O,    "d2o",    "-log sigma(beta mean of the others' S - behaviour - alpha u of the worst) (Duan 2024) [recalled]")

/* Unit of a residual e, whose square is the loss (rl/preference/residual.h). x: log-ratio to the base; t: what it is to explain. */
#define RESIDUALS(W) \
    W(RESIDUAL_REWARD, "reward", "e = beta x - t") \
    W(RESIDUAL_LOGP,   "logp",   "e = x - t / beta")

/* The other side of log-ratios. */
#define RESIDUAL_BASES(W) \
    W(FROM_REFERENCE, "reference", "the reference's log-probability") \
    W(FROM_BEHAVIOUR, "behaviour", "that of the weights that drew the token")
// clang-format on

enum pair_loss { PAIR_NONE, PAIR_LOSSES(WORD_ENUM) };
enum score { SCORES(WORD_ENUM) };
enum nll { NLLS(WORD_ENUM) };
enum anchor { ANCHORS(WORD_ENUM) };
enum label_loss { LABEL_NONE, LABEL_LOSSES(WORD_ENUM) };
enum label_rule { LABEL_RULES(WORD_ENUM) };
enum list_loss { LIST_NONE, LIST_LOSSES(WORD_ENUM) };
enum residual { RESIDUALS(WORD_ENUM) };
enum residual_base { RESIDUAL_BASES(WORD_ENUM) };

WORD_TYPE(pair_loss, PAIR_LOSSES)
/* Whether a loss takes label_smoothing. */
static inline bool pair_loss_smooths(enum pair_loss loss)
{
    return loss == PAIR_SIGMOID || loss == PAIR_SIGMOID_NORM || loss == PAIR_ROBUST ||
           loss == PAIR_EXO || loss == PAIR_AOT || loss == PAIR_AOT_UNPAIRED;
}
WORD_TYPE(score, SCORES)
WORD_TYPE(nll, NLLS)
WORD_TYPE(anchor, ANCHORS)
WORD_TYPE(label_loss, LABEL_LOSSES)
WORD_TYPE(label_rule, LABEL_RULES)
WORD_TYPE(list_loss, LIST_LOSSES)
WORD_TYPE(residual, RESIDUALS)
WORD_TYPE(residual_base, RESIDUAL_BASES)
