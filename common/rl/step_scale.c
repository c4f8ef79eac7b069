#include "rl/step_scale.h"
#include <math.h>

double step_scale_of(const struct step_scale *scale, double ess)
{
    const double share = ess / scale->base;
    if (scale->rule == STEP_FULL || !isfinite(share))
        return 1;
    return fmin(1, scale->rule == STEP_ROOT ? sqrt(share) : share);
}
