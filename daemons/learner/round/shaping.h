/* How learner.reward shapes the rewards of a round. Its parts act in this order:
 *
 *     r - bias                                   bias
 *     1 / (1 + exp(-r / squash_scale)), or tanh  squash
 *     - length_penalty * tokens                  length_penalty
 *     - overlong_penalty * penalty_overlong()    overlong_buffer
 *     - repeat_penalty * penalty_repeated()      repeat_ngram
 *     - missing_eos_penalty, or that in place    missing_eos, of completions cut off
 *     by the running mean and deviation          normalize
 *     within -clip and clip                      clip
 *
 * So the squashed number is the scorers' alone, and what replaces a reward pays nothing else. Every
 * part but `normalize` depends on the completion and its reward alone.
 * Owner: the compute thread. */
#pragma once
#include "learner/round/stages.h"

/* Whether it changes any. */
bool shaping_is_wanted(const struct round_run *run);

/* Over COLUMN_REWARD of the round; the groups keep their rewards as they were scored. Its figures
 * go to the report. */
err_t shaping_run(struct round_run *run);

/* Of a round that is not shaped there are no such figures. */
void shaping_unmeasured(struct round_report *report);
