#include "rl/kernels/mask.h"
#include "rl/kl.h"
#include <math.h>

/* Mean over the sequence's unmasked tokens of x - behaviour. */
static double mean_gap(const struct pass *pass, const struct stretch *s, const double *x)
{
    return pass_sum(pass, s, x, pass->batch->at[COLUMN_BEHAVIOUR_LOGP]) / s->tokens;
}

static double mean_k3(const struct pass *pass, const struct stretch *s, const double *x)
{
    const double *behaviour = pass->batch->at[COLUMN_BEHAVIOUR_LOGP];
    double sum = 0;
    for (size_t t = s->begin; t < s->end; t++)
        if (columns_weight(pass->batch, t) != 0)
            sum += kl_at(KL_K3, behaviour[t] - x[t]).value; // q - 1 - log q
    return sum / s->tokens;
}

static bool all_inside(const struct pass *pass, const struct stretch *s, const double *x)
{
    const struct mask_config *mask = &pass->config->mask;
    const double *behaviour = pass->batch->at[COLUMN_BEHAVIOUR_LOGP];
    for (size_t t = s->begin; t < s->end; t++) {
        const double q = exp(log_ratio_clamp(x[t] - behaviour[t]));
        if (columns_weight(pass->batch, t) != 0 && !(q >= mask->low && q <= mask->high))
            return false;
    }
    return true;
}

bool mask_keeps(const struct pass *pass, const struct stretch *s, double advantage)
{
    const struct mask_config *mask = &pass->config->mask;
    const double *logp = pass->batch->at[COLUMN_LOGP],
                 *proximal = pass->batch->at[COLUMN_PROXIMAL_LOGP], *x = proximal ? proximal : logp;
    switch (mask->mask) {
    case MASK_GEO: {
        const double q = exp(log_ratio_clamp(mean_gap(pass, s, x)));
        return q >= mask->low && q <= mask->high;
    }
    case MASK_K3:
        return mean_k3(pass, s, x) <= mask->high;
    case MASK_OUTLIER:
        return all_inside(pass, s, x);
    case MASK_OPSM:
        return !(advantage < 0 && -mean_gap(pass, s, logp) > mask->high);
    default:
        return true;
    }
}
