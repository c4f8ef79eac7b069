/* THE table of the words that an objective is set by: each enumerator, its word in a recipe, and what it does. Checks, docs and
 * the learner take them from here.
 *
 *     W(ENUMERATOR, word, help)
 *
 *     enum gate gate;
 *     if (gate_find("clip", &gate))                     -- false: no such word
 *         printf("%s\n", gate_name(gate));              -- "none" for an enumerator without a word
 *     WORDS(WORD_LIST(GATES))                           -- in recipe_table.h: "none|clip|cap"
 *
 * Symbols in help. A: the advantage; of a pair's token, minus the slope of the pair's loss. R: the reward. r: the ratio to older
 * weights. d = logp - reference logp.
 * w = exp(proximal logp - behaviour logp). N: unmasked tokens of the update. B: its sequences. T: unmasked tokens of a sequence.
 *
 * Words of preferences are in rl/pair_word_table.h, the making of a table in rl/word.h. Header-only: svc includes it. To add a
 * word: a row, and its case where the enumerators are read. */
#pragma once
#include "rl/pair_word_table.h"
#include "rl/word.h"

// clang-format off
/* How the ratio to older weights limits a step (rl/kernels/gate.h). */
#define GATES(W) \
    W(GATE_NONE, "none", "-A logp, no ratio: plain REINFORCE, and with A = 1 the likelihood") \
    W(GATE_CLIP, "clip", "max(-A r, -A clip(r, 1 - epsilon, 1 + epsilon_high)) (PPO, Schulman 2017); DAPO has a higher epsilon_high") \
    W(GATE_CAP,  "cap",  "-min(r, cap) A logp, r constant: no token goes dead (CISPO; truncated importance weights)") \
    W(GATE_SOFT, "soft", "-A (4/tau) sigma(tau (r - 1)), tau of sapo.temperature_pos or _neg by the sign of A: PPO's slope at r = 1, and a smooth end (SAPO)") \
    W(GATE_GEO_CLIP, "geo_clip", "-A exp(mean of the tokens' log r), each held above -epsilon (A < 0) or below epsilon_high (A >= 0) (GMPO)") \
    W(GATE_TV,   "tv",   "-A r, but nothing where A drives the token's probability further than dppo.delta from its old one (DPPO)") \
    W(GATE_TAPER, "taper", "-v A logp, v constant: topr.positive for A >= 0, r held within topr.low to topr.high for A < 0 (TOPR)") \
    W(GATE_BAND, "band", "-v A logp, v = r held within a_lol.low to a_lol.high, constant (A-LoL)") \
    W(GATE_BELL, "bell", "-r^k exp(lambda (1 - r)) A logp, the factor constant, k and lambda of learner.vespo by the sign of A (VESPO)") \
    W(GATE_KL_CAP, "kl_cap", "-max(0, 1 - log r / kl_max) A logp, the factor constant, kl_max of learner.crpg (CRPG)") \
    W(GATE_PROBABILITY, "probability", "-p A logp, p the token's probability, constant (DFT)")

/* The unit of one ratio. */
#define RATIOS(W) \
    W(RATIO_TOKEN,     "token",     "a token") \
    W(RATIO_SEQUENCE,  "sequence",  "a whole completion: the product of its tokens' ratios (RLOO in TRL)") \
    W(RATIO_GEOMETRIC, "geometric", "a whole completion: the geometric mean of its tokens' ratios (GSPO)")

/* The log-probabilities that ratios are taken to. */
#define BASES(W) \
    W(BASE_OLDER,     "older",     "as learner.ratio_to says") \
    W(BASE_BEHAVIOUR, "behaviour", "of the weights that drew the token, always") \
    W(BASE_REFERENCE, "reference", "of the reference")

/* Advantages from rewards (rl/advantages/advantage.h, rl/advantages/gae.h). ADVANTAGE_ONE, 1 for each, is imitation and
 * has no word. Those behind TO_GO compare completions of a prompt. */
