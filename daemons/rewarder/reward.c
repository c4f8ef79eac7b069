#include "rewarder/reward.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* (completions, scorers), 1 where a scorer does not apply; the caller's. NULL: all apply. */
static uint8_t *inapplicable(const struct stage_list *list, const struct column_list *const *values,
                             uint32_t completions)
{
    uint8_t *not = NULL;
    for (size_t s = 0; s < list->scorers; s++) {
        const struct column_values *own = column_list_find(values[s], COLUMN_INAPPLICABLE);
        if (own && !not )
            not = mem_array(completions, list->scorers);
        for (uint32_t i = 0; own && i < completions; i++)
            not [i * list->scorers + s] = column_number(own->data, own->dtype, i) != 0;
    }
    return not ;
}

err_t reward_join(const struct stage_list *list, const struct column_list *const *values,
                  struct group *group)
{
    const size_t scorers = list->scorers;
    SCOPED_MEM uint8_t *not = inapplicable(list, values, group->completions);
    for (uint32_t i = 0; not &&i < group->completions; i++)
        if (!memchr(not +i * scorers, 0, scorers))
            return err_new(ERR_INVALID, "no scorer applies to completion %u", i);
    double *score = group_add(group, COLUMN_SCORES, scorers);
    for (size_t s = 0; s < scorers; s++) {
        const struct column_values *own = column_list_find(values[s], COLUMN_SCORES);
        assert(own); // a scorer without scores has failed: a score is never made up
        for (uint32_t i = 0; i < group->completions; i++)
            score[i * scorers + s] = column_number(own->data, own->dtype, i);
    }
    if (not )
        memcpy(group_add(group, COLUMN_INAPPLICABLE, scorers), not, group->completions * scorers);
    double *reward = group_add(group, COLUMN_REWARD, 1);
    for (uint32_t i = 0; i < group->completions; i++)
        for (size_t s = 0; s < scorers; s++) {
            const double of = group_score(group, i, s);
            reward[i] += isnan(of) ? 0 : list->at[s].weight * of;
        }
    return OK;
}
