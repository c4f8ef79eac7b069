#include "rl/kl.h"
#include "rl/gate.h"
#include <math.h>
#include <string.h>

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
    case KL_K3_PLUS:
        return (struct kl_value){expm1(-d) + d, live * d};
    }
    return (struct kl_value){0, 0};
}

double kl_sum(enum kl kl, const double *logp, const double *reference, const double *weight,
              int tokens)
{
    double sum = 0;
    for (int t = 0; t < tokens; t++)
        if (!weight || weight[t] != 0)
            sum += kl_at(kl, logp[t] - reference[t]).value;
    return sum;
}

static const char *const names[] = {
    [KL_K1] = "k1", [KL_ABS] = "abs", [KL_K2] = "k2", [KL_K3] = "k3", [KL_K3_PLUS] = "k3+",
};

const char *kl_name(enum kl kl)
{
    return names[kl];
}

bool kl_find(const char *name, enum kl *ret)
{
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) {
            *ret = (enum kl)i;
            return true;
        }
    return false;
}
