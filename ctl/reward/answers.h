/* The sequences of a line that a reward model scores: the answers of a dataset's row, or a
 * completion as `rlhfctl generate` and `rlhfctl eval --out` write it.
 *
 *     SCOPED_VALUE(answers) answers = {0};
 *     TRY(answers_read(&rules, false, line, "pairs.jsonl:7", &answers));
 *     answers.tokens.at[0].id                            -- prompt, answer and end token
 *     answers_put(&answers, "score", score, line);       -- "score_chosen", "score_rejected"
 *
 * Any thread. */
#pragma once
#include "model/text/rows/row_encode.h"

enum answers_shape {
    ANSWERS_ONE,  // a completion, a text, a conversation: NAME
    ANSWERS_PAIR, // chosen and rejected: NAME_chosen, NAME_rejected
    ANSWERS_LIST, // completions, with or without scores: NAMEs, a list
};

struct answers {
    enum answers_shape shape;
    struct row_tokens tokens;
};

/* text: a completion's text is tokenized again; else its "ids" count. INVALID: "NAME: ..." and the
 * fault: no row of a known format, nothing to score, ids of another tokenizer. */
err_t answers_read(const struct row_rules *rules, bool text, const json_t *line, const char *name,
                   struct answers *ret);
void answers_done(struct answers *answers);

/* The columns of a line that would hold its scores. INVALID: it has one of them. */
err_t answers_vacant(const struct answers *answers, const char *column, const json_t *line,
                     const char *name);

/* score: one for each sequence; NaN becomes null. A column of that name is replaced. */
void answers_put(const struct answers *answers, const char *column, const double *score,
                 json_t *line);

/* The name of a score's column (i: 0 chosen, 1 rejected; else not read); returns ret. */
enum { ANSWERS_COLUMN_MAX = 64, ANSWERS_COLUMN = ANSWERS_COLUMN_MAX + 16 };
const char *answers_column(enum answers_shape shape, const char *column, int i,
                           char ret[ANSWERS_COLUMN]);
