/* Divergences of a sequence: from the behaviour policy, and from the reference (reference_kl.c). */
#include "rl/kernels/kernel.h"
#include "rl/kl.h"

/* Samples are the behaviour policy's: KL(behaviour || current). */
static void compare(const struct pass *pass, double d)
{
    pass->tally->compared += 1;
    pass->tally->k1 += d;
    pass->tally->k3 += kl_at(KL_K3, d).value;
}

/* (logp - behaviour)^2, of which kl_at has half. */
static void pull_back(const struct pass *pass, size_t t, double d, double per_token)
{
    const struct kl_value half = kl_at(KL_K2, d);
    const double c = 2 * per_token * pass->config->behaviour_coef;
    pass->tally->terms += c * half.value;
    pass->slopes->logp[t] += c * half.slope;
}

/* The likelihood of the sequence, if it is marked. */
static void imitate(const struct pass *pass, const struct stretch *s)
{
    const struct columns *batch = pass->batch;
    const struct nll_config *nll = &pass->config->nll;
    const struct rl_totals marked = {.tokens = pass->totals->imitated_tokens,
                                     .sequences = pass->totals->imitated};
    if (!(nll->coef > 0) || batch->at[COLUMN_IMITATED][s->index] == 0)
        return;
    const double c =
        nll->coef * reduce_token(nll->reduce, &marked, (int)columns_counted(batch, s->index),
                                 pass->config->reduce_length);
    for (size_t t = s->begin; t < s->end; t++) {
        const double each = c * columns_weight(batch, t);
        pass->tally->terms -= each != 0 ? each * batch->at[COLUMN_LOGP][t] : 0;
        pass->slopes->logp[t] -= each;
    }
}

void pass_divergences(const struct pass *pass, const struct stretch *s)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP], *behaviour = batch->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = s->begin; t < s->end; t++) {
        if (behaviour && columns_weight(batch, t) != 0)
            compare(pass, behaviour[t] - logp[t]);
        if (behaviour && pass->config->behaviour_coef > 0 && columns_weight(batch, t) != 0)
            pull_back(pass, t, logp[t] - behaviour[t], s->per_token * columns_weight(batch, t));
    }
    pass_refer(pass, s);
    pass_rows(pass, s);
    imitate(pass, s);
}

void pass_spread(const struct pass *pass, const struct stretch *s, double slope)
{
    const struct columns *batch = pass->batch;
    const double *logp = batch->at[COLUMN_LOGP], *behaviour = batch->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(batch, t) == 0)
            continue;
        pass->slopes->logp[t] += slope;
        if (behaviour)
            pass_count_weight(pass->tally, logp[t] - behaviour[t]);
    }
    pass_divergences(pass, s);
}
