#include "ctl/reward/proportion.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <math.h>
#include <stdlib.h>

#define Z95 1.959963984540054

struct interval share_interval(double k, double n)
{
    if (n <= 0)
        return (struct interval){0, 1};
    const double share = k / n, z2 = Z95 * Z95 / n;
    const double centre = (share + z2 / 2) / (1 + z2);
    const double half = Z95 * sqrt(share * (1 - share) / n + z2 / (4 * n)) / (1 + z2);
    return (struct interval){fmax(0, centre - half), fmin(1, centre + half)};
}

/* ---- tails: the first term by its logarithm, the others by their ratios */

static double log_choose(double n, double k)
{
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1);
}

static double log_beta(double a, double b)
{
    return lgamma(a) + lgamma(b) - lgamma(a + b);
}

/* A term's share of the one before, at k. */
typedef double ratio_at(const void *arg, double k);

/* The terms from k to `last`, which begin with exp(first). They rise at most once, then fall. */
static double sum_terms(double first, double k, double last, ratio_at *ratio, const void *arg)
{
    double scale = first, term = 1, sum = 1;
    for (; k < last; k++) {
        const double r = ratio(arg, k);
        term *= r;
        sum += term;
        if (r < 1 && term < 1e-17 * sum)
            break;
        if (sum > 1e200) { // far below the mode
            scale += log(sum);
            term /= sum;
            sum = 1;
        }
    }
    return fmin(1, exp(scale + log(sum)));
}

struct draws {
    double n, p, a, b;
};

static double binomial_ratio(const void *arg, double k)
{
    const struct draws *d = arg;
    return (d->n - k) / (k + 1) * d->p / (1 - d->p);
}

double binomial_tail(double k, double n, double p)
{
    if (k <= 0)
        return 1;
    if (k > n || p <= 0)
        return 0;
    if (p >= 1)
        return 1;
    const struct draws d = {.n = n, .p = p};
    return sum_terms(log_choose(n, k) + k * log(p) + (n - k) * log1p(-p), k, n, binomial_ratio, &d);
}

static double beta_binomial_ratio(const void *arg, double k)
{
    const struct draws *d = arg;
    return (d->n - k) / (k + 1) * (k + d->a) / (d->n - k - 1 + d->b);
}

double beta_binomial_tail(double k, double n, double mean, double rho)
{
    if (rho < 1e-9)
        return binomial_tail(k, n, mean);
    if (k <= 0)
        return 1;
    if (k > n || mean <= 0)
        return 0;
    if (mean >= 1)
        return 1;
    const double both = (1 - rho) / rho;
    const struct draws d = {.n = n, .a = mean * both, .b = (1 - mean) * both};
    return sum_terms(log_choose(n, k) + log_beta(k + d.a, n - k + d.b) - log_beta(d.a, d.b), k, n,
                     beta_binomial_ratio, &d);
}

struct urn {
    double n, marked, all;
};

static double hypergeometric_ratio(const void *arg, double k)
{
    const struct urn *u = arg;
    return (u->marked - k) * (u->n - k) / ((k + 1) * (u->all - u->marked - u->n + k + 1));
}

double hypergeometric_tail(double k, double n, double marked, double all)
{
    const double least = fmax(0, n + marked - all), most = fmin(n, marked);
    if (k <= least)
        return 1;
    if (k > most)
        return 0;
    const struct urn u = {n, marked, all};
    return sum_terms(log_choose(marked, k) + log_choose(all - marked, n - k) - log_choose(all, n),
                     k, most, hypergeometric_ratio, &u);
}

double apart_from_rest(double k, double n, double marked, double all)
{
    const double above = hypergeometric_tail(k, n, marked, all);
    const double below = hypergeometric_tail(n - k, n, all - marked, all);
    return fmin(1, 2 * fmin(above, below));
}

/* ---- many tests */

struct ranked {
    double value;
    size_t at;
};

static int by_value(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static struct ranked *rank_all(const double *value, size_t count)
{
    struct ranked *ranked = mem_array(count, sizeof *ranked);
    for (size_t i = 0; i < count; i++)
        ranked[i] = (struct ranked){value[i], i};
    qsort(ranked, count, sizeof *ranked, by_value);
    return ranked;
}

void holm(const double *p, size_t count, double *ret)
{
    SCOPED_MEM struct ranked *ranked = rank_all(p, count);
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        most = fmax(most, fmin(1, ranked[i].value * (double)(count - i)));
        ret[ranked[i].at] = most;
    }
}

static double *mean_ranks(const double *value, size_t count)
{
    SCOPED_MEM struct ranked *ranked = rank_all(value, count);
    double *ranks = mem_array(count, sizeof *ranks);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i; end < count && ranked[end].value == ranked[i].value; end++)
            ;
        for (size_t k = i; k < end; k++)
            ranks[ranked[k].at] = (double)(i + end - 1) / 2;
    }
    return ranks;
}

double rank_correlation(const double *a, const double *b, size_t count)
{
    SCOPED_MEM double *x = mean_ranks(a, count);
    SCOPED_MEM double *y = mean_ranks(b, count);
    const double mean = count ? ((double)count - 1) / 2 : 0;
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < count; i++) {
        xy += (x[i] - mean) * (y[i] - mean);
        xx += (x[i] - mean) * (x[i] - mean);
        yy += (y[i] - mean) * (y[i] - mean);
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : 0;
}
