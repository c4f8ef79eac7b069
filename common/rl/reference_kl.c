#include "rl/reference_kl.h"
#include "rl/kernel.h"
#include <math.h>

/* Token t, whose loss weighs per_token. */
static void refer(const struct pass *pass, size_t t, double d, double per_token)
{
    pass->tally->referred += 1;
    pass->tally->reference_k1 += d;
    pass->tally->reference_k3 += kl_at(KL_K3, d).value;
    if (!(pass->config->kl_coef > 0))
        return;
    const struct kl_value k = kl_at(pass->config->kl, d);
    const double c = per_token * pass->config->kl_coef;
    pass->tally->kl += c * k.value;
    pass->slopes->logp[t] += c * k.slope;
}

void pass_refer(const struct pass *pass, const struct stretch *s)
{
    const double *logp = pass->batch->at[COLUMN_LOGP],
                 *reference = pass->batch->at[COLUMN_REFERENCE_LOGP];
    for (size_t t = s->begin; reference && t < s->end; t++) {
        const double weight = columns_weight(pass->batch, t);
        if (weight != 0 && !isnan(reference[t]))
            refer(pass, t, logp[t] - reference[t], s->per_token * weight);
    }
}

double pass_implicit_reward(const struct pass *pass, const struct stretch *s)
{
    return pass_sum(pass, s, pass->batch->at[COLUMN_LOGP], pass->batch->at[COLUMN_REFERENCE_LOGP]);
}

bool reference_kl(const struct columns *columns, size_t i, enum kl kl, double *ret)
{
    const double *behaviour = columns->at[COLUMN_BEHAVIOUR_LOGP],
                 *reference = columns->at[COLUMN_REFERENCE_LOGP];
    const size_t begin = columns->first[i], end = columns->first[i + 1];
    double sum = 0;
    if (!behaviour || !reference || begin == end || isnan(reference[begin]))
        return false;
    for (size_t t = begin; t < end; t++)
        if (columns_weight(columns, t) != 0)
            sum += kl_at(kl, behaviour[t] - reference[t]).value;
    *ret = sum;
    return true;
}
