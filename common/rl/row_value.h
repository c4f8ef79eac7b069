/* One row of the vocabulary in double: the specification of the backend's ops row_terms and
 * row_terms_backward (tensor/backend.h), which are held against it.
 *
 *     struct row_ask ask = {.z = z, .reference = q, .width = V, .token = 7, .rival = -1, .scale = 1};
 *     struct row_value value;
 *     row_value(&ask, &value);                           -- value.logp, value.at[ROW_FORWARD_KL]
 *     row_slope(&ask, &value, dlogp, slope, dz);         -- d loss / d z of a loss with these slopes
 *
 * x = z scale, p = softmax(x), and d_v = log p_v - log q_v within +-ROW_DISTANCE_MAX. The slopes:
 *
 *     entropy      d/dx_v = -p_v (log p_v + entropy)
 *     forward_kl   d/dx_v = p_v - q_v
 *     reverse_kl   d/dx_v = p_v (d_v - reverse_kl)
 *     jsd          d/dx_v = (1 - beta) p_v (L_v - sum p L), L_v = -log(1 - beta + beta exp(-d_v))
 *     a token's logp, the rival's too: d/dx_v = [v = token] - p_v
 *
 * Pure; any thread. */
#pragma once
#include "rl/row_term.h"
#include <stddef.h>
#include <stdint.h>

#define ROW_DISTANCE_MAX 80.0 // nats: exp of it, and of minus it, is a float32

struct row_ask {
    const double *z;         // (width) logits; -infinity: no token
    const double *reference; // likewise the reference's; NULL: none
    size_t width, token;
    int64_t rival; // -1: the likeliest but for the token, the first of equals
    double scale;  // inverse temperature, of both
    double beta;   // of jsd
};

struct row_value {
    double logp, at[ROW_TERMS]; // those of a reference that is not there are 0
    size_t rival;               // width where there is no other token
};

void row_value(const struct row_ask *ask, struct row_value *ret);

/* value: of the same row. slope: of each term. */
void row_slope(const struct row_ask *ask, const struct row_value *value, double dlogp,
               const double slope[ROW_TERMS], double *ret_dz);
