#include "rl/kernels/pair.h"
#include <math.h>
#include <stdbool.h>

/* Both without an exp that overflows, and without the 1 that would swallow a small one. */
static double log_sigmoid(double z)
{
    return z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z));
}

static double sigmoid(double z)
{
    return z < 0 ? exp(z) / (1 + exp(z)) : 1 / (1 + exp(-z));
}

struct pair_value pair_at(const struct pair_config *config, struct pair_side chosen,
                          struct pair_side rejected)
{
    const double beta = config->beta, smoothing = config->label_smoothing;
    const double z = beta * (chosen.u - rejected.u);
    switch (config->loss) {
    case PAIR_NONE:
        break;
    case PAIR_SIGMOID: {
        const double loss = -(1 - smoothing) * log_sigmoid(z) - smoothing * log_sigmoid(-z);
        const double slope = beta * (smoothing * sigmoid(z) - (1 - smoothing) * sigmoid(-z));
        return (struct pair_value){loss, slope, -slope};
    }
    case PAIR_HINGE: {
        const bool ahead = z >= 1; // false for NaN, which must show
        const double slope = ahead ? 0 : -beta;
        return (struct pair_value){ahead ? 0 : 1 - z, slope, -slope};
    }
    case PAIR_IPO: {
        const double off = chosen.u / chosen.tokens - rejected.u / rejected.tokens - 1 / (2 * beta);
        return (struct pair_value){off * off, 2 * off / chosen.tokens, -2 * off / rejected.tokens};
    }
    case PAIR_SFT:
        return (struct pair_value){-chosen.u / chosen.tokens, -1.0 / chosen.tokens, 0};
    }
    return (struct pair_value){0, 0, 0};
}
