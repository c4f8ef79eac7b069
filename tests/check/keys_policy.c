/* Names of policy gradients, of imitation and of KL terms. */
#include "base/mem.h"
#include "check/check.h"
#include <math.h>
#include <string.h>

#define A COLUMN_BIT(COLUMN_ADVANTAGE)
#define R COLUMN_BIT(COLUMN_REWARD)
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

/* Advantages of the file's groups, from its rewards; a sequence without a group has 0. */
static err_t from_rewards(struct check_case *it)
{
    const struct check_inputs *in = it->in;
    const size_t count = in->groups ? in->group[in->groups] : 0;
    double *advantage = it->update->at[COLUMN_ADVANTAGE];
    SCOPED_MEM double *reward = mem_array(count, sizeof *reward),
                      *is = mem_array(count, sizeof *is);
    for (size_t i = 0; i < count; i++)
        reward[i] = it->update->at[COLUMN_REWARD][in->member[i]];
    advantage_compute(
        &it->config,
        &(struct advantage_in){.groups = in->groups, .first = in->group, .reward = reward}, is);
    memset(advantage, 0, it->update->sequences * sizeof *advantage);
    for (size_t i = 0; i < count; i++)
        advantage[in->member[i]] = is[i];
    return OK;
}

/* The completions whose likelihood is a term. */
static err_t mark_good(struct check_case *it)
{
    double *imitated = columns_add(it->update, COLUMN_IMITATED);
    for (size_t i = 0; i < it->update->sequences; i++)
        imitated[i] = it->update->at[COLUMN_REWARD][i] > it->config.nll.above;
    it->totals = columns_totals(it->update);
    return OK;
}

/* Runs of n tokens have one advantage or the other. */
static err_t macro_actions(struct check_case *it)
{
    const double *number = it->args->number;
    if (!(number[0] >= 1 && number[0] <= 1e6))
        return err_new(ERR_INVALID, "a run of %g tokens; 1 to 1e6 are allowed", number[0]);
    double *advantage = columns_add(it->update, COLUMN_TOKEN_ADVANTAGE);
    const size_t *first = it->update->first, n = (size_t)number[0];
    for (size_t i = 0; i < it->update->sequences; i++)
        for (size_t t = first[i]; t < first[i + 1]; t++)
            advantage[t] = number[1 + (t - first[i]) / n % 2];
    return OK;
}

/* How likely each beats its opponent, less a half. */
static err_t win_rates(struct check_case *it)
{
    const size_t count = it->args->list[0].count, sequences = it->update->sequences;
    if (count < sequences)
        return err_new(ERR_INVALID, "%zu probabilities; %zu sequences need one each", count,
                       sequences);
    for (size_t i = 0; i < sequences; i++)
        it->update->at[COLUMN_ADVANTAGE][i] = it->args->list[0].at[i] - 0.5;
    return OK;
}

#define TOKEN_MEAN SET(reduce, REDUCE_TOKEN_MEAN)
#define CLIP_OF(low, high)                                                                         \
    SET(gate.gate, GATE_CLIP), ARG(gate.epsilon_low, low), ARG(gate.epsilon_high, high)
#define KL_ALONE(estimator)                                                                        \
    SET(gate.gate, GATE_NONE), SET(kl_coef, 1), SET(kl, estimator), TOKEN_MEAN

