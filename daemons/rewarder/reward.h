/* Scores of all scorers as two columns: the raw scores in the recipe's order, and their weighted
 * sum. A third says which do not apply, where there are such. A gate's score is no part of the sum:
 * it decides whether there is one. Pure.
 *
 *     TRY(reward_join(list, values, &out));       -- values[i]: columns that stage i has added
 */
#pragma once
#include "rewarder/stage_list.h"

/* Adds scores and reward to a group. Each scorer's values have one score of each completion.
 * INVALID: no scorer applies to a completion, so there is no reward; nothing is added. */
err_t reward_join(const struct stage_list *list, const struct column_list *const *values,
                  struct group *group);
