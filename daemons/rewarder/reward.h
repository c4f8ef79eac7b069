/* Scores of all scorers as two columns: the raw scores in the recipe's order, and their weighted
 * sum. Pure.
 *
 *     reward_join(list, values, &out);       -- values[i]: what stage i has added
 */
#pragma once
#include "rewarder/stage_list.h"

/* Adds scores and reward to a group. Each scorer's values have one score of each completion. */
void reward_join(const struct stage_list *list, const struct column_list *const *values,
                 struct group *group);
