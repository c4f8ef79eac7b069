/* Inside judge only: a question as a request's body.
 *
 *     TRY(judge_ask(judge, group, row, &question, &body));
 *
 * The template sees prompt (text), messages, completion or first and second, row, principle. Equal
 * questions are equal bytes, whoever asks. Any thread. */
#pragma once
#include "rewarder/judge/judge_state.h"

/* INVALID: a text that is not UTF-8, a row without prompt or column, a template that fails. */
err_t judge_ask(const struct judge *judge, const struct group *group, const json_t *row,
                const struct question *question, char **ret);
