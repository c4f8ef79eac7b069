/* A recipe's scorers on this thread, without the pipeline's: what each adds to a group, and the
 * reward.
 *
 *     TRY(kit_open("[{kind: exact, column: completion}]", &kit));
 *     TRY(kit_score(&kit, group));                  -- adds scores and reward
 */
#pragma once
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rewarder/reward.h"
#include "svc/cell.h"
#include <string.h>

struct score_kit {
    struct recipe *recipe; // NULL: not ours
    struct stage_list *list;
    const struct cell *stop; // of every call
    double patience_s;       // to the deadline of every call; 0: the stage's own
};

static inline void score_kit_done(struct score_kit *kit)
{
    stage_list_free(kit->list);
    recipe_free(kit->recipe);
}

/* The scorers of a recipe that is the caller's. */
static inline err_t kit_of(const struct recipe *recipe, struct score_kit *ret)
{
    const struct stage_list_options options = {.recipe = recipe, .scorers_only = true};
    return stage_list_open(&options, &ret->list);
}

static inline err_t kit_open(const char *scorers, struct score_kit *ret)
{
    SCOPED_MEM char *text = mem_printf("rewarder:\n  scorers: %s\n", scorers);
    TRY(recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, &ret->recipe));
    return kit_of(ret->recipe, ret);
}

struct kit_call {
    struct stage_call of; // first
    struct group added;
    err_t failed;
};

static inline void kit_done(struct stage_call *of, err_t failed)
{
    ((struct kit_call *)of)->failed = failed;
}

/* One stage; what it adds becomes the group's. */
static inline err_t kit_add(const struct stage_class *class, void *state, struct group *group)
{
    struct kit_call call = {.added = *group};
    call.added.columns = (struct column_list){0};
    call.of = (struct stage_call){.group = group, .added = &call.added, .done = kit_done};
    class->start(state, &call.of);
    for (uint32_t k = 0; !err_failed(call.failed) && k < call.added.columns.count; k++) {
        struct column_values *added = &call.added.columns.at[k];
        *column_list_add(&group->columns, added->id) = *added;
        *added = (struct column_values){0};
    }
    column_list_done(&call.added.columns);
    return call.failed;
}

static inline err_t kit_score_with(struct score_kit *kit, struct group *group, const json_t *row)
{
    struct kit_call call[RECIPE_SCORERS];
    const struct column_list *values[RECIPE_SCORERS];
    err_t failed = OK;
    for (size_t i = 0; i < kit->list->count; i++) {
        const struct stage *stage = &kit->list->at[i];
        call[i].added = *group;
        call[i].added.columns = (struct column_list){0};
        call[i].of =
            (struct stage_call){.group = group,
                                .row = row,
                                .added = &call[i].added,
                                .stop = kit->stop,
                                .deadline_s = kit->patience_s ? clock_s() + kit->patience_s : 0,
                                .done = kit_done};
        stage->class->start(stage->state, &call[i].of);
        values[i] = &call[i].added.columns;
        if (err_failed(failed))
            err_free(call[i].failed);
        else if (err_failed(call[i].failed))
            failed = err_wrap(call[i].failed, "%s: kind '%s'", stage->key, stage->class->name);
    }
    if (!err_failed(failed))
        failed = reward_join(kit->list, values, group);
    for (size_t i = 0; i < kit->list->count; i++)
        column_list_done(&call[i].added.columns);
    return failed;
}

static inline err_t kit_score(struct score_kit *kit, struct group *group)
{
    SCOPED_JSON json_t *row = NULL;
    TRY(json_parse(group->row, strlen(group->row), "row", &row));
    return kit_score_with(kit, group, row);
}

/* One completion, with a token more than bytes. */
static inline err_t kit_score_text(struct score_kit *kit, const json_t *row, const char *text,
                                   size_t len, enum finish finish, double *ret_score,
                                   double *ret_reward)
{
    struct completion completion = {.text = (char *)text,
                                    .text_len = (uint32_t)len,
                                    .tokens = (uint32_t)len + 1,
                                    .finish = finish};
    struct group group = {.completions = 1, .completion = &completion};
    err_t failed = kit_score_with(kit, &group, row);
    if (!err_failed(failed)) {
        memcpy(ret_score, group_values(&group, COLUMN_SCORES, 0),
               kit->list->scorers * sizeof *ret_score);
        *ret_reward = group_value(&group, COLUMN_REWARD, 0);
    }
    column_list_done(&group.columns);
    return failed;
}
