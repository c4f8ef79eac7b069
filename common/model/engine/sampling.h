/* How completions are sampled: the settings of a request, and the draw that each position asks the
 * backend for.
 *
 *     TRY(sampling_check(&sampling));
 *     request[i] = sampling_request(&sampling, row, completion, token, length);
 *     TRY(forward_draw(forward, rows, count, request, requests, draw));
 *
 * The draw is a pure function of the logits, the settings and (seed, prompt, epoch, completion,
 * position). So the token is the same however rows are batched, ordered or retried.
 *
 * The log-probability recorded for a token is b_full = log softmax(logits / temperature)[token],
 * whatever else is set. Ratios use it. Its bits are those of token_logp with inverse_temperature =
 * sampling_inverse(). The log-probability in the distribution that was drawn from is b_sampled.
 *
 * Any thread: nothing is kept between calls. */
#pragma once
#include "base/err.h"
#include "tensor/token_draw.h"
#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are applied. Greedy ignores the truncations. */
struct sampling {
    /* Divides the logits of tokens that occur in the sequence so far, with its prompt, once each.
     * Negative logits are multiplied (Keskar 2019). 0 and 1: none. */
    float repetition_penalty;
    float temperature; // 0: greedy: the largest logit, the first of equals; logp at temperature 1
    int top_k;         // the k likeliest, ties by smaller id; 0: all
    /* The fewest likeliest that sum to >= top_p of the tokens left (Holtzman 2020); 0: all */
    float top_p;
    float min_p; // those of >= min_p times the likeliest (Nguyen 2024); 0: all
    uint64_t seed, prompt;
    uint32_t epoch;
    /* Completions of a prompt from this number on take the largest logit, with logp at temperature;
     * 0: none of them. */
    uint32_t greedy_from;
};

/* INVALID: temperature not 0 and outside [1e-3, 1e3], top_k < 0, top_p or min_p outside [0, 1],
 * repetition_penalty outside [0, 100]. */
err_t sampling_check(const struct sampling *sampling);

/* The factor of logits: 1.0f / temperature; 1 for greedy. The learner uses the same expression. */
static inline float sampling_inverse(const struct sampling *sampling)
{
    return sampling->temperature > 0 ? 1.0f / sampling->temperature : 1.0f;
}
static inline bool sampling_truncates(const struct sampling *sampling)
{
    return sampling->temperature > 0 && (sampling->top_k > 0 || sampling->min_p > 0 ||
                                         (sampling->top_p > 0 && sampling->top_p < 1));
}
static inline bool sampling_penalises(const struct sampling *sampling)
{
    return sampling->repetition_penalty > 0 && sampling->repetition_penalty != 1;
}
/* Whether b_sampled differs from b_full. */
static inline bool sampling_alters(const struct sampling *sampling)
{
    return sampling_truncates(sampling) ||
           (sampling->temperature > 0 && sampling_penalises(sampling));
}

/* The draw of the token at position `length` from a row of logits. token (length), the sequence so
 * far with its prompt, is borrowed. */
struct token_request sampling_request(const struct sampling *sampling, int row, uint64_t completion,
                                      const int32_t *token, int length);

/* b_sampled of a token that was drawn. Finite, <= 0. */
float sampling_logp(const struct sampling *sampling, const struct token_draw *draw);
