/* Scores of whole sequences by a reward model: transformers' ForSequenceClassification of one
 * label.
 *
 *     SCOPED(scores) scores = NULL;
 *     TRY(model_load_reward(be, "reward", &model));
 *     TRY(scores_new(model, 2048, &scores));
 *     TRY(scores_run(scores, token, count, &score));           -- one sequence
 *     TRY(scores_run_all(scores, sequence, n, NULL, score));   -- many: the same bits
 *
 * Owner: the thread that owns the model's backend. The model outlives it. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/model.h"
#include "model/pack.h"

/* Rows of a forward: where the caller says nothing; and in a rewarder, which looks at its deadline
 * between two. */
enum { SCORES_MICRO_TOKENS = 4096, SCORES_GROUP_TOKENS = PACK_BLOCK_ROWS };
struct scores;

/* longest: tokens of a sequence. INVALID: the model has no value's head, or longest is not
 * positive. */
err_t scores_new(struct model *model, int longest, struct scores **ret);

/* The same. micro_tokens: rows computed at once, or those of one block (pack.h), if they are more;
 * changes no bit. */
err_t scores_new_micro(struct model *model, int micro_tokens, int longest, struct scores **ret);

/* The token that a score is read at: the rightmost that is not pad; with pad -1 the last; where all
 * are pad the first, as in transformers. count is at least 1. */
int scores_place(const int32_t *token, int count, int pad);

/* The value of that token, with the model's own pad token. INVALID: a token that the model does not
 * have; RANGE: no token, or more than `longest`; DATA_LOSS: the score is not finite. */
err_t scores_run(struct scores *scores, const int32_t *token, int count, float *ret);

/* Asked before each forward; an error ends the run with it. done: sequences scored so far. */
struct scores_watch {
    err_t (*look)(void *context, size_t done);
    void *context;
};

/* The scores of `count` sequences, prompt and completion together, each with the bits that
 * scores_run gives it. Either of its lengths may be 0, and its context is not read. Neighbours with
 * the same prompt (pack.h) share its rows. watch may be NULL. Errors as scores_run's, with the
 * sequence's number. On error ret may be half filled. */
err_t scores_run_all(struct scores *scores, const struct sequence *sequence, size_t count,
                     const struct scores_watch *watch, float *ret);

void scores_free(struct scores *scores);
DEFINE_SCOPED(scores)
