/* Estimators of the KL divergence to a reference from sampled tokens (Schulman's note), d = logp - reference. Any thread.
 *
 *     struct kl_value k = kl_at(KL_K3, logp - reference);       -- in the loss: += coef * k.value, slope += coef * k.slope
 *     reward -= coef * kl_sum(KL_K1, behaviour, reference, weight, tokens);       -- in the reward: no gradient */
#pragma once
#include <stdbool.h>

#define KL_COEF_MAX 1e6 // of every coefficient of a KL term

enum kl {
    KL_K1,      // d: unbiased; right inside the reward, without any effect on average as a loss
    KL_ABS,     // |d|
    KL_K2,      // d^2/2: its slope is the gradient of reverse KL on policy: the best as a loss
    KL_K3,      // exp(-d) - 1 + d: not negative, of low variance; as a loss it follows forward KL
    KL_K3_PLUS, // the value of k3 with the slope of k2 (verl's straight-through)
};

struct kl_value {
    double value,
        slope; // slope = d value / d logp, but for K3_PLUS; 0 where |d| > 20, which counts as 20
};
struct kl_value kl_at(enum kl kl, double d);

/* Sum over a sequence's unmasked tokens; weight may be NULL. */
double kl_sum(enum kl kl, const double *logp, const double *reference, const double *weight,
              int tokens);

const char *kl_name(enum kl kl);              // "k1", "abs", "k2", "k3", "k3+"
bool kl_find(const char *name, enum kl *ret); // false: no such estimator
