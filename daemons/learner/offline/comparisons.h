/* Rows of preferences as a pairwise preference model learns them. Each pair of answers that are not
 * equally good becomes two groups: the better one is shown first, and second. A group's completions
 * are the two labels, that of the better answer first; the other's reward is 0. The first one's is
 * the log-odds of what people say: COMPARISON_SURE, or of the share of annotators that prefer it.
 *
 *     TRY(comparisons_open(recipe, tokenizer, &comparison));
 *     struct comparisons comparisons = {&rules, put, &rows};
 *     row_files_read(files, (struct row_taker){comparisons_take, &comparisons}, ...)
 *
 * Owner: one thread. */
#pragma once
#include "learner/offline/dataset.h"

/* The sigmoid of this number is 1. */
#define COMPARISON_SURE 40.0

struct comparisons {
    const struct dataset_rules *rules;          // with a comparison
    void (*put)(void *to, struct group *group); // takes the group
    void *to;
};

/* By learner.preference_model and the chat template of model.path. INVALID names the key. */
err_t comparisons_open(const struct recipe *recipe, const struct tokenizer *tokenizer,
                       struct comparison **ret);

/* A row_taker's, whose arg is a struct comparisons. A row of which a comparison is longer than
 * rules->prompt_tokens is skipped whole. */
err_t comparisons_take(void *arg, const json_t *row, const char *name, uint64_t *ret_made);
