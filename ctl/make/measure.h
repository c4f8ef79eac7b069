/* Measures of a model on given texts: their log-likelihood, and the distance from a reference on
 * the policy's own samples. Everything comes from the learner's forward (model/likelihood.h).
 *
 *     SCOPED_VALUE(texts) demonstrations = {0};
 *     TRY(texts_demonstrations(decoder, &set, &demonstrations));
 *     TRY(texts_logp(&demonstrations, decoder_model(decoder), micro_tokens, 1.0f, logp));
 *
 * Owner: one thread. */
#pragma once
#include "ctl/make/complete.h"
#include "model/likelihood.h"

/* Sequences of tokens; targets of all of them are their completions' tokens, one after the
 * other. */
struct texts {
    struct sequence *at;
    size_t *line; // (count) which prompt (demonstrations) or line (completions) it is of
    size_t count, targets, skipped;
    int longest; // tokens
};
void texts_done(struct texts *texts);

/* The set's rows with a prompt and an answer of its kind, as sft learns them: the end token is
 * appended to a text. Skipped and counted are the others, and those longer than the model's
 * positions. */
err_t texts_demonstrations(struct decoder *decoder, const struct prompt_set *set,
                           struct texts *ret);

/* Completions as they were sampled. */
err_t texts_completions(struct decoder *decoder, const struct collected *c, struct texts *ret);

/* ret_logp (targets). The text `what` names the work in progress. */
err_t texts_logp(const struct texts *texts, struct model *model, int micro_tokens,
                 float inverse_temperature, const char *what, float *ret_logp);

struct distance {
    double k1,
        k1_error; // sum of logp - reference over a completion: mean, its standard error; nats
    double k3;    // mean over tokens of exp(-d) - 1 + d, d = logp - reference
};
/* Estimates of KL(policy || reference) from the policy's samples (rl/kl.h). ret_completion (count):
 * each text's k1. */
struct distance texts_distance(const struct texts *texts, const float *logp, const float *reference,
                               double *ret_completion);
