#include "rl/kl.h"
#include "rl/kernels/gate.h"
#include <math.h>

struct kl_value kl_at(enum kl kl, double log_ratio)
{
    const double d = log_ratio_clamp(log_ratio);
    const double live = d == log_ratio ? 1 : 0;
    switch (kl) {
    case KL_K1:
        return (struct kl_value){d, live};
    case KL_ABS:
        return (struct kl_value){fabs(d), live * ((d > 0) - (d < 0))};
    case KL_K2:
        return (struct kl_value){d * d / 2, live * d};
    case KL_K3:
        return (struct kl_value){expm1(-d) + d, live * -expm1(-d)};
    case KL_SCORE: // logp is a factor of the value
    case KL_K1_PLUS:
        return (struct kl_value){d, live * d};
    case KL_K3_PLUS:
    case KL_K3_UNBIASED: // the ratio is a factor of both
        return (struct kl_value){expm1(-d) + d, live * d};
    }
    return (struct kl_value){0, 0};
}
