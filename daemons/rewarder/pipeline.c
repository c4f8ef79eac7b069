#include "rewarder/pipeline.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rewarder/reward.h"
#include "rewarder/stage_figures.h"
#include "rewarder/stage_lanes.h"
#include "svc/cell.h"
#include "svc/loop.h"
#include "svc/metrics.h"
#include "svc/stations.h"
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* Between looks at deadlines; before the second attempt; at least, for threads that are late. */
enum { TICK_MS = 20, PAUSE_MS = 100, PATIENCE_MS = 1000 };

enum progress_state { TO_BEGIN, UNDER_WAY, PAUSES, DONE };

/* A group at one of its stages. */
struct progress {
    enum progress_state state;
    struct call *call; // UNDER_WAY
    int64_t attempts;
    double due_s;   // 0: it has not begun yet
    double again_s; // PAUSES: the next attempt
    /* DONE: what the stage has added; never changed. */
    struct column_list values;
};

/* A group on its way. All that calls read stays as it is until the last of them has ended. */
struct item {
    struct pipeline *pipeline;
    struct item *next, **prev;
    struct group *group;
    json_t *row;
    void *tag;
    size_t calls; // under way, late ones too
    bool left;
    double came_s;
    struct column_list joined; // scores and reward, once all scorers are done
    struct progress at[STAGES_MAX];
};

struct call {
    struct stage_call of; // first: what stages see
    struct lane_work work;
    struct call *next, **prev;
    struct item *item;
    struct progress *progress; // NULL: its item has left
    struct group in, out;
    double asked_s;
    struct cell stop;
    err_t failed;
};

struct pipeline {
    struct pipeline_options options;
    struct stage_list *list;
    struct stage_lanes *lanes;
    struct loop_timer *tick;
    struct item *items;
    struct call *calls;
    size_t count; // items that have not left
};

static struct metric seconds = METRIC_HISTOGRAM(
    "rlhfd_score_seconds", "one group at all of its stages", 0.0001, 0.001, 0.01, 0.1, 1, 10);
static struct metric retries =
    METRIC_COUNTER("rlhfd_stage_retries_total", "groups tried again by a stage that had failed");
static struct metric overdue = METRIC_COUNTER("rlhfd_stage_overdue_total",
                                              "groups given up as a stage gave no answer in time");
static struct metric *const rows[] = {&seconds, &retries, &overdue};

static struct stage *stage_of(const struct item *item, const struct progress *progress)
{
    return &item->pipeline->list->at[progress - item->at];
}

/* ---- what a stage, and in the end the learner, sees of a group */

/* A list that borrows the values. */
static void gather(struct column_list *to, const struct column_list *from, uint64_t which)
{
    for (uint32_t k = 0; k < from->count; k++)
        if (from->at[k].id >= COLUMNS || which & COLUMN_BIT(from->at[k].id))
            *column_list_place(to, from->at[k].id) = from->at[k];
}

/* The group with its own columns and those of `which` that stages have filled. The array
 * ret->columns.at is the caller's, what it points to is borrowed. */
static void view(const struct item *item, uint64_t which, struct group *ret)
{
    *ret = *item->group;
    ret->columns = (struct column_list){0};
    gather(&ret->columns, &item->group->columns, ~UINT64_C(0));
    gather(&ret->columns, &item->joined, which);
    for (size_t i = item->pipeline->list->scorers; i < item->pipeline->list->count; i++)
        if (item->at[i].state == DONE)
            gather(&ret->columns, &item->at[i].values, which);
}

/* Once the last scorer is done. */
static void join_scores(struct item *item)
{
    const struct stage_list *list = item->pipeline->list;
    const struct column_list *values[STAGES_MAX];
    struct group frame = *item->group;
    for (size_t i = 0; i < list->scorers; i++) {
        if (item->at[i].state != DONE)
            return;
        values[i] = &item->at[i].values;
    }
    frame.columns = (struct column_list){0};
    reward_join(list, values, &frame);
    item->joined = frame.columns;
}

