#include "rl/row_value.h"
#include <math.h>

/* log softmax is z scale - norm. */
static double norm_of(const double *z, size_t width, double scale)
{
    double max = -INFINITY, sum = 0;
    for (size_t v = 0; v < width; v++)
        max = fmax(max, z[v] * scale);
    for (size_t v = 0; v < width; v++)
        sum += exp(z[v] * scale - max);
    return max + log(sum);
}

struct norms {
    double policy, reference;
};

static struct norms norms_of(const struct row_ask *ask)
{
    return (struct norms){norm_of(ask->z, ask->width, ask->scale),
                          ask->reference ? norm_of(ask->reference, ask->width, ask->scale) : 0};
}

/* One token: log p, log q, and what follows from them. A token that is none has a weight of 0, and
 * no distance. */
struct place {
    double p, logp, q, d, mixed;
};

static struct place place_at(const struct row_ask *ask, const struct norms *norms, size_t v)
{
    struct place at = {.logp = ask->z[v] * ask->scale - norms->policy};
    at.p = exp(at.logp);
    if (!ask->reference)
        return at;
    const double logq = ask->reference[v] * ask->scale - norms->reference, d = at.logp - logq;
    at.q = exp(logq);
    at.d = isnan(d) ? 0 : fmax(-ROW_DISTANCE_MAX, fmin(ROW_DISTANCE_MAX, d));
    at.mixed = -log(1 - ask->beta + ask->beta * exp(-at.d));
    return at;
}

static size_t rival_of(const struct row_ask *ask)
{
    size_t best = ask->width;
    if (ask->rival >= 0)
        return (size_t)ask->rival;
    for (size_t v = 0; v < ask->width; v++)
        if (v != ask->token && (best == ask->width || ask->z[v] > ask->z[best]))
            best = v;
    return best;
}

void row_value(const struct row_ask *ask, struct row_value *ret)
{
    const struct norms norms = norms_of(ask);
    struct row_value value = {.rival = rival_of(ask)};
    double *const at = value.at;
    for (size_t v = 0; v < ask->width; v++) {
        const struct place x = place_at(ask, &norms, v);
        at[ROW_ENTROPY] -= x.p > 0 ? x.p * x.logp : 0;
        at[ROW_FORWARD_KL] -= x.q * x.d;
        at[ROW_REVERSE_KL] += x.p * x.d;
        at[ROW_JSD] += ask->beta * x.q * (x.mixed - x.d) + (1 - ask->beta) * x.p * x.mixed;
    }
    value.logp = ask->z[ask->token] * ask->scale - norms.policy;
    if (value.rival < ask->width)
        at[ROW_RIVAL_LOGP] = ask->z[value.rival] * ask->scale - norms.policy;
    *ret = value;
}

/* Sum of p L, which the slope of jsd is relative to. */
static double mean_mixed(const struct row_ask *ask, const struct norms *norms)
{
    double sum = 0;
    for (size_t v = 0; v < ask->width; v++) {
        const struct place x = place_at(ask, norms, v);
        sum += x.p * x.mixed;
    }
    return sum;
}

void row_slope(const struct row_ask *ask, const struct row_value *value, double dlogp,
               const double slope[ROW_TERMS], double *ret_dz)
{
    const struct norms norms = norms_of(ask);
    const double mixed = mean_mixed(ask, &norms),
                 rival = value->rival < ask->width ? slope[ROW_RIVAL_LOGP] : 0;
    for (size_t v = 0; v < ask->width; v++) {
        const struct place x = place_at(ask, &norms, v);
        double dx = -(dlogp + rival) * x.p;
        dx -= x.p > 0 ? slope[ROW_ENTROPY] * x.p * (x.logp + value->at[ROW_ENTROPY]) : 0;
        dx += slope[ROW_FORWARD_KL] * (x.p - x.q);
        dx += slope[ROW_REVERSE_KL] * x.p * (x.d - value->at[ROW_REVERSE_KL]);
        dx += slope[ROW_JSD] * (1 - ask->beta) * x.p * (x.mixed - mixed);
        ret_dz[v] = dx * ask->scale;
    }
    ret_dz[ask->token] += dlogp * ask->scale;
    if (value->rival < ask->width)
        ret_dz[value->rival] += rival * ask->scale;
}
