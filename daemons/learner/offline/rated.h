/* People's judgement of a row's answers. They prefer one, by a margin and by a share of them, or
 * rate each.
 *
 *     struct rating rating = {0};
 *     TRY(rated_row(objective, row, "rated.jsonl:7", end, &tokens, &rating));
 *     rating_put(&rating, group);                 -- COLUMN_MARGIN, COLUMN_PREFERRED
 *
 * Any thread. */
#pragma once
#include "base/hash.h"
#include "model/text/rows/row_encode.h"
#include "rl/objective_table.h"
#include "wire/rollout.h"

struct rating {
    double reward[ROW_SIDES];
    bool has_margin, has_preferred;
    double margin;    // column `margin`
    double preferred; // of `labels`: the share of annotators that prefer `chosen`
};

/* Of an encoded row, by the objective. One that compares takes preferences and ranked completions.
 * One of single completions takes ranked ones and labels; a prompt and its completion, or a text,
 * need a number `score`. Answers are cut behind their last end token, where generated ones end. A
 * text has a first token as prompt. INVALID: another kind of row, or a column that is none of
 * these. */
err_t rated_row(const struct objective_row *objective, const json_t *row, const char *name, int end,
                struct row_tokens *tokens, struct rating *ret);

/* The column `labels` of a preference alone; absent: nothing is set. INVALID: it is none. */
err_t rated_labels(const json_t *row, const char *name, struct rating *ret);

/* The columns that the rating has, beside the group's rewards; their values into a digest. */
void rating_put(const struct rating *rating, struct group *group);
void rating_hash(const struct group *group, uint32_t i, struct hash *hash);
