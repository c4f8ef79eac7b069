#include "rl/kernels/gate.h"
#include <math.h>

#define LOG_RATIO_LIMIT 20.0

double log_ratio_clamp(double log_ratio)
{
    return fmax(-LOG_RATIO_LIMIT, fmin(LOG_RATIO_LIMIT, log_ratio));
}

/* Schulman 2017, eq. 7; dual clip: Ye 2020, eq. 5. */
static struct gate_value clip(const struct gate_config *config, double advantage, double log_ratio)
{
    const double x = log_ratio_clamp(log_ratio), r = exp(x);
    const double inside = fmax(1 - config->epsilon_low, fmin(1 + config->epsilon_high, r));
    const double free = -advantage * r, held = -advantage * inside;
    struct gate_value value = {held, 0, true};
    if (free >= held)
        value = (struct gate_value){free, x == log_ratio ? free : 0, false};
    if (config->dual > 0 && advantage < 0 && value.loss > -config->dual * advantage)
        value = (struct gate_value){-config->dual * advantage, 0, true};
    return value;
}

struct gate_value gate_at(const struct gate_config *config, double advantage, double log_ratio,
                          double logp)
{
    if (config->gate == GATE_CLIP)
        return clip(config, advantage, log_ratio);
    if (config->gate == GATE_NONE)
        return (struct gate_value){-advantage * logp, -advantage, false};
    const double r = exp(log_ratio_clamp(log_ratio)), weight = fmin(r, config->cap);
    return (struct gate_value){-weight * advantage * logp, -weight * advantage, r > config->cap};
}