static const struct check_key keys[] = {
    {"ppo_clip(eps=#) token-mean", "grpo", CHECK_SEQUENCES, A | O, {CLIP_OF(0, 0), TOKEN_MEAN}},
    {"ppo_dualclip(eps=#,c=#) token-mean",
     "intellect_2",
     CHECK_SEQUENCES,
     A | O,
     {CLIP_OF(0, 0), ARG(gate.dual, 1)}},
    {"dapo_clip(#,#) token-mean", "dapo", CHECK_SEQUENCES, A | O, {CLIP_OF(0, 1)}},
    {"ppo_clip seq-mean-token-mean (GRPO, no KL)", "grpo", CHECK_SEQUENCES, A | O, {}},
    {"ppo_clip const-norm B*L, L=# (Dr.GRPO)",
     "dr_grpo",
     CHECK_SEQUENCES,
     A | O,
     {ARG(reduce_length, 0)}},
    {"ppo_clip vs behaviour (bypass)", "grpo", CHECK_SEQUENCES, A | B, {TOKEN_MEAN}},
    {"reinforce token-mean", "reinforce", CHECK_SEQUENCES, A | B, {TOKEN_MEAN}},
    {"grpo + #*k3 seq-mean-token-mean", "grpo", CHECK_SEQUENCES, A | O | F, {ARG(kl_coef, 0)}},
    {"kl k1 token-mean", "reinforce", CHECK_SEQUENCES, A | B | F, {KL_ALONE(KL_K1)}, nothing_else},
    {"kl k2 token-mean", "reinforce", CHECK_SEQUENCES, A | B | F, {KL_ALONE(KL_K2)}, nothing_else},
    {"kl k3 token-mean", "reinforce", CHECK_SEQUENCES, A | B | F, {KL_ALONE(KL_K3)}, nothing_else},
    {"kl ratio*k3 (unbiased, V3.2) token-mean",
     "grpo_v3_2",
     CHECK_SEQUENCES,
     A | O | B | F,
     {KL_ALONE(KL_K3_UNBIASED), SET(mask.mask, MASK_NONE)},
     nothing_else},
    {"cispo (cap #, upper only) token-mean", "cispo", CHECK_SEQUENCES, A | O, {ARG(gate.cap, 0)}},
    {"sapo token seq-mean", "sapo", CHECK_SEQUENCES, A | O, {}},
    {"tis C=# x ppo_clip token-mean",
     "grpo",
     CHECK_SEQUENCES,
     A | O | B,
     {TOKEN_MEAN, SET(correction.correction, CORRECTION_TIS_TOKEN), ARG(correction.high, 0)}},
    {"mis [#,#] x ppo_clip token-mean",
     "grpo",
     CHECK_SEQUENCES,
     A | O | B,
     {TOKEN_MEAN, SET(correction.correction, CORRECTION_MIS_TOKEN), ARG(correction.low, 0),
      ARG(correction.high, 1)}},
    {"decoupled ppo (exp(o-b) x clip) token-mean",
     "decoupled_ppo",
     CHECK_SEQUENCES,
     A | O | B,
     {SET(correction.high, INFINITY)}},
    {"dppo-tv(delta #)+#*(l-b)^2 token-mean",
     "dppo",
     CHECK_SEQUENCES,
     A | B,
     {ARG(gate.delta, 0), ARG(behaviour_coef, 1)}},
    {"tinker dro beta=# token-mean",
     "tinker_dro",
     CHECK_SEQUENCES,
     A | B,
     {SCALED(behaviour_coef, 0, 0.5, 0)}},
    {"aipo delta=# (min(r_b,d) sg) token-mean",
     "aipo",
     CHECK_SEQUENCES,
     A | O | B,
     {ARG(gate.cap, 0)}},
    {"rloo proximal seq-ratio clip # (mean over seqs)",
     "rloo_sequence",
     CHECK_SEQUENCES,
     A | O,
     {CLIP_OF(0, 0)}},
    {"gspo eps #/#", "gspo", CHECK_SEQUENCES, A | O, {CLIP_OF(0, 1)}},
    {"gmpo eps # one-sided, log-space",
     "gmpo",
     CHECK_SEQUENCES,
     A | O,
     {ARG(gate.epsilon_low, 0), ARG(gate.epsilon_high, 0)}},
    {"topr (a+=#, #<=rho<=# for A<0), seq-sum",
     "topr",
     CHECK_SEQUENCES,
     A | B,
     {ARG(gate.positive, 0), ARG(gate.low, 1), ARG(gate.high, 2)}},
    {"asymre dV=# (group mean baseline)",
     "asymre",
     CHECK_SEQUENCES,
     R | A | B,
     {ARG(advantage_shift, 0)},
     from_rewards},
    {"oapl beta1=# beta2=#",
     "oapl",
     CHECK_SEQUENCES,
     R | A | B,
     {ARG(advantage_beta, 0), ARG(residual.beta, 1)},
     from_rewards},
    {"vespo (k,lam)=(#,#)+/(#,#)-",
     "vespo",
     CHECK_SEQUENCES,
     A | B,
     {ARG(gate.k.pos, 0), ARG(gate.lambda.pos, 1), ARG(gate.k.neg, 2), ARG(gate.lambda.neg, 3)}},
    {"a-lol seq ratio clip # (ref), A>=0 only",
     "a_lol",
     CHECK_SEQUENCES,
     A | F,
     {SCALED(gate.low, 0, -1, 1), SCALED(gate.high, 0, 1, 1)}},
    {"crpg (KL cap #)", "crpg", CHECK_SEQUENCES, A | F, {ARG(gate.kl_max, 0)}},
    {"nash-md beta=# (P=@)", "nash_md", CHECK_SEQUENCES, A | F, {ARG(kl_coef, 0)}, win_rates},
    {"sft token-mean", "sft", CHECK_SEQUENCES, 0, {}},
    {"dft token-mean", "dft", CHECK_SEQUENCES, 0, {}},
    {"ppo + #*NLL on R># (VAPO positive NLL), token-mean",
     "grpo",
     CHECK_SEQUENCES,
     R | A | O,
     {TOKEN_MEAN, ARG(nll.coef, 0), SET(nll.reduce, REDUCE_TOKEN_MEAN), ARG(nll.above, 1)},
     mark_good},
    {"ma-rlhf n=#: ppo core, token A = macro A (# even, # odd)",
     "grpo",
     CHECK_SEQUENCES,
     A | O,
     {TOKEN_MEAN},
     macro_actions},
};

const struct check_key *check_policy_key(size_t i)
{
    return i < sizeof keys / sizeof *keys ? &keys[i] : NULL;
}
