/* Groups on their way: what stages and, in the end, the learner see of them, and their end. */
#include "base/clock.h"
#include "base/mem.h"
#include "rewarder/pipeline_parts.h"
#include "rewarder/reward.h"
#include "svc/loop.h"
#include "svc/metrics.h"

static struct metric seconds = METRIC_HISTOGRAM(
    "rlhfd_score_seconds", "one group at all of its stages", 0.0001, 0.001, 0.01, 0.1, 1, 10);
static struct metric *const rows[] = {&seconds};

void items_register(void)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
}

struct stage *stage_of(const struct item *item, const struct progress *progress)
{
    return &item->pipeline->list->at[stage_index(item, progress)];
}

/* A list that borrows the values. */
static void gather(struct column_list *to, const struct column_list *from, uint64_t which)
{
    for (uint32_t k = 0; k < from->count; k++)
        if (from->at[k].id >= COLUMNS || which & COLUMN_BIT(from->at[k].id))
            *column_list_place(to, from->at[k].id) = from->at[k];
}

void item_view(const struct item *item, uint64_t which, struct group *ret)
{
    *ret = *item->group;
    ret->columns = (struct column_list){0};
    gather(&ret->columns, &item->group->columns, ~UINT64_C(0));
    gather(&ret->columns, &item->joined, which);
    for (size_t i = item->pipeline->list->scorers; i < item->pipeline->list->count; i++)
        if (item->at[i].state == DONE)
            gather(&ret->columns, &item->at[i].values, which);
}

err_t item_join_scores(struct item *item)
{
    const struct stage_list *list = item->pipeline->list;
    const struct column_list *values[STAGES_MAX];
    struct group frame = *item->group;
    for (size_t i = 0; i < list->scorers; i++) {
        if (item->at[i].state != DONE)
            return OK;
        values[i] = &item->at[i].values;
    }
    frame.columns = (struct column_list){0};
    TRY(reward_join(list, values, &frame));
    item->joined = frame.columns;
    return OK;
}

/* ---- the end of a group */

void item_free(struct item *item)
{
    if (item->next)
        item->next->prev = item->prev;
    *item->prev = item->next;
    for (size_t i = 0; i < STAGES_MAX; i++)
        column_list_done(&item->at[i].values);
    column_list_done(&item->joined);
    json_decref(item->row);
    group_free(item->group);
    mem_free(item);
}

void item_release(struct item *item)
{
    if (item->left && !item->calls && !item->pins)
        item_free(item);
}

void call_free(struct call *call)
{
    if (call->next)
        call->next->prev = call->prev;
    *call->prev = call->next;
    column_list_done(&call->out.columns);
    mem_free(call->in.columns.at);
    err_free(call->failed);
    mem_free(call);
}

void call_stop(struct call *call)
{
    const struct stage *stage = &call->item->pipeline->list->at[call->work.stage];
    struct standing *standing = &call->item->pipeline->at[call->work.stage];
    if (standing->probe == call)
        standing->probe = NULL;
    if (call->work.begun_s) {
        call->progress = NULL;
        cell_set(&call->stop, 1);
        call->work.late_s = clock_s();
        if (stage->class->cancel)
            stage->class->cancel(stage->state, &call->of);
    } else {
        stage_lanes_withdraw(call->item->pipeline->lanes, &call->work);
        call->item->calls--;
        call_free(call);
    }
}

void progress_abandon(struct progress *progress)
{
    if (progress->state != UNDER_WAY)
        return;
    call_stop(progress->call);
    progress->call = NULL;
    progress->state = TO_BEGIN;
}

/* Whether a group with this failure may be scorable another time. */
static bool may_pass(err_t why)
{
    switch (err_code(why)) {
    case ERR_INVALID: // the group itself is at fault, or its row
    case ERR_NOT_FOUND:
    case ERR_RANGE:
        return false;
    default:
        return true;
    }
}

void item_leave(struct item *item, err_t why)
{
    struct pipeline *pipeline = item->pipeline;
    const uint64_t all = err_failed(why) ? 0 : ~UINT64_C(0);
    struct group group;
    item_view(item, all, &group);
    group.failure = err_failed(why) ? (char *)err_message(why) : NULL;
    group.unscored = err_failed(why) && may_pass(why);
    item->left = true;
    pipeline->count--;
    if (!pipeline->count)
        loop_timer_stop(pipeline->tick);
    for (size_t i = 0; i < pipeline->list->count; i++)
        progress_abandon(&item->at[i]);
    metric_observe(&seconds, clock_s() - item->came_s);
    pipeline->options.left(pipeline->options.arg, &group, item->tag);
    mem_free(group.columns.at);
    err_free(why);
    item_release(item);
}
