/* Scorers: stages that give each completion one raw number; the reward is their weighted sum.
 * Scorers here are pure functions of the dataset's row, the prompt and the completion.
 *
 *     static void exact_start(void *state, struct stage_call *call)
 *     {
 *         scorer_each(call, exact_score, state);
 *     }
 *
 * Any thread. The same sample gives the same bits on every machine. To add a scorer: a file in
 * scorers/, a row in stage_list.c, a test. */
#pragma once
#include "rewarder/stage.h"

/* exact   1 if the completion is the row's column, else 0.
 * regex   1 if the pattern occurs in the completion, else 0. With a column: 1 if the text that its
 *         first group took at the first match is the row's column; the whole match without groups.
 * format  1 if the pattern matches the completion from end to end and, with eos, the completion
 *         ended by itself.
 * length  1 for min..max tokens (the end token included) or characters; below in a straight line to
 *         0 at length 0, above to 0 at twice max.
 * rouge   ROUGE-L F1 against the row's column, in [0, 1]: as Google's rouge_score without stemming.
 * reward_model  the number that a model of one label gives prompt and completion.
 * preference_model  the probability that the completion beats the others of its group, as a model
 *         says that is shown two of them.
 * The work of all but regex and format is linear in the completion; theirs has limits of its own
 * (pattern.h). A search beyond them fails, so its group leaves: a score would be made up. */
extern const struct stage_class scorer_exact, scorer_regex, scorer_format, scorer_length,
    scorer_rouge, scorer_reward_model, scorer_preference_model;

/* One completion as scorers see it. text may be any bytes. */
struct scorer_sample {
    const json_t *row; // an object
    const char *text;
    size_t text_len;
    enum finish finish;
    uint32_t tokens; // with the end token
    /* Of the call, for work that may take long. deadline_s 0: none */
    const struct cell *stop;
    double deadline_s;
};

/* Scores every completion, fills the column and is done. An error names the completion. */
void scorer_each(struct stage_call *call,
                 err_t (*score)(const void *state, const struct scorer_sample *sample, double *ret),
                 const void *state);

/* The row's column as text, borrowed: of a list of one message its content. INVALID names the
 * column and the columns that are there. */
struct text_slice {
    const char *data;
    size_t len;
};
err_t scorer_column(const json_t *row, const char *column, struct text_slice *ret);
struct text_slice scorer_strip(struct text_slice text); // without ASCII white space at its ends
bool scorer_same(struct text_slice a, struct text_slice b);
