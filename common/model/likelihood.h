/* Log-probabilities of given completions, or a critic's values of them: the learner's forward
 * without its backward, so the same bits. The rewarder's reference, eval's figures and the command
 * values come from here.
 *
 *     SCOPED(likelihood) likelihood = NULL;
 *     TRY(likelihood_new(model, 4096, longest, &likelihood));
 *     TRY(likelihood_run(likelihood, sequences, count, 1.0f / temperature, logp));
 *
 * Owner: the thread that owns the model's backend; the model outlives it. All memory is taken by
 * likelihood_new. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/model.h"
#include "model/pack.h"

enum { LIKELIHOOD_HEAD_ROWS = 512 }; // whose logits are in memory at once
struct likelihood;

/* micro_tokens: computed at once, or those of one block (pack.h), if they are more; changes no bit.
 * longest: tokens of the longest sequence that may come. INVALID: not positive. */
err_t likelihood_new(struct model *model, int micro_tokens, int longest, struct likelihood **ret);

/* ret_logp: of the targets of all sequences, one after the other; finite. RANGE: a sequence has
 * more than `longest` tokens; INVALID: a token that the model does not have; DATA_LOSS: a
 * log-probability that is not finite. On error ret_logp may be half filled. */
err_t likelihood_run(struct likelihood *likelihood, const struct sequence *sequences, size_t count,
                     float inverse_temperature, float *ret_logp);

/* The value of the state before each target, by the value's head of `of`: the likelihood's own
 * model, or a head alone (model_new_value). Errors as above. */
err_t likelihood_values(struct likelihood *likelihood, struct model *of,
                        const struct sequence *sequences, size_t count, float *ret_value);

void likelihood_free(struct likelihood *likelihood);
DEFINE_SCOPED(likelihood)

/* Whether the two directories' models can be compared token by token. Vocabulary and tokenizer must
 * be the same. The reference must take sequences of `tokens`, or as long ones as the policy does.
 * PRECONDITION names both directories and the difference; NOT_FOUND, INVALID: one of them cannot be
 * read. */
err_t likelihood_comparable(const char *policy, const char *reference, int tokens);
