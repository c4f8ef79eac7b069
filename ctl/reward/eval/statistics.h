/* Measures of agreement between two lists of numbers, weighted: a bootstrap's draw is a list of
 * weights. Definitions are SciPy's and scikit-learn's.
 *
 *     SCOPED(paired) pairs = paired_new(score, rating, n);
 *     paired_spearman(pairs, NULL)                  -- each number once
 *     paired_spearman(pairs, weight)                -- as if number i stood there weight[i] times
 *
 * Measures of fewer than two numbers are NaN, and those of a list that is constant. Numbers are
 * finite. Any thread; pure. */
#pragma once
#include "base/scoped.h"
#include <stddef.h>

struct paired;
/* Borrows both lists. Sorts them once. */
struct paired *paired_new(const double *x, const double *y, size_t n);
void paired_free(struct paired *paired);
DEFINE_SCOPED(paired)

double paired_pearson(const struct paired *paired, const double *weight);
double paired_spearman(const struct paired *paired, const double *weight); // ties: mean ranks
double paired_kendall(const struct paired *paired, const double *weight);  // tau-b

/* ROC AUC of x for the label y > 0.5: the chance that a labelled one is above another. Ties count
 * half. */
double paired_auc(const struct paired *paired, const double *weight);

/* The quantile q in [0, 1] by linear interpolation (NumPy's default), of sorted numbers; n > 0. */
double quantile_sorted(const double *sorted, size_t n, double q);

void numbers_sort(double *number, size_t n);

double logistic(double x);
double log_logistic(double x); // log(1 / (1 + exp(-x))), without overflow

/* Calibration: the expected error (ECE, Naeini 2015) of n chances with outcomes in [0, 1], by bins
 * of equal width over [0, 1]. weight NULL: 1 each. */
enum { CALIBRATION_BINS = 10 };
struct calibration {
    double weight[CALIBRATION_BINS], chance[CALIBRATION_BINS], outcome[CALIBRATION_BINS]; // means
    double ece;
};
struct calibration calibration_of(const double *chance, const double *outcome, const double *weight,
                                  size_t n);
