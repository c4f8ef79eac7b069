/* sigma(z) and log sigma(z) without an exp that overflows, and without the 1 that would swallow a
 * small one.
 *
 *     -log_sigmoid(z)                                  -- the loss of a pair
 *     -sigmoid(-z)                                     -- its slope */
#pragma once
#include <math.h>

static inline double log_sigmoid(double z)
{
    return z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z));
}

static inline double sigmoid(double z)
{
    return z < 0 ? exp(z) / (1 + exp(z)) : 1 / (1 + exp(-z));
}
