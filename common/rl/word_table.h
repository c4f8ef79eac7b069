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
    W(GATE_CAP,  "cap",  "-min(r, cap) A logp, r constant: no token goes dead (CISPO; truncated importance weights)")

/* The unit of one ratio. */
#define RATIOS(W) \
    W(RATIO_TOKEN,     "token",     "a token") \
    W(RATIO_SEQUENCE,  "sequence",  "a whole completion: the product of its tokens' ratios (RLOO in TRL)") \
    W(RATIO_GEOMETRIC, "geometric", "a whole completion: the geometric mean of its tokens' ratios (GSPO)")

/* Advantages from rewards (rl/advantages/advantage.h, rl/advantages/gae.h). ADVANTAGE_ONE, 1 for each, is imitation and has no word. Those behind RAW
 * compare completions of a prompt. */
#define ADVANTAGES(W) \
    W(ADVANTAGE_GAE,        "gae",        "a token's, from a critic: generalised advantage estimation (Schulman 2016), corrected for lag as in V-trace") \
    W(ADVANTAGE_RAW,        "raw",        "R") \
    W(ADVANTAGE_LOO,        "loo",        "R - mean of the others' in the group (RLOO, Ahmadian 2024)") \
    W(ADVANTAGE_GROUP_MEAN, "group_mean", "R - mean of the group (Dr. GRPO)") \
    W(ADVANTAGE_GROUP_Z,    "group_z",    "(R - mean of the group) / (standard deviation of the group + advantage_epsilon) (GRPO)") \
    W(ADVANTAGE_BATCH_Z,    "batch_z",    "(R - mean of the group) / (standard deviation of the round + advantage_epsilon) (Lite-PPO)")

/* Weights for the gap between the policy that sampled and the one that ratios are taken to (rl/kernels/correction.h). */
#define CORRECTIONS(W) \
    W(CORRECTION_NONE,      "none",      "1") \
    W(CORRECTION_TIS_TOKEN, "tis_token", "min(w, high): truncated importance weights; a high limit is decoupled PPO") \
    W(CORRECTION_TIS_SEQ,   "tis_seq",   "the same of the product over the completion") \
    W(CORRECTION_MIS_TOKEN, "mis_token", "w within low to high, else 0: masked importance weights (IcePop)") \
    W(CORRECTION_MIS_SEQ,   "mis_seq",   "the same of the product over the completion") \
    W(CORRECTION_GEO_MASK,  "geo_mask",  "1 where the geometric mean over the completion is within low to high, else 0")

/* How losses of tokens become one number (rl/kernels/reduce.h): what each is multiplied by. */
#define REDUCTIONS(W) \
    W(REDUCE_TOKEN_MEAN,          "token_mean",          "1/N: DAPO, PPO in verl and OpenRLHF, SFT") \
    W(REDUCE_SEQ_MEAN_TOKEN_MEAN, "seq_mean_token_mean", "1/(B T): the GRPO paper, GSPO") \
    W(REDUCE_SEQ_MEAN_TOKEN_SUM,  "seq_mean_token_sum",  "1/B: REINFORCE, RLOO: log-probabilities of whole completions") \
    W(REDUCE_CONST_NORM,          "const_norm",          "1/(B reduction_length): Dr. GRPO as in TRL")

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
                         "Reward: not allowed, it would be k3")
// clang-format on

enum gate { GATES(WORD_ENUM) };
enum ratio { RATIOS(WORD_ENUM) };
enum advantage { ADVANTAGE_ONE, ADVANTAGES(WORD_ENUM) };
enum correction { CORRECTIONS(WORD_ENUM) };
enum reduce { REDUCTIONS(WORD_ENUM) };
enum kl { KLS(WORD_ENUM) };
WORD_TYPE(gate, GATES)
WORD_TYPE(ratio, RATIOS)
WORD_TYPE(advantage, ADVANTAGES)
WORD_TYPE(correction, CORRECTIONS)
WORD_TYPE(reduce, REDUCTIONS)
WORD_TYPE(kl, KLS)