#define ADVANTAGES(W) \
    W(ADVANTAGE_GAE,        "gae",        "a token's, from a critic: generalised advantage estimation (Schulman 2016), corrected for lag as in V-trace") \
    W(ADVANTAGE_RAW,        "raw",        "R") \
    W(ADVANTAGE_EMA,        "ema",        "R - running mean of the rewards of earlier rounds, by baseline_decay; in the first round its own mean") \
    W(ADVANTAGE_TO_GO,      "to_go",      "a token's: the rewards of tokens from it on, R at the last and the distance from the reference at each (REINFORCE++)") \
    W(ADVANTAGE_LOO,        "loo",        "R - mean of the others' in the group (RLOO, Ahmadian 2024)") \
    W(ADVANTAGE_GROUP_MEAN, "group_mean", "R - mean of the group (Dr. GRPO)") \
    W(ADVANTAGE_GROUP_Z,    "group_z",    "(R - mean of the group) / (standard deviation of the group + advantage_epsilon) (GRPO)") \
    W(ADVANTAGE_BATCH_Z,    "batch_z",    "(R - mean of the group) / (standard deviation of the round + advantage_epsilon) (Lite-PPO)") \
    W(ADVANTAGE_OPO,        "opo",        "R - mean of the group, each weighed by its tokens: the baseline of least variance (OPO)") \
    W(ADVANTAGE_PASS_K,     "pass_k",     "of the best of the group (best - second best) / (standard deviation of the group + advantage_epsilon), of the others 0 (Pass@k training)") \
    W(ADVANTAGE_GPG,        "gpg",        "R - mean of the group, times the round's completions over those of groups whose rewards differ (GPG)") \
    W(ADVANTAGE_MAXRL,      "maxrl",      "(R - mean of the group) / (mean of the group + advantage_epsilon); 0 where the mean is not above 0 (MaxRL)") \
    W(ADVANTAGE_SHIFTED,    "shifted",    "R - (mean of the group + asymre.delta_v): equal rewards train, too (AsymRE)") \
    W(ADVANTAGE_SOFT_VALUE, "soft_value", "R - beta log mean exp(R / beta) of the group, beta of advantage_beta (OAPL, A*-PO)") \
    W(ADVANTAGE_ESS,        "ess",        "R - mean of the group, each weighed by its squared importance weight and its tokens, which stand for the squared norm of its gradient (VCPO)") \
    W(ADVANTAGE_GREEDY,     "greedy",     "R - R of the group's last completion, which is greedy (generator.greedy_baseline) and trains nothing (ReMax)") \
    W(ADVANTAGE_MULTI,      "multi",      "the weighted sum of each scorer's (score - mean) / (standard deviation + advantage_epsilon) in the group, then the same over the round (GDPO)") \
    W(ADVANTAGE_PREFERENCE, "preference", "P - 1/2, P the mean over the others of the group of sigma(R - theirs) (SPPO)")

/* Weights for the gap between the policy that sampled and the one that ratios are taken to (rl/kernels/correction.h). */
#define CORRECTIONS(W) \
    W(CORRECTION_NONE,      "none",      "1") \
    W(CORRECTION_TIS_TOKEN, "tis_token", "min(w, high): truncated importance weights; a high limit is decoupled PPO") \
    W(CORRECTION_TIS_SEQ,   "tis_seq",   "the same of the product over the completion") \
    W(CORRECTION_MIS_TOKEN, "mis_token", "w within low to high, else 0: masked importance weights (IcePop)") \
    W(CORRECTION_MIS_SEQ,   "mis_seq",   "the same of the product over the completion") \
    W(CORRECTION_GEO_MASK,  "geo_mask",  "1 where the geometric mean over the completion is within low to high, else 0") \
    W(CORRECTION_GEO_SEQ,   "geo_seq",   "the geometric mean of w over the completion, up to high: safe for long ones, no true importance weight")

/* Completions, or tokens, that a distance from those who drew them leaves out, with divisors as if they were there. q = exp(x),
 * x = w's logarithm, or without ratio_to: proximal that of r. */
#define MASKS(W) \
    W(MASK_NONE,    "none",    "none is left out") \
    W(MASK_GEO,     "geo",     "completions whose geometric mean of q is not within low to high (SkyRL, verl)") \
    W(MASK_K3,      "k3",      "completions whose mean of q - 1 - x is above high (verl)") \
    W(MASK_OUTLIER, "outlier", "completions with a token whose q is not within low to high (SkyRL)") \
    W(MASK_OPSM,    "opsm",    "completions with A < 0 whose mean of behaviour logp - logp is above high (DeepSeek-V3.2)") \
    W(MASK_M2,      "m2",      "the round's tokens with the largest x^2, until the mean of the others is at most high; needs ratio_to: proximal (M2PO)")

/* The completions of a group that are trained; advantages are made of all. With replacement: as many as there are, drawn from
 * run.seed. */
#define SELECTIONS(W) \
    W(SELECT_ALL,        "all",        "all of them") \
    W(SELECT_BEST,       "best",       "the best; of equal ones the first (best-of-n, RAFT)") \
    W(SELECT_THRESHOLD,  "threshold",  "those whose reward is above select.above (ReST)") \
    W(SELECT_EXTREMES,   "extremes",   "the best and the worst; neither where they are equal") \
    W(SELECT_POWER,      "power",      "with replacement, each by its |R|^select.power (PF-PPO)") \
    W(SELECT_MAX_MIN,    "max_min",    "with replacement, the best or the worst (PF-PPO)") \
    W(SELECT_MAX_RANDOM, "max_random", "with replacement, the best by 0.4, else any of the others (PF-PPO)")

