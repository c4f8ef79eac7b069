/* Estimators of the KL divergence to a reference from sampled tokens (Schulman's note), d = logp -
 * reference. Any thread.
 *
 *     struct kl_value k = kl_at(KL_K3, logp - reference);       -- in the loss: += coef * k.value, slope += coef * k.slope
 *
 * In the reward: reference_kl (rl/reference_kl.h). */
#pragma once
#include "rl/word_table.h"

#define KL_COEF_MAX 1e6 // of every coefficient of a KL term

struct kl_value {
    double value;
    /* d value / d logp, but for K1_PLUS, K3_PLUS and SCORE, and for what K3_UNBIASED and SCORE
     * are multiplied by; 0 where |d| > 20, which counts as 20. */
    double slope;
};
struct kl_value kl_at(enum kl kl, double d);
