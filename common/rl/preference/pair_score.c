#include "rl/preference/pair_score.h"
#include "rl/preference/sigmoid.h"
#include <math.h>

/* Beyond these the score stands still: neither an infinity nor a division by 0. */
#define EXPONENT_LIMIT 700.0
#define ODDS_LIMIT     -1e-6

/* -exp(-u) (f-DPO's forward KL), and (exp(k u) - 1) / k. */
static struct score_value exponential(double k, double u)
{
    const double x = k * u;
    if (k == 0)
        return (struct score_value){u, 1};
    if (x > EXPONENT_LIMIT)
        return (struct score_value){expm1(EXPONENT_LIMIT) / k, 0};
    return (struct score_value){expm1(x) / k, exp(x)};
}

/* m - log(1 - exp m): log-odds of the mean token. m near 0 counts as -1e-6 (Hong 2024 has no
 * limit). */
static struct score_value odds(double m, double share)
{
    const double held = fmin(m, ODDS_LIMIT), rest = -expm1(held);
    return (struct score_value){held - log(rest), m > ODDS_LIMIT ? 0 : share / rest};
}

struct score_value score_at(const struct pair_config *config, double u, double logp, int tokens)
{
    const double share = 1.0 / tokens, m = logp * share;
    struct score_value s;
    switch (config->score) {
    case SCORE_SUM:
    case SCORE_LENGTH: // the sums are weighed already
        break;
    case SCORE_FORWARD_KL:
        s = exponential(-1, u);
        return (struct score_value){s.value - 1, s.slope};
    case SCORE_JS:
        return (struct score_value){log_sigmoid(u), sigmoid(-u)};
    case SCORE_ALPHA_DIVERGENCE:
        return exponential(config->alpha - 1, u);
    case SCORE_MEAN:
        return (struct score_value){u * share, share};
    case SCORE_LOGP:
        return (struct score_value){logp, 1};
    case SCORE_LOGP_MEAN:
        return (struct score_value){m, share};
    case SCORE_ODDS:
        return odds(m, share);
    case SCORE_ALPHA:
        s = exponential(-config->alpha, m);
        return (struct score_value){s.value, s.slope * share};
    }
    return (struct score_value){u, 1};
}
