#include "rl/kernels/pair.h"
#include "rl/preference/sigmoid.h"
#include <math.h>
#include <stdbool.h>

/* exp overflows beyond: what is farther off counts as if it were so far. */
#define EXPONENT_LIMIT 700.0

/* A convex function of z and its slope. */
struct link {
    double loss, slope;
};

/* KL from (sigma(z), sigma(-z)) to (1 - e, e) (Ji 2024, eq. 16). */
static struct link exo(double z, double smoothing)
{
    const double e = smoothing > 0 ? smoothing : 1e-3, q = sigmoid(z), rest = sigmoid(-z);
    return (struct link){q * (log_sigmoid(z) - log1p(-e)) + rest * (log_sigmoid(-z) - log(e)),
                         q * rest * (z - log((1 - e) / e))};
}

/* A blend of logistic and exponential (Lu 2024); the product is of exponents, which cannot
 * overflow. */
static struct link discopop(double z, double tau)
{
    const double x = z / tau, g = sigmoid(x), rest = sigmoid(-x), logistic = -log_sigmoid(z),
                 blended = exp(fmin(log_sigmoid(x) - z, EXPONENT_LIMIT));
    return (struct link){rest * logistic + blended,
                         -sigmoid(-z) * rest - blended + (blended - g * logistic) * rest / tau};
}

static struct link smoothed(double z, double s)
{
    return (struct link){-(1 - s) * log_sigmoid(z) - s * log_sigmoid(-z),
                         s * sigmoid(z) - (1 - s) * sigmoid(-z)};
}

static struct link robust(double z, double s)
{
    const double scale = 1 / (1 - 2 * s);
    return (struct link){(-(1 - s) * log_sigmoid(z) + s * log_sigmoid(-z)) * scale,
                         (-(1 - s) * sigmoid(-z) - s * sigmoid(z)) * scale};
}

/* z >= 1 is false for NaN, which must show. */
static struct link hinge(double z)
{
    const bool ahead = z >= 1;
    return (struct link){ahead ? 0 : 1 - z, ahead ? 0 : -1};
}

static struct link truncated(double z)
{
    const double short_by = z >= 1 ? 0 : 1 - z;
    return (struct link){short_by * short_by, -2 * short_by};
}

static struct link exponential(double z)
{
    const double e = exp(fmin(-z, EXPONENT_LIMIT));
    return (struct link){e, -z > EXPONENT_LIMIT ? 0 : -e};
}

/* preferred: the probability that the chosen is the better one. */
static struct link link_at(const struct pair_config *config, double z, double preferred)
{
    switch (config->loss) {
    case PAIR_HINGE:
        return hinge(z);
    case PAIR_ROBUST:
        return robust(z, config->label_smoothing);
    case PAIR_EXO:
        return exo(z, config->label_smoothing);
    case PAIR_DISCOPOP:
        return discopop(z, config->discopop_tau);
    case PAIR_EXPONENTIAL:
        return exponential(z);
    case PAIR_SQUARED:
        return (struct link){(1 - z) * (1 - z), -2 * (1 - z)};
    case PAIR_TRUNCATED:
        return truncated(z);
    case PAIR_SAVAGE:
        return (struct link){sigmoid(-z) * sigmoid(-z),
                             -2 * sigmoid(z) * sigmoid(-z) * sigmoid(-z)};
    case PAIR_SOFT:
        return smoothed(z, 1 - preferred);
    default:
        return smoothed(z, config->label_smoothing);
    }
}

/* A loss that is a function of z alone. The odds have their beta outside (ORPO). */
static struct pair_value linked(const struct pair_config *config, struct pair_side chosen,
                                struct pair_side rejected)
{
    const bool outside = config->score == SCORE_ODDS;
    const double beta = outside ? 1 : config->beta, weight = outside ? config->beta : 1,
                 behind = config->penalty * fmax(0, -chosen.u),
                 z = beta * (chosen.u - rejected.u) - beta * behind - config->gamma +
                     config->length * (chosen.tokens - rejected.tokens);
    const struct link link = link_at(config, z, sigmoid(chosen.reward - rejected.reward));
    const double slope = weight * (beta * link.slope);
    return (struct pair_value){weight * link.loss,
                               slope * (1 + (chosen.u < 0 ? config->penalty : 0)), -slope};
}

