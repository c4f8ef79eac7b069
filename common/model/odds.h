/* Log-odds of two tokens behind prompts. A pairwise preference model speaks so: its prompt shows
 * two answers, and the two tokens are their labels.
 *
 *     SCOPED(odds) odds = NULL;
 *     TRY(odds_new(model, 4096, 2048, &odds));
 *     TRY(odds_run(odds, prompt, count, (const int32_t[]){a, b}, NULL, log_odds));
 *     1 / (1 + exp(-log_odds[0]))               -- the probability of a among the two
 *
 * The bits of a prompt's number depend on that prompt alone. Owner: the thread that owns the
 * model's backend. The model outlives it. All memory is taken by odds_new. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/model.h"
#include "model/scores.h"

/* Prompts whose logits are in memory at once; the longest prompt, where a recipe says nothing. */
enum { ODDS_HEAD_ROWS = 64, ODDS_TOKENS = 4096 };
struct odds;

/* Tokens of the longest prompt that a model of these shapes takes, of so many. */
static inline int odds_longest(const struct model_config *config, int64_t tokens)
{
    return (int)(tokens < config->max_positions ? tokens : config->max_positions);
}

/* micro_tokens: computed at once, or those of one prompt, if they are more; changes no bit.
 * longest: tokens of the longest prompt that may come. INVALID: not positive, or the model has no
 * vocabulary's head. */
err_t odds_new(struct model *model, int micro_tokens, int longest, struct odds **ret);

struct odds_prompt {
    const int32_t *token; // (tokens) borrowed
    int tokens;           // > 0
};

/* ret[i] = logit of token[0] - logit of token[1], of the token behind prompt i. watch may be NULL;
 * its count is of prompts. RANGE: a prompt has no token, or more than `longest`; INVALID: a token
 * that the model does not have; DATA_LOSS: a number that is not finite. Errors but those of watch
 * name the prompt by its number. On error ret may be half filled. */
err_t odds_run(struct odds *odds, const struct odds_prompt *prompt, size_t count,
               const int32_t token[2], const struct scores_watch *watch, double *ret);

void odds_free(struct odds *odds);
DEFINE_SCOPED(odds)
