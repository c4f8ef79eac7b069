/* Names of policy gradients, of imitation and of KL terms. */
#include "base/mem.h"
#include "check/check.h"
#include <string.h>

#define A COLUMN_BIT(COLUMN_ADVANTAGE)
#define O COLUMN_BIT(COLUMN_PROXIMAL_LOGP)
#define B COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP)
#define F COLUMN_BIT(COLUMN_REFERENCE_LOGP)

/* The term of KL alone. */
static err_t nothing_else(struct check_case *it)
{
    memset(it->update->at[COLUMN_ADVANTAGE], 0,
           it->update->sequences * sizeof *it->update->at[COLUMN_ADVANTAGE]);
    return OK;
}

#define TOKEN_MEAN SET(reduce, REDUCE_TOKEN_MEAN)
#define CLIP_OF(low, high)                                                                         \
    SET(gate.gate, GATE_CLIP), SCALED(gate.epsilon_low, low, 1, 0),                                \
        SCALED(gate.epsilon_high, high, 1, 0)
#define CLIP_2 SET(gate.gate, GATE_CLIP), SET(gate.epsilon_low, 0.2), SET(gate.epsilon_high, 0.2)
#define KL_ALONE(estimator)                                                                        \
    SET(gate.gate, GATE_NONE), SET(kl_coef, 1), SET(kl, estimator), TOKEN_MEAN

static const struct check_key keys[] = {
    {"ppo_clip(eps=#) token-mean", "grpo", CHECK_SEQUENCES, A | O, {CLIP_OF(0, 0), TOKEN_MEAN}},
    {"ppo_dualclip(eps=#,c=#) token-mean",
     "grpo",
     CHECK_SEQUENCES,
     A | O,
     {CLIP_OF(0, 0), ARG(gate.dual, 1), TOKEN_MEAN}},
    {"ppo_clip seq-mean-token-mean (GRPO, no KL)", "grpo", CHECK_SEQUENCES, A | O, {CLIP_2}},
    {"ppo_clip vs behaviour (bypass)", "grpo", CHECK_SEQUENCES, A | B, {CLIP_2, TOKEN_MEAN}},
    {"grpo + #*k3 seq-mean-token-mean",
     "grpo",
     CHECK_SEQUENCES,
     A | O | F,
     {CLIP_2, ARG(kl_coef, 0), SET(kl, KL_K3)}},
    {"kl k1 token-mean", "grpo", CHECK_SEQUENCES, A | F, {KL_ALONE(KL_K1)}, nothing_else},
    {"kl k2 token-mean", "grpo", CHECK_SEQUENCES, A | F, {KL_ALONE(KL_K2)}, nothing_else},
    {"kl k3 token-mean", "grpo", CHECK_SEQUENCES, A | F, {KL_ALONE(KL_K3)}, nothing_else},
    {"tis C=# x ppo_clip token-mean",
     "grpo",
     CHECK_SEQUENCES,
     A | O | B,
     {CLIP_2, TOKEN_MEAN, SET(correction.correction, CORRECTION_TIS_TOKEN),
      ARG(correction.high, 0)}},
    {"mis [#,#] x ppo_clip token-mean",
     "grpo",
     CHECK_SEQUENCES,
     A | O | B,
     {CLIP_2, TOKEN_MEAN, SET(correction.correction, CORRECTION_MIS_TOKEN), ARG(correction.low, 0),
      ARG(correction.high, 1)}},
    {"rloo proximal seq-ratio clip # (mean over seqs)",
     "rloo",
     CHECK_SEQUENCES,
     A | O,
     {CLIP_OF(0, 0), SET(ratio, RATIO_SEQUENCE)}},
    {"sft token-mean", "sft", CHECK_SEQUENCES, 0, {TOKEN_MEAN}},
};

const struct check_key *check_policy_key(size_t i)
{
    return i < sizeof keys / sizeof *keys ? &keys[i] : NULL;
}
