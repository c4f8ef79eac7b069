#include "rl/kl_control.h"
#include "rl/kl.h"
#include <math.h>

void kl_control_update(struct kl_control *control, double target, double horizon, double kl,
                       double completions)
{
    if (!(target > 0 && horizon > 0 && completions > 0 && isfinite(kl)))
        return;
    const double error = fmax(-0.2, fmin(kl / target - 1, 0.2));
    const double coef = control->coef * (1 + error * fmin(completions / horizon, 1));
    control->coef = fmin(coef, KL_COEF_MAX);
}