/* ---- the end of a group */

static void item_free(struct item *item)
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

static void call_free(struct call *call)
{
    if (call->next)
        call->next->prev = call->prev;
    *call->prev = call->next;
    column_list_done(&call->out.columns);
    mem_free(call->in.columns.at);
    err_free(call->failed);
    mem_free(call);
}

/* Nobody waits for the stage's answer any more. */
static void abandon(struct item *item, struct progress *progress)
{
    struct call *call = progress->call;
    const struct stage *stage = stage_of(item, progress);
    if (progress->state != UNDER_WAY)
        return;
    if (call->work.begun_s) {
        call->progress = NULL;
        cell_set(&call->stop, 1);
        call->work.late_s = clock_s();
        if (stage->class->cancel)
            stage->class->cancel(stage->state, &call->of);
    } else {
        stage_lanes_withdraw(item->pipeline->lanes, &call->work);
        item->calls--;
        call_free(call);
    }
    progress->state = TO_BEGIN;
}

/* Takes why; OK: with all columns. */
static void leave(struct item *item, err_t why)
{
    struct pipeline *pipeline = item->pipeline;
    const uint64_t all = err_failed(why) ? 0 : ~UINT64_C(0);
    struct group group;
    view(item, all, &group);
    group.failure = err_failed(why) ? (char *)err_message(why) : NULL;
    item->left = true;
    pipeline->count--;
    if (!pipeline->count)
        loop_timer_stop(pipeline->tick);
    for (size_t i = 0; i < pipeline->list->count; i++)
        abandon(item, &item->at[i]);
    metric_observe(&seconds, clock_s() - item->came_s);
    pipeline->options.left(pipeline->options.arg, &group, item->tag);
    mem_free(group.columns.at);
    err_free(why);
    if (!item->calls)
        item_free(item);
}

/* An attempt has failed: the stage pauses, or the group leaves. Takes why. */
static void fail(struct item *item, struct progress *progress, err_t why)
{
    const struct stage *stage = stage_of(item, progress);
    const int64_t attempts = ++progress->attempts, most = stage->limits.attempts;
    const double pause_s = PAUSE_MS / 1000.0 * (double)(1 << (attempts < 16 ? attempts - 1 : 15));
    const double again_s = clock_s() + pause_s;
    progress->call = NULL;
    if (err_is_transient(why) && attempts < most &&
        (!progress->due_s || again_s < progress->due_s)) {
        progress->state = PAUSES;
        progress->again_s = again_s;
        metric_add(&retries, 1);
        log_limited(LOG_WARNING, 1, "stage failed",
                    "stage=%s slot=%" PRIu64 " attempt=%" PRId64 " why=\"%s\"", stage->key,
                    item->group->slot, attempts, err_message(why));
        err_free(why);
        return;
    }
    progress->state = TO_BEGIN;
    if (attempts > 1)
        why = err_wrap(why, "attempt %" PRId64 " of %" PRId64, attempts, most);
    leave(item, err_wrap(why, "%s: kind '%s'", stage->key, stage->class->name));
}

/* ---- calls */

static void advance(struct item *item);

/* The deadline counts from the first attempt's begin. */
static void note_due(const struct item *item, struct progress *progress)
{
    const double begun_s = progress->call->work.begun_s;
    if (begun_s && !progress->due_s)
        progress->due_s = begun_s + (double)stage_of(item, progress)->limits.deadline_ms / 1000;
}

/* The class' name stays, whatever becomes of the list. */
static void tell_ended(const struct call *call, err_t failed)
{
    const double seconds = clock_s() - call->asked_s;
    const struct stage *stage = &call->item->pipeline->list->at[call->work.stage];
    stage_figures_ended(call->work.stage, seconds, err_failed(failed));
    station_note(&call->in.id, &(struct station){.name = err_failed(failed) ? "failed" : "scored",
                                                 .detail = stage->class->name,
                                                 .seconds = seconds});
}

