/* Scores of whole sequences by a reward model: transformers' ForSequenceClassification of one
 * label.
 *
 *     SCOPED(scores) scores = NULL;
 *     TRY(model_load_reward(be, "reward", &model));
 *     TRY(scores_new(model, 2048, &scores));
 *     TRY(scores_run(scores, token, count, &score));
 *
 * Owner: the thread that owns the model's backend. The model outlives it. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "model/model.h"

struct scores;

/* longest: tokens of a sequence. INVALID: the model has no value's head. */
err_t scores_new(struct model *model, int longest, struct scores **ret);

/* The token that a score is read at: the rightmost that is not pad; with pad -1 the last; where all
 * are pad the first, as in transformers. count is at least 1. */
int scores_place(const int32_t *token, int count, int pad);

/* The value of that token, with the model's own pad token. INVALID: a token that the model does not
 * have; RANGE: no token, or more than `longest`; DATA_LOSS: the score is not finite. */
err_t scores_run(struct scores *scores, const int32_t *token, int count, float *ret);

void scores_free(struct scores *scores);
DEFINE_SCOPED(scores)
