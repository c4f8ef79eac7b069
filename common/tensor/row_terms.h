/* Terms of a whole row of the vocabulary, and their slopes: the ops `row_terms` and
 * `row_terms_backward` of backend.h. The objectives' side has the formulas and a specification in
 * double (rl/row_value.h, whose order of terms this is).
 *
 *     const struct row_call call = {.token = target, .inverse_temperature = 1, .beta = 0.5f, .N = n, .V = V};
 *     const struct row_values values = {.at = {[TERM_ENTROPY] = entropy}};
 *     TRY(be->ops->row_terms(be, logits, reference, &call, &values));
 *
 * Valid C++. */
#pragma once
#include <stdint.h>

enum {
    TERM_ENTROPY,
    TERM_FORWARD_KL,
    TERM_REVERSE_KL,
    TERM_JSD,
    TERM_RIVAL_LOGP,
    TERM_COUNT,
    TERM_LOGP = TERM_COUNT, // of the token, beside them
    TERM_SLOPES
};

/* log p - log q is held within this, so a token that one of the two never draws is that far. */
#define TERM_DISTANCE_MAX 80.0f

struct row_call {
    const int32_t *token; // (N) the host's
    float inverse_temperature, beta;
    int N, V;
};

/* (N) each, the host's; NULL: not wanted. */
struct row_values {
    float *at[TERM_COUNT];
};

/* d loss / d term of each row, (N) each, the host's; NULL: 0. */
struct row_slopes {
    const float *at[TERM_SLOPES];
};