/* Loop thread: a stage has answered. */
static void call_ended(void *arg)
{
    struct call *call = arg;
    struct item *item = call->item;
    struct progress *progress = call->progress;
    const err_t failed = call->failed;
    call->failed = OK;
    if (progress)
        note_due(item, progress);
    item->calls--;
    stage_lanes_ended(item->pipeline->lanes, &call->work);
    tell_ended(call, failed);
    if (progress && !err_failed(failed)) {
        progress->values = call->out.columns;
        call->out.columns = (struct column_list){0};
        progress->call = NULL;
        progress->state = DONE;
    }
    call_free(call);
    if (!progress) { // too late
        err_free(failed);
        if (item->left && !item->calls)
            item_free(item);
    } else if (err_failed(failed))
        fail(item, progress, failed);
    else
        advance(item);
}

/* Any thread. */
static void answered(struct stage_call *of, err_t failed)
{
    struct call *call = (struct call *)of;
    call->failed = failed;
    loop_post(call->item->pipeline->options.loop, call_ended, call);
}

/* The stage's thread. */
static void run(void *none, void *arg)
{
    (void)none;
    struct lane_work *work = arg;
    struct call *call = (struct call *)((char *)work - offsetof(struct call, work));
    const struct stage *stage = &call->item->pipeline->list->at[work->stage];
    if (!call->of.deadline_s)
        call->of.deadline_s = work->begun_s + (double)stage->limits.deadline_ms / 1000;
    stage->start(stage->state, &call->of);
}

static void begin(struct item *item, struct progress *progress)
{
    struct pipeline *pipeline = item->pipeline;
    struct call *call = mem_new(sizeof *call);
    call->item = item;
    call->progress = progress;
    call->asked_s = clock_s();
    call->work = (struct lane_work){.stage = (size_t)(progress - item->at), .run = run};
    view(item, stage_of(item, progress)->needs, &call->in);
    call->out = *item->group;
    call->out.columns = (struct column_list){0};
    call->of = (struct stage_call){.group = &call->in,
                                   .row = item->row,
                                   .added = &call->out,
                                   .deadline_s = progress->due_s,
                                   .stop = &call->stop,
                                   .done = answered};
    call->next = pipeline->calls;
    call->prev = &pipeline->calls;
    if (call->next)
        call->next->prev = &call->next;
    pipeline->calls = call;
    progress->state = UNDER_WAY;
    progress->call = call;
    item->calls++;
    stage_lanes_run(pipeline->lanes, &call->work);
}

/* ---- groups */

static bool is_ready(const struct item *item, size_t i)
{
    const struct stage_list *list = item->pipeline->list;
    if (item->at[i].state != TO_BEGIN)
        return false;
    for (size_t before = 0; before < i; before++)
        if ((list->at[i].needs & list->at[before].class->fills) && item->at[before].state != DONE)
            return false;
    return true;
}

/* Begins what may begin; a group that has passed every stage leaves. */
static void advance(struct item *item)
{
    const struct stage_list *list = item->pipeline->list;
    size_t done = 0;
    if (!item->joined.count)
        join_scores(item);
    for (size_t i = 0; i < list->count; i++) {
        done += item->at[i].state == DONE;
        if (is_ready(item, i))
            begin(item, &item->at[i]);
    }
    if (done == list->count)
        leave(item, OK);
}

static err_t read_row(const struct group *group, json_t **ret)
{
    SCOPED_JSON json_t *row = NULL;
    TRY(json_parse(group->row, strlen(group->row), "row", &row));
    if (!json_is_object(row))
        return err_new(ERR_INVALID, "row: is no JSON object");
    *ret = STEAL(row);
    return OK;
}

