/* From one row of logits to a token: a pure function of the row, the settings and (seed, prompt,
 * epoch, completion, position), so the same draw comes out however rows are batched, ordered or
 * retried.
 *
 *     TRY(sampling_check(&sampling));
 *     if (sampling_penalises(&sampling))
 *         sampler_penalise(sampler, &sampling, logits, token, tokens);    -- a copy of the row
 *     be->ops->softmax(be, p, logits, sampling_inverse(&sampling), 1, V);
 *     TRY(sampler_draw(sampler, &sampling, completion, position, logits, p, &draw));
 *
 * What is recorded of a token is b_full = log softmax(logits / temperature)[token], the bits of the
 * backend's token_logp with inverse_temperature = sampling_inverse(), whatever else is set: ratios
 * use it. The log-probability in the distribution that was drawn from is b_sampled.
 *
 * The order is transformers' (vLLM applies min_p before top_k): repetition_penalty on the logits,
 * temperature, top_k, top_p of what top_k left, min_p. Equal probabilities are ranked by id, where
 * transformers keeps or sorts them otherwise.
 *
 * One thread at a time per sampler (it owns scratch memory). */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are applied. Greedy ignores the truncations. */
struct sampling {
    /* Logits of tokens that occur in the prompt or so far are divided by it, negative ones
     * multiplied, once each (Keskar 2019); 0 and 1: none. */
    float repetition_penalty;
    float temperature; // 0: greedy: the largest logit, the first of equals; logp at temperature 1
    int top_k;         // the k likeliest, ties by smaller id; 0: all
    /* The fewest likeliest that sum to >= top_p of what is left (Holtzman 2020); 0: all */
    float top_p;
    float min_p; // those of >= min_p times the likeliest (Nguyen 2024); 0: all
    uint64_t seed, prompt;
    uint32_t epoch;
};

struct draw {
    int32_t token;
    /* What the tokens kept weigh in the full distribution; 1 where nothing is truncated */
    double mass;
    double share; // the token's probability among the tokens kept
};

/* INVALID: temperature not 0 and outside [1e-3, 1e3], top_k < 0, top_p or min_p outside [0, 1],
 * repetition_penalty outside [0, 100]. */
err_t sampling_check(const struct sampling *sampling);

/* What logits are multiplied by: 1.0f / temperature; 1 for greedy. The learner uses the same
 * expression. */
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

struct sampler;
struct sampler *sampler_new(int V);

/* Applies the repetition penalty to logits (V) for token (count), the sequence so far; each token
 * counts once. */
void sampler_penalise(struct sampler *sampler, const struct sampling *sampling, float *logits,
                      const int32_t *token, int count);

/* probability (V) = softmax(logits * sampling_inverse()); greedy reads logits (V) only. position:
 * the token's index in its sequence, the prompt included. DATA_LOSS: logits that are not finite. */
err_t sampler_draw(struct sampler *sampler, const struct sampling *sampling, uint64_t completion,
                   uint64_t position, const float *logits, const float *probability,
                   struct draw *ret);

/* b_sampled of the token drawn, logp being its b_full. Finite, <= 0. */
float sampler_logp(const struct sampling *sampling, float logp, const struct draw *draw);

void sampler_free(struct sampler *sampler);
DEFINE_SCOPED(sampler)