/* (h - 1/(2 beta))^2, h the difference of scores. */
static struct pair_value ipo(double beta, double chosen, double rejected)
{
    const double off = chosen - rejected - 1 / (2 * beta);
    return (struct pair_value){off * off, 2 * off, -2 * off};
}

/* Of means over tokens: the slopes of what was given are shares. */
static struct pair_value of_means(struct pair_value value, struct pair_side chosen,
                                  struct pair_side rejected)
{
    return (struct pair_value){value.loss, value.chosen / chosen.tokens,
                               value.rejected / rejected.tokens};
}

static struct pair_value sigmoid_norm(const struct pair_config *config, struct pair_side chosen,
                                      struct pair_side rejected)
{
    const struct pair_side high = {chosen.u / chosen.tokens, chosen.tokens},
                           low = {rejected.u / rejected.tokens, rejected.tokens};
    return of_means(linked(config, high, low), chosen, rejected);
}

/* Each side against a bound of its own. b, c: beta u. */
static struct pair_value apart(const struct pair_config *config, struct pair_side chosen,
                               struct pair_side rejected)
{
    const double beta = config->beta, b = beta * chosen.u, c = beta * rejected.u, z = b - c,
                 anchor = chosen.anchor, up = b - anchor, down = c - anchor, far = 1 / (2 * beta),
                 high = chosen.u - far, low = rejected.u + far;
    switch (config->loss) {
    case PAIR_NCA:
        return (struct pair_value){-log_sigmoid(b) - 0.5 * log_sigmoid(-b) - 0.5 * log_sigmoid(-c),
                                   beta * (0.5 * sigmoid(b) - sigmoid(-b)),
                                   beta * 0.5 * sigmoid(c)};
    case PAIR_BCO:
        return (struct pair_value){-log_sigmoid(up) - log_sigmoid(-down), -beta * sigmoid(-up),
                                   beta * sigmoid(down)};
    case PAIR_SPPO:
        return (struct pair_value){high * high + low * low, 2 * high, 2 * low};
    case PAIR_APO_ZERO:
        return (struct pair_value){sigmoid(-b) + sigmoid(c), -beta * sigmoid(b) * sigmoid(-b),
                                   beta * sigmoid(c) * sigmoid(-c)};
    default: // APO_DOWN
        return (struct pair_value){sigmoid(b) + sigmoid(-z),
                                   beta * (sigmoid(b) * sigmoid(-b) - sigmoid(z) * sigmoid(-z)),
                                   beta * sigmoid(z) * sigmoid(-z)};
    }
}

struct pair_value pair_at(const struct pair_config *config, struct pair_side chosen,
                          struct pair_side rejected)
{
    switch (config->loss) {
    case PAIR_NONE:
        return (struct pair_value){0, 0, 0};
    case PAIR_IPO:
        return of_means(ipo(config->beta, chosen.u / chosen.tokens, rejected.u / rejected.tokens),
                        chosen, rejected);
    case PAIR_IPO_SUM:
        return ipo(config->beta, chosen.u, rejected.u);
    case PAIR_SFT:
        return (struct pair_value){-chosen.u / chosen.tokens, -1.0 / chosen.tokens, 0};
    case PAIR_SIGMOID_NORM:
        return sigmoid_norm(config, chosen, rejected);
    case PAIR_NCA:
    case PAIR_BCO:
    case PAIR_SPPO:
    case PAIR_APO_ZERO:
    case PAIR_APO_DOWN:
        return apart(config, chosen, rejected);
    default:
        return linked(config, chosen, rejected);
    }
}
