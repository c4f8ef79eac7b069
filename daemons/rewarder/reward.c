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
    uint8_t *absent = NULL;
    for (size_t s = 0; s < list->scorers; s++) {
        const struct column_values *own = column_list_find(values[s], COLUMN_INAPPLICABLE);
        if (own && !absent)
            absent = mem_array(completions, list->scorers);
        for (uint32_t i = 0; own && i < completions; i++)
            absent[i * list->scorers + s] = column_number(own->data, own->dtype, i) != 0;
    }
    return absent;
}

/* A sum of no score at all would be a made-up one. Gates alone are no sum. */
static bool is_scored(const struct stage_list *list, const uint8_t *absent)
{
    bool sums = false;
    for (size_t s = 0; s < list->scorers; s++) {
        if (!list->at[s].limits.gate && !absent[s])
            return true;
        sums = sums || !list->at[s].limits.gate;
    }
    return !sums;
}

/* The first gate that does not let the completion pass; NULL: it passes. A gate that does not
 * apply is open. */
static const struct stage *closed(const struct stage_list *list, const struct group *group,
                                  uint32_t i)
{
    for (size_t s = 0; s < list->scorers; s++)
        if (list->at[s].limits.gate && group_score(group, i, s) < list->at[s].success)
            return &list->at[s];
    return NULL;
}

static double sum_of(const struct stage_list *list, const struct group *group, uint32_t i)
{
    const struct stage *gate = closed(list, group, i);
    double sum = 0;
    if (gate)
        return gate->limits.gated;
    for (size_t s = 0; s < list->scorers; s++) {
        const double score = group_score(group, i, s);
        sum += isnan(score) || list->at[s].limits.gate ? 0 : list->at[s].weight * score;
    }
    return sum;
}

/* The largest of the scorers'. */
static void join_spread(const struct stage_list *list, const struct column_list *const *values,
                        struct group *group)
{
    double *spread = NULL;
    for (size_t s = 0; s < list->scorers; s++) {
        const struct column_values *own = column_list_find(values[s], COLUMN_ENSEMBLE_STD);
        if (own && !spread)
            spread = group_add(group, COLUMN_ENSEMBLE_STD, 1);
        for (uint32_t i = 0; own && i < group->completions; i++)
            spread[i] = fmax(spread[i], column_number(own->data, own->dtype, i));
    }
}

err_t reward_join(const struct stage_list *list, const struct column_list *const *values,
                  struct group *group)
{
    const size_t scorers = list->scorers;
    SCOPED_MEM uint8_t *absent = inapplicable(list, values, group->completions);
    for (uint32_t i = 0; absent && i < group->completions; i++)
        if (!is_scored(list, absent + i * scorers))
            return err_new(ERR_INVALID, "no scorer applies to completion %u", i);
    double *score = group_add(group, COLUMN_SCORES, scorers);
    for (size_t s = 0; s < scorers; s++) {
        const struct column_values *own = column_list_find(values[s], COLUMN_SCORES);
        assert(own); // a scorer without scores has failed: a score is never made up
        for (uint32_t i = 0; i < group->completions; i++)
            score[i * scorers + s] = column_number(own->data, own->dtype, i);
    }
    if (absent)
        memcpy(group_add(group, COLUMN_INAPPLICABLE, scorers), absent,
               group->completions * scorers);
    double *reward = group_add(group, COLUMN_REWARD, 1);
    for (uint32_t i = 0; i < group->completions; i++)
        reward[i] = sum_of(list, group, i);
    join_spread(list, values, group);
    return OK;
}
