/* Names of preferences. */
#include "base/mem.h"
#include "check/check.h"
#include "rl/kernels/coupling.h"
#include <math.h>

#define F COLUMN_BIT(COLUMN_REFERENCE_LOGP)
#define B COLUMN_BIT(COLUMN_BEHAVIOUR_LOGP)
#define R COLUMN_BIT(COLUMN_REWARD)

#define BETA(i)      ARG(pair.beta, i)
#define BETA_TENTH   SET(pair.beta, 0.1)
#define LOSS(loss_)  SET(pair.loss, loss_)
#define TOKEN_NLL(i) ARG(pair.nll, i), SET(pair.nll_mean, NLL_TOKENS)
#define PAIR_NAME(...)                                                                             \
    CHECK_PAIRS, F,                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define FREE_NAME(...)                                                                             \
    CHECK_PAIRS, 0,                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define LIST_NAME(...)                                                                             \
    CHECK_LIST, F | R,                                                                             \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* Of the one update that is checked; the name has what it takes from the others. */
static struct coupling given;

static err_t check_indices(const struct check_case *it, size_t list)
{
    for (size_t i = 0; i < it->args->list[list].count; i++) {
        const double at = it->args->list[list].at[i];
        if (!(at >= 0 && at < (double)it->update->sequences && at == floor(at)))
            return err_new(ERR_INVALID, "the name has sequence %g; the file has %zu", at,
                           it->update->sequences);
    }
    return OK;
}

/* The sequences of the name's first list are good, or bad; all others are `other`. */
static void label(struct check_case *it, double listed, double other)
{
    double *to = columns_add(it->update, COLUMN_LABEL);
    for (size_t i = 0; i < it->update->sequences; i++)
        to[i] = other;
    for (size_t i = 0; i < it->args->list[0].count; i++)
        if (it->args->list[0].at[i] < (double)it->update->sequences)
            to[(size_t)it->args->list[0].at[i]] = listed;
}

static err_t against(struct check_case *it, double anchor)
{
    given = (struct coupling){.anchor = anchor};
    it->totals.coupling = &given;
    label(it, 1, -1);
    return OK;
}

static err_t kto(struct check_case *it)
{
    return against(it, it->args->number[0] * it->args->number[1]);
}

static err_t bco(struct check_case *it)
{
    return against(it, it->args->number[1]);
}

static err_t npo(struct check_case *it)
{
    TRY(check_indices(it, 0));
    label(it, -1, 0);
    it->totals.sequences = (double)it->args->list[0].count;
    return OK;
}

/* beta is beta_0 (1 + a (gap - running gap)). */
static err_t beta_dpo(struct check_case *it)
{
    struct running running = {0};
    running_set(&running, RUNNING_pair_gap, it->args->number[2]);
    struct coupling *coupling = coupling_new(&it->config, it->update, &running);
    given = (struct coupling){.beta = coupling->beta};
    it->totals.coupling = &given;
    coupling_free(coupling);
    return OK;
}

static err_t eta(struct check_case *it)
{
    it->config.residual.beta = 1 / it->args->number[0];
    return OK;
}

static err_t dro_v(struct check_case *it)
{
    double *value = columns_add(it->update, COLUMN_VALUE);
    for (size_t t = 0; t < it->update->first[it->update->sequences]; t++)
        value[t] = it->args->number[1];
    return OK;
}

static err_t psi(struct check_case *it)
{
    if (it->args->list[0].count != it->update->sequences)
        return err_new(ERR_INVALID, "the name ranks %zu sequences; the file has %zu",
                       it->args->list[0].count, it->update->sequences);
    for (size_t i = 0; i < it->update->sequences; i++)
        it->update->at[COLUMN_REWARD][i] = it->args->list[0].at[i];
    return OK;
}

