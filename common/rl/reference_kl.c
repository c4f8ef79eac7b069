#include "rl/reference_kl.h"
#include "rl/kernels/kernel.h"
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
    double c = per_token * pass->config->kl_coef;
    if (pass->config->kl == KL_K3_UNBIASED)
        c *= exp(log_ratio_clamp(pass->batch->at[COLUMN_LOGP][t] - pass->base[t]));
    pass->tally->kl +=
        c * k.value * (pass->config->kl == KL_SCORE ? pass->batch->at[COLUMN_LOGP][t] : 1);
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

double pass_weighed_reward(const struct pass *pass, const struct stretch *s, double whole,
                           double rest)
{
    const double *logp = pass->batch->at[COLUMN_LOGP],
                 *reference = pass->batch->at[COLUMN_REFERENCE_LOGP];
    double sum = 0, counted = 0;
    for (size_t t = s->begin; t < s->end; t++) {
        if (columns_weight(pass->batch, t) == 0)
            continue;
        sum += (counted < whole ? 1 : rest) * (logp[t] - reference[t]);
        counted++;
    }
    return sum;
}

bool reference_kl_token(const struct columns *columns, size_t t, const struct kl_cost *cost,
                        double *ret)
{
    const double *logp = columns->at[cost->logp], *reference = columns->at[COLUMN_REFERENCE_LOGP];
    if (!logp || !reference || isnan(reference[t]))
        return false;
    *ret = kl_at(cost->kl, logp[t] - reference[t]).value;
    return true;
}

bool reference_kl(const struct columns *columns, size_t i, const struct kl_cost *cost, double *ret)
{
    const size_t begin = columns->first[i], end = columns->first[i + 1];
    double sum = 0, nats;
    if (begin == end || !reference_kl_token(columns, begin, cost, &nats))
        return false;
    for (size_t t = begin; t < end; t++)
        if (columns_weight(columns, t) != 0 && reference_kl_token(columns, t, cost, &nats))
            sum += nats;
    *ret = sum;
    return true;
}
