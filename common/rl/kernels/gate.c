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

/* Gao 2025 (SAPO): PPO's slope at r = 1, and none far from it. */
static struct gate_value soft(const struct gate_config *config, double advantage, double log_ratio)
{
    const double x = log_ratio_clamp(log_ratio), r = exp(x);
    const double tau = advantage > 0 ? config->temperature.pos : config->temperature.neg;
    const double s = 1 / (1 + exp(-tau * (r - 1)));
    const double slope = -advantage * 4 * s * (1 - s) * r;
    return (struct gate_value){-advantage * 4 / tau * s, x == log_ratio ? slope : 0, false};
}

/* Probabilities move further apart, in the direction that the advantage says. */
static struct gate_value total_variation(const struct gate_config *config, double advantage,
                                         double log_ratio, double logp)
{
    const double x = log_ratio_clamp(log_ratio), loss = -advantage * exp(x);
    const double moved = exp(logp) - exp(logp - log_ratio);
    if (advantage > 0 ? moved > config->delta : advantage < 0 && moved < -config->delta)
        return (struct gate_value){0, 0, true};
    return (struct gate_value){loss, x == log_ratio ? loss : 0, false};
}

static double held(double x, double low, double high)
{
    return fmax(low, fmin(high, x));
}

/* The constant that a gate weighs -A logp by. */
static double weight_of(const struct gate_config *config, double advantage, double log_ratio,
                        double logp)
{
    const double x = log_ratio_clamp(log_ratio), r = exp(x);
    const bool up = advantage >= 0;
    switch (config->gate) {
    case GATE_CAP:
        return fmin(r, config->cap);
    case GATE_TAPER:
        return up ? config->positive : held(r, config->low, config->high);
    case GATE_BAND:
        return held(r, config->low, config->high);
    case GATE_BELL:
        return up ? exp(config->k.pos * x + config->lambda.pos * (1 - r))
                  : exp(config->k.neg * x + config->lambda.neg * (1 - r));
    case GATE_KL_CAP:
        return fmax(0, 1 - log_ratio / config->kl_max);
    case GATE_PROBABILITY:
        return exp(logp);
    default:
        return 1;
    }
}

bool gate_weighs(enum gate gate)
{
    return gate == GATE_TAPER || gate == GATE_BAND || gate == GATE_BELL || gate == GATE_KL_CAP;
}

/* The weight is another than r itself. */
static bool limits(const struct gate_config *config, double log_ratio, double weight)
{
    const double r = exp(log_ratio_clamp(log_ratio));
    switch (config->gate) {
    case GATE_CAP:
        return r > config->cap;
    case GATE_TAPER:
    case GATE_BAND:
        return weight != r;
    case GATE_KL_CAP:
        return weight == 0;
    default:
        return false;
    }
}

struct gate_value gate_at(const struct gate_config *config, double advantage, double log_ratio,
                          double logp)
{
    if (config->gate == GATE_CLIP)
        return clip(config, advantage, log_ratio);
    if (config->gate == GATE_NONE)
        return (struct gate_value){-advantage * logp, -advantage, false};
    if (config->gate == GATE_SOFT)
        return soft(config, advantage, log_ratio);
    if (config->gate == GATE_TV)
        return total_variation(config, advantage, log_ratio, logp);
    const double weight = weight_of(config, advantage, log_ratio, logp);
    return (struct gate_value){-weight * advantage * logp, -weight * advantage,
                               limits(config, log_ratio, weight)};
}
