#include "rl/kernels/correction.h"
#include "rl/kernels/gate.h"
#include <math.h>

static double masked(double ratio, const struct correction_config *config)
{
    return ratio >= config->low && ratio <= config->high ? ratio : 0;
}

double correction_sequence(const struct correction_config *config, const double *old,
                           const double *behaviour, const double *weight, int tokens)
{
    double sum = 0;
    int count = 0;
    for (int t = 0; t < tokens; t++)
        if (!weight || weight[t] != 0) {
            sum += old[t] - behaviour[t];
            count++;
        }
    switch (config->correction) {
    case CORRECTION_TIS_SEQ:
        return fmin(exp(log_ratio_clamp(sum)), config->high);
    case CORRECTION_MIS_SEQ:
        return masked(exp(log_ratio_clamp(sum)), config);
    case CORRECTION_GEO_MASK:
        return count && masked(exp(log_ratio_clamp(sum / count)), config) > 0 ? 1 : 0;
    case CORRECTION_GEO_SEQ:
        return count ? fmin(exp(log_ratio_clamp(sum / count)), config->high) : 1;
    default:
        return 1;
    }
}

double correction_token(const struct correction_config *config, double sequence, double log_ratio)
{
    switch (config->correction) {
    case CORRECTION_TIS_TOKEN:
        return fmin(exp(log_ratio_clamp(log_ratio)), config->high);
    case CORRECTION_MIS_TOKEN:
        return masked(exp(log_ratio_clamp(log_ratio)), config);
    default:
        return sequence;
    }
}
