/* Shares of counts: intervals, tails of distributions, and what is left of them where many are
 * tested.
 *
 *     share_interval(31, 200)                      -- Wilson's, 95 %
 *     binomial_tail(31, 200, 0.06)                 -- P(X >= 31)
 *     holm(p, count, adjusted)                     -- adjusted[i] <= 0.05: 5 % for a false one in all
 *
 * Any thread: pure. */
#pragma once
#include <stddef.h>

struct interval {
    double low, high;
};

/* Wilson's score interval of k of n, 95 %; n 0: [0, 1]. */
struct interval share_interval(double k, double n);

/* P(X >= k) of n draws with the chance p. */
double binomial_tail(double k, double n, double p);

/* The same where the chance itself varies: Beta with this mean and, between two draws of one kind,
 * the correlation rho in [0, 1). rho 0: binomial_tail. */
double beta_binomial_tail(double k, double n, double mean, double rho);

/* P(X >= k) of n drawn from `all` without return, of which `marked` are marked. */
double hypergeometric_tail(double k, double n, double marked, double all);

/* Two-sided: how often a share this far from the rest's comes about by chance: twice the smaller
 * tail, at most 1. */
double apart_from_rest(double k, double n, double marked, double all);

/* Holm (1979): p adjusted for `count` tests. ret may be p. */
void holm(const double *p, size_t count, double *ret);

/* Spearman's correlation of a with b, ties by their mean rank; 0 where one does not vary. */
double rank_correlation(const double *a, const double *b, size_t count);
