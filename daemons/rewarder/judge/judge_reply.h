/* Inside judge only: the verdict in a server's answer.
 *
 *     TRY(judge_reply(judge, data, len, &verdict));      -- hostile: each fault has a name (answer_fault.h)
 *
 * By log-probabilities: of the labels at the first token that is drawn, each one's value by its
 * share. By regex: the text of the pattern's first group is a label, or a number of `range`. The
 * number's place in the range, from 0 to 1, is the verdict. Any thread. */
#pragma once
#include "rewarder/judge/judge_state.h"

/* "A=1" and the like into judge->label. INVALID names the key. */
err_t judge_read_labels(struct judge *judge);

err_t judge_reply(const struct judge *judge, const void *data, size_t len, double *ret);