void pipeline_put(struct pipeline *pipeline, struct group *group, void *tag)
{
    struct item *item = mem_new(sizeof *item);
    *item = (struct item){.pipeline = pipeline,
                          .next = pipeline->items,
                          .prev = &pipeline->items,
                          .group = group,
                          .tag = tag,
                          .came_s = clock_s()};
    if (item->next)
        item->next->prev = &item->next;
    pipeline->items = item;
    if (!pipeline->count++)
        loop_timer_start(pipeline->tick, TICK_MS, TICK_MS);
    err_t failed = read_row(group, &item->row);
    if (err_failed(failed))
        leave(item, failed);
    else
        advance(item);
}

size_t pipeline_count(const struct pipeline *pipeline)
{
    return pipeline->count;
}

/* ---- time */

/* A thread that is late may yet come back: it is given the deadline a second time. */
static bool waits_in_vain(const struct item *item, const struct progress *progress, double now_s)
{
    const double stuck_s =
        stage_lanes_stuck_s(item->pipeline->lanes, (size_t)(progress - item->at));
    const double patience_s = (double)stage_of(item, progress)->limits.deadline_ms / 1000;
    return stuck_s > 0 && now_s - stuck_s > fmax(patience_s, PATIENCE_MS / 1000.0);
}

/* Returns whether the group is as it was, so that its next stage may be looked at. */
static bool look_at(struct item *item, struct progress *progress, double now_s)
{
    const struct stage *stage = stage_of(item, progress);
    const bool under_way = progress->state == UNDER_WAY;
    if (under_way)
        note_due(item, progress);
    if (under_way && progress->due_s && now_s > progress->due_s) {
        metric_add(&overdue, 1);
        leave(item,
              err_new(ERR_DEADLINE, "%s: kind '%s': no answer in %" PRId64 " ms (deadline_ms)",
                      stage->key, stage->class->name, stage->limits.deadline_ms));
        return false;
    }
    if (under_way && !progress->call->work.begun_s && waits_in_vain(item, progress, now_s)) {
        abandon(item, progress);
        fail(item, progress,
             err_new(ERR_UNAVAILABLE,
                     "its threads are held by groups that are over their deadline"));
        return false;
    }
    if (progress->state == PAUSES && now_s >= progress->again_s)
        begin(item, progress);
    return true;
}

static void tick(void *arg)
{
    struct pipeline *pipeline = arg;
    const double now_s = clock_s();
    for (struct item *item = pipeline->items, *next; item; item = next) {
        next = item->next;
        for (size_t i = 0; !item->left && i < pipeline->list->count; i++)
            if (!look_at(item, &item->at[i], now_s))
                break;
    }
}

/* ---- begin and end */

err_t pipeline_open(const struct pipeline_options *options, struct pipeline **ret)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(pipeline) pipeline = mem_new(sizeof *pipeline);
    pipeline->options = *options;
    pipeline->list = options->list;
    stage_figures_register(options->list);
    pipeline->tick = loop_timer_new(options->loop, tick, pipeline);
    TRY(stage_lanes_open(pipeline->list, &pipeline->lanes));
    *ret = STEAL(pipeline);
    return OK;
}

void pipeline_free(struct pipeline *pipeline)
{
    if (!pipeline)
        return;
    for (struct item *item = pipeline->items; item; item = item->next)
        for (size_t i = 0; i < pipeline->list->count; i++)
            abandon(item, &item->at[i]);
    if (pipeline->lanes)
        stage_lanes_stop(pipeline->lanes);
    stage_list_stop(pipeline->list);
    loop_run_posted(pipeline->options.loop); // answers of the last calls
    stage_list_free(pipeline->list);
    while (pipeline->calls)
        call_free(pipeline->calls);
    while (pipeline->items) {
        if (!pipeline->items->left && pipeline->options.dropped)
            pipeline->options.dropped(pipeline->items->tag);
        item_free(pipeline->items);
    }
    stage_lanes_free(pipeline->lanes);
    loop_timer_free(pipeline->tick);
    mem_free(pipeline);
}
