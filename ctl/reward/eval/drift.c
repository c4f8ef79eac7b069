#include "ctl/reward/eval/drift.h"
#include <math.h>

/* The two functions of d that a and b multiply. */
static void terms(enum drift_law law, double kl, double *ret_a, double *ret_b)
{
    const double d = sqrt(kl);
    *ret_a = d;
    *ret_b = law == DRIFT_BEST_OF ? -d * d : d > 0 ? -d * log(d) : 0;
}

double drift_at(enum drift_law law, const struct drift *drift, double kl)
{
    double a, b;
    terms(law, kl, &a, &b);
    return drift->a * a + drift->b * b;
}

static void find_peak(enum drift_law law, struct drift *drift)
{
    drift->peak_kl = drift->peak = NAN;
    if (!(drift->b > 0) || (law == DRIFT_BEST_OF && !(drift->a > 0)))
        return;
    const double d =
        law == DRIFT_BEST_OF ? drift->a / (2 * drift->b) : exp(drift->a / drift->b - 1);
    drift->peak_kl = d * d;
    drift->peak = drift_at(law, drift, drift->peak_kl);
}

struct drift drift_fit(enum drift_law law, const double *kl, const double *gain, size_t n)
{
    struct drift ret = {.a = NAN, .b = NAN, .r2 = NAN, .peak_kl = NAN, .peak = NAN};
    double aa = 0, ab = 0, bb = 0, ay = 0, by = 0, yy = 0, left = 0;
    for (size_t i = 0; i < n; i++) {
        double a, b;
        if (!(kl[i] > 0))
            continue;
        terms(law, kl[i], &a, &b);
        aa += a * a;
        ab += a * b;
        bb += b * b;
        ay += a * gain[i];
        by += b * gain[i];
        yy += gain[i] * gain[i];
        ret.points++;
    }
    const double determinant = aa * bb - ab * ab;
    if (ret.points < 2 || !(determinant > 1e-12 * aa * bb))
        return ret;
    ret.a = (ay * bb - by * ab) / determinant;
    ret.b = (by * aa - ay * ab) / determinant;
    for (size_t i = 0; i < n; i++)
        if (kl[i] > 0)
            left += pow(gain[i] - drift_at(law, &ret, kl[i]), 2);
    ret.r2 = 1 - left / yy;
    find_peak(law, &ret);
    return ret;
}
