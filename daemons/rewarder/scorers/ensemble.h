/* Several reward models' scores of one completion as one, as ensembles against over-optimisation
 * have it (Coste 2023, arXiv:2310.02743).
 *
 *     double std, score = ensemble_score(ENSEMBLE_MIN, 0, member, 3, &std);
 *
 * Pure: in double, in the models' order. */
#pragma once
#include <stddef.h>

/* mean; min: of all (the paper's WCO); lower_bound: mean - coef * std; uwo: mean - coef * variance
 * (the paper's uncertainty-weighted optimisation). std and variance are those of the models
 * themselves, not of a population that they are drawn from: divided by their number. */
enum ensemble { ENSEMBLE_MEAN, ENSEMBLE_MIN, ENSEMBLE_LOWER_BOUND, ENSEMBLE_UWO };
#define ENSEMBLE_WORDS "mean|min|lower_bound|uwo"

/* ret_std: how far the models are from their mean. count is at least 1. */
double ensemble_score(enum ensemble how, double coef, const double *score, size_t count,
                      double *ret_std);
