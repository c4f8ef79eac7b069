/* How a token is drawn from a row of logits, and the result: the op `token_draw` of backend.h.
 *
 *     const struct token_request request = {
 *         .row = 2, .inverse_temperature = 1, .rng = rng, .counter = position};
 *     struct token_draw draw;
 *     TRY(be->ops->token_draw(be, logits, N, V, &request, 1, &draw));
 *     if (!draw.finite)
 *         return err_new(ERR_DATA_LOSS, ...);
 *
 * The rules apply in transformers' order: repetition penalty on the logits, temperature, top_k,
 * top_p of the tokens left by top_k, min_p. vLLM applies min_p before top_k. Equal probabilities
 * are ranked by id, where transformers keeps or sorts them otherwise.
 *
 * A draw is a pure function of its row and its request: other requests of the call change no
 * bit. */
#pragma once
#include "base/rng.h"
#include <stdbool.h>
#include <stdint.h>

struct token_request {
    int row; // row of the logits; many requests may name one row
    /* The draw is the first of the largest logits. Truncations and `rng` are not read. */
    bool greedy;
    float inverse_temperature; // logits are multiplied by it; > 0
    /* Logits of these tokens are divided by the penalty, negative ones multiplied, once each
     * (Keskar 2019). A penalty of 0 or 1: none, and `token` is not read. */
    float repetition_penalty;
    const int32_t *token; // (tokens) the host's: the sequence so far
    int tokens;
    int top_k;   // the k likeliest tokens are kept; 0: all
    float top_p; // the fewest likeliest that sum to >= top_p are kept (Holtzman 2020); 0, 1: all
    float min_p; // tokens of >= min_p times the likeliest are kept (Nguyen 2024); 0: all
    /* rng_uniform(&rng, counter), a number in [0,1), selects the token among those kept, in the
     * order of their ids. A device computes it from these words. */
    struct rng rng;
    uint64_t counter;
};

struct token_draw {
    /* false: the row has a NaN or +infinity where the draw reads it, or no token but those at
     * -infinity, which no draw takes; nothing else is set. */
    bool finite;
    int32_t token;
    float logp;   // b_full: token_logp's bits, from the logits without penalty
    double mass;  // the full distribution's probability of the tokens kept; 1: all are kept
    double share; // the token's probability among the tokens kept; 1: greedy
};

static inline bool token_penalises(const struct token_request *request)
{
    return request->repetition_penalty > 0 && request->repetition_penalty != 1;
}
static inline bool token_truncates(const struct token_request *request)
{
    return request->top_k > 0 || request->min_p > 0 || (request->top_p > 0 && request->top_p < 1);
}
