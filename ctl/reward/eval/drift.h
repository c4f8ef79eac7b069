/* Over-optimisation: the gold score on the way away from the first policy. With d = sqrt(KL) it is
 * d (a - b d) of best-of-n, and d (a - b log d) of reinforcement learning (Gao 2022).
 *
 *     struct drift drift = drift_fit(DRIFT_RL, kl, gain, n);
 *     drift.peak_kl                     -- where the fitted gold score is highest
 *
 * Any thread; pure. */
#pragma once
#include <stddef.h>

enum drift_law { DRIFT_BEST_OF, DRIFT_RL };

struct drift {
    double a, b;
    double r2;            // 1 - squares left / squares of the gains
    double peak_kl, peak; // NaN: the fitted curve has no peak (a or b is not above 0)
    size_t points;        // with KL above 0
};

/* Least squares of gain, the gold score above the first policy's. Fewer than two different KL
 * above 0: a, b NaN. */
struct drift drift_fit(enum drift_law law, const double *kl, const double *gain, size_t n);
double drift_at(enum drift_law law, const struct drift *drift, double kl);
