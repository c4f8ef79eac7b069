#include "rewarder/scorers/ensemble.h"
#include <math.h>

double ensemble_score(enum ensemble how, double coef, const double *score, size_t count,
                      double *ret_std)
{
    double sum = 0, squares = 0, least = score[0];
    for (size_t i = 0; i < count; i++) {
        sum += score[i];
        least = fmin(least, score[i]);
    }
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        squares += (score[i] - mean) * (score[i] - mean);
    const double variance = squares / (double)count, std = sqrt(variance);
    *ret_std = std;
    switch (how) {
    case ENSEMBLE_MIN:
        return least;
    case ENSEMBLE_LOWER_BOUND:
        return mean - coef * std;
    case ENSEMBLE_UWO:
        return mean - coef * variance;
    case ENSEMBLE_MEAN:
        break;
    }
    return mean;
}
