#include "rewarder/reward.h"
#include <assert.h>

void reward_join(const struct stage_list *list, const struct column_list *const *values,
                 struct group *group)
{
    const size_t scorers = list->scorers;
    double *score = group_add(group, COLUMN_SCORES, scorers);
    for (size_t s = 0; s < scorers; s++) {
        const struct column_values *own = column_list_find(values[s], COLUMN_SCORES);
        assert(own); // a scorer without scores has failed: a score is never made up
        for (uint32_t i = 0; i < group->completions; i++)
            score[i * scorers + s] = column_number(own->data, own->dtype, i);
    }
    double *reward = group_add(group, COLUMN_REWARD, 1);
    for (uint32_t i = 0; i < group->completions; i++) {
        const double *of = group_values(group, COLUMN_SCORES, i);
        for (size_t s = 0; s < scorers; s++)
            reward[i] += list->at[s].weight * of[s];
    }
}