/* Sequences that the name does not have are in no list. */
static err_t d2o(struct check_case *it)
{
    const double loser = it->args->number[0];
    struct columns *update = it->update;
    TRY(check_indices(it, 0));
    if (!(loser >= 0 && loser < (double)update->sequences && loser == floor(loser)))
        return err_new(ERR_INVALID, "the name has sequence %g; the file has %zu", loser,
                       update->sequences);
    double *weight = columns_add(update, COLUMN_WEIGHT);
    for (size_t i = 0; i < update->sequences; i++)
        update->at[COLUMN_REWARD][i] = i != (size_t)loser;
    for (size_t k = 0; k <= it->args->list[0].count; k++) {
        const size_t i = (size_t)(k < it->args->list[0].count ? it->args->list[0].at[k] : loser);
        for (size_t t = update->first[i]; t < update->first[i + 1]; t++)
            weight[t] = 1;
    }
    return OK;
}

static const struct check_key keys[] = {
    {"dpo beta=#", "dpo", PAIR_NAME(BETA(0))},
    {"cdpo eps=#", "cdpo", PAIR_NAME(BETA_TENTH, ARG(pair.label_smoothing, 0))},
    {"robust dpo eps=#", "robust_dpo", PAIR_NAME(BETA_TENTH, ARG(pair.label_smoothing, 0))},
    {"hinge (SLiC/RSO-hinge) beta=#", "rso", PAIR_NAME(BETA(0))},
    {"exo_pair eps=#", "exo_pair", PAIR_NAME(BETA_TENTH, ARG(pair.label_smoothing, 0))},
    {"gpo exponential", "gpo", PAIR_NAME(BETA_TENTH, LOSS(PAIR_EXPONENTIAL))},
    {"gpo truncated quadratic", "gpo", PAIR_NAME(BETA_TENTH, LOSS(PAIR_TRUNCATED))},
    {"gpo savage", "gpo", PAIR_NAME(BETA_TENTH, LOSS(PAIR_SAVAGE))},
    {"gpo squared", "gpo", PAIR_NAME(BETA_TENTH, LOSS(PAIR_SQUARED))},
    {"discopop tau=#", "discopop", PAIR_NAME(BETA_TENTH, ARG(pair.discopop_tau, 0))},
    {"ipo sum-form tau=#", "ipo_sum", PAIR_NAME(BETA(0))},
    {"ipo length-normalised tau=#", "ipo", PAIR_NAME(BETA(0))},
    {"dpop beta=# lambda=#", "dpop", PAIR_NAME(BETA(0), ARG(pair.penalty, 1))},
    {"r-dpo beta=# alpha=# (z += alpha*(Tw-Tl))", "r_dpo", PAIR_NAME(BETA(0), ARG(pair.length, 1))},
    {"simpo beta=# gamma=#", "simpo", FREE_NAME(BETA(0), ARG(pair.gamma, 1))},
    {"cpo beta=# alpha=# (NLL token-mean over winners)", "cpo", FREE_NAME(BETA(0), TOKEN_NLL(1))},
    {"orpo lambda=# (NLL token-mean over winners)", "orpo", FREE_NAME(BETA(0))},
    {"slic-hf delta=# lambda=# (NLL winner seq-sum)", "slic",
     FREE_NAME(SCALED(pair.gamma, 0, 1, -1), ARG(pair.nll, 1))},
    {"sppo-hard beta=# (TRL)", "sppo_hard", PAIR_NAME(BETA(0))},
    {"nca_pair beta=#", "nca_pair", PAIR_NAME(BETA(0))},
    {"bco_pair beta=#", "bco_pair", PAIR_NAME(BETA(0), SET(pair.anchor, ANCHOR_ZERO))},
    {"apo_zero beta=#", "apo_zero", PAIR_NAME(BETA(0))},
    {"apo_down beta=#", "apo_down", PAIR_NAME(BETA(0))},
    {"xpo beta=# alpha=# (loser = reference sample)", "xpo",
     PAIR_NAME(BETA(0), ARG(pair.optimism, 1))},
    {"dpo + #*NLL winner (RPO/MPO), NLL token-mean", "rpo", PAIR_NAME(BETA_TENTH, TOKEN_NLL(0))},
    {"beta-dpo beta_b=#*(1+#*(mean gap-#))", "beta_dpo",
     PAIR_NAME(BETA(0), ARG(pair.adapt, 1), SET(pair.drop, 0)), beta_dpo},
    {"f-dpo forward-kl", "f_dpo", PAIR_NAME(BETA_TENTH, SET(pair.score, SCORE_FORWARD_KL))},
    {"f-dpo js", "f_dpo", PAIR_NAME(BETA_TENTH, SET(pair.score, SCORE_JS))},
    {"f-dpo alpha=#", "f_dpo",
     PAIR_NAME(BETA_TENTH, SET(pair.score, SCORE_ALPHA_DIVERGENCE), ARG(pair.alpha, 0))},
    {"ld-dpo beta=# ld_alpha=#", "ld_dpo", PAIR_NAME(BETA(0), ARG(pair.alpha, 1))},
    {"alphapo beta=# gamma=# alpha=#", "alphapo",
     FREE_NAME(BETA(0), ARG(pair.gamma, 1), ARG(pair.alpha, 2))},
    {"kto beta=# z0=# (@ desirable; @ undesirable)",
     "kto",
     CHECK_SEQUENCES,
     F,
     {ARG(label.beta, 0)},
     kto},
    {"bco unpaired beta=# delta=# (@ good)", "bco", CHECK_SEQUENCES, F, {ARG(label.beta, 0)}, bco},
    {"npo beta=# (@ forget)", "npo", CHECK_SEQUENCES, F, {ARG(label.beta, 0)}, npo},
    {"dro-v tau=# V=#", "dro_v", CHECK_SEQUENCES, F | R, {ARG(residual.beta, 0)}, dro_v},
    {"tba beta=# (VarGrad, sg mean)", "tba", CHECK_GROUPS, F | R, {ARG(residual.beta, 0)}},
    {"copg beta=#", "copg", CHECK_PAIRS, F | R, {ARG(residual.beta, 0)}},
    {"rebel eta=# vs behaviour", "rebel", CHECK_PAIRS, B | R, {SET(residual.factor, 1)}, eta},
    {"rebel 1/eta form: ((dlogratio)/eta-dR)^2, eta=#",
     "rebel",
     CHECK_PAIRS,
     B | R,
     {SET(residual.residual, RESIDUAL_REWARD)},
     eta},
    {"rrhf weight 1 (group of #, NLL best seq-sum)", "rrhf", CHECK_LIST, R, {SET(list.sft, 1)}},
    {"pro (group of #, sft #*(K-1)^2)", "pro", CHECK_LIST, R, {ARG(list.sft, 1)}},
    {"lipo-lambda beta=# psi=(@)", "lipo", LIST_NAME(ARG(list.beta, 0)), psi},
    {"exo K-way (group of #) beta_pi=# beta_r=#", "exo",
     LIST_NAME(ARG(list.beta, 1), ARG(list.reward_beta, 2))},
    {"dpo-rw K-way CE (group of #) beta_pi=# beta_r=#", "dpo_rw",
     LIST_NAME(ARG(list.beta, 1), ARG(list.reward_beta, 2))},
    {"pl-dpo (Plackett-Luce, group of #) beta=#", "pl_dpo", LIST_NAME(ARG(list.beta, 1))},
    {"d2o (loser=#; self samples @) alpha=beta=#",
     "d2o",
     CHECK_LIST,
     F | R | B,
     {ARG(list.beta, 1), ARG(list.alpha, 1)},
     d2o},
};

const struct check_key *check_preference_key(size_t i)
{
    return i < sizeof keys / sizeof *keys ? &keys[i] : NULL;
}