/* How a step shrinks where the importance weights of whole completions say little: s = effective sample size / base. */
#define STEP_RULES(W) \
    W(STEP_FULL,   "none",   "it does not") \
    W(STEP_LINEAR, "linear", "learning rate times min(1, s) (VCPO)") \
    W(STEP_ROOT,   "sqrt",   "learning rate times min(1, sqrt(s)) (VCPO)")

/* How losses of tokens become one number (rl/kernels/reduce.h): what each is multiplied by. */
#define REDUCTIONS(W) \
    W(REDUCE_TOKEN_MEAN,          "token_mean",          "1/N: DAPO, PPO in verl and OpenRLHF, SFT") \
    W(REDUCE_SEQ_MEAN_TOKEN_MEAN, "seq_mean_token_mean", "1/(B T): the GRPO paper, GSPO") \
    W(REDUCE_SEQ_MEAN_TOKEN_SUM,  "seq_mean_token_sum",  "1/B: REINFORCE, RLOO: log-probabilities of whole completions") \
    W(REDUCE_CONST_NORM,          "const_norm",          "1/(B reduction_length): Dr. GRPO as in TRL") \
    W(REDUCE_GROUP_LENGTH,        "group_length",        "1/(B mean T of its group) (PipelineRL)")

/* Estimators of the KL divergence from the reference (rl/kl.h). The loss follows an estimator's slope s: on policy the mean of
 * s grad logp. The reward follows its value v: on policy the mean of v grad logp. Where v is as high on either side of d = 0, it
 * pays for distance from the reference and does not pull towards it. */
#define KLS(W) \
    W(KL_K1,      "k1",  "d. Loss: not allowed, its slope 1 has no effect on average. Reward: the gradient of the reverse KL, KL(policy, reference)") \
    W(KL_ABS,     "abs", "|d|. Loss: the gradient of twice the total variation. Reward: pays for distance on either side, pulls to none") \
    W(KL_K2,      "k2",  "d^2/2. Loss: the gradient of the reverse KL. Reward: pays for distance on either side, pulls to none") \
    W(KL_K3,      "k3",  "exp(-d) - 1 + d, not negative, of low variance. Loss: the gradient of the forward KL, KL(reference, policy). " \
                         "Reward: that of the reverse less that of the forward KL, which cancel near the reference") \
    W(KL_K3_PLUS, "k3+", "the value of k3 with the slope of k2 (verl's straight-through). Loss: the gradient of the reverse KL. " \
                         "Reward: not allowed, it would be k3") \
    W(KL_K1_PLUS, "k1+", "the value of k1 with the slope of k2 (verl's straight-through; its k2+ is k2). Loss: the gradient of the reverse KL. " \
                         "Reward: not allowed, it would be k1") \
    W(KL_SCORE, "score", "d times logp, d constant (Nash-MD). Loss: the slope of k2, the gradient of the reverse KL. Reward: not allowed") \
    W(KL_K3_UNBIASED, "k3_unbiased", "r times k3: exact for samples of the older weights (DeepSeek-V3.2). Loss: r d, the gradient of the reverse KL. " \
                         "Reward: not allowed")
// clang-format on

enum gate { GATES(WORD_ENUM) };
enum ratio { RATIOS(WORD_ENUM) };
enum ratio_base { BASES(WORD_ENUM) };
enum advantage { ADVANTAGE_ONE, ADVANTAGES(WORD_ENUM) };
enum correction { CORRECTIONS(WORD_ENUM) };
enum mask { MASKS(WORD_ENUM) };
enum selection { SELECTIONS(WORD_ENUM) };
enum step_rule { STEP_RULES(WORD_ENUM) };
enum reduce { REDUCTIONS(WORD_ENUM) };
enum kl { KLS(WORD_ENUM) };
WORD_TYPE(gate, GATES)
WORD_TYPE(ratio, RATIOS)
WORD_TYPE(ratio_base, BASES)
WORD_TYPE(advantage, ADVANTAGES)
WORD_TYPE(correction, CORRECTIONS)
WORD_TYPE(mask, MASKS)
WORD_TYPE(selection, SELECTIONS)
WORD_TYPE(step_rule, STEP_RULES)
WORD_TYPE(reduce, REDUCTIONS)
WORD_TYPE(kl, KLS)
