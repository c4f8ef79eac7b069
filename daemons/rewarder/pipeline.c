#include "rewarder/pipeline.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rewarder/pipeline_parts.h"
#include "rewarder/stage_figures.h"
#include "svc/loop.h"
#include <math.h>
#include <string.h>

/* Between looks at deadlines; at least, for threads that are late. */
enum { TICK_MS = 20, PATIENCE_MS = 1000 };

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
        item_leave(item, failed);
    else
        item_advance(item);
}

size_t pipeline_count(const struct pipeline *pipeline)
{
    return pipeline->count;
}

bool pipeline_has(const struct pipeline *pipeline, const struct digest *id)
{
    for (const struct item *item = pipeline->items; item; item = item->next)
        if (!item->left && digest_equal(&item->group->id, id))
            return true;
    return false;
}

/* ---- time */

/* A thread that is late may yet come back: it is given the deadline a second time. */
static bool waits_in_vain(const struct item *item, const struct progress *progress, double now_s)
{
    const double stuck_s = stage_lanes_stuck_s(item->pipeline->lanes, stage_index(item, progress));
    const double patience_s = (double)stage_of(item, progress)->limits.deadline_ms / 1000;
    return stuck_s > 0 && now_s - stuck_s > fmax(patience_s, PATIENCE_MS / 1000.0);
}

static void look_at_call(struct item *item, struct progress *progress, double now_s)
{
    item_note_due(item, progress);
    if (progress->due_s && now_s > progress->due_s) {
        item_overdue(item, progress);
    } else if (!progress->call->work.begun_s && waits_in_vain(item, progress, now_s)) {
        progress_abandon(progress);
        item_fail(item, progress,
                  err_new(ERR_UNAVAILABLE,
                          "its threads are held by groups that are over their deadline"));
    }
}

/* While the stage is open deadlines of groups that wait for it stand still. */
static void look_at(struct item *item, size_t i, double now_s)
{
    struct progress *progress = &item->at[i];
    const struct pipeline *pipeline = item->pipeline;
    const bool open = circuit_is_open(&pipeline->at[i].circuit);
    if (progress->state == UNDER_WAY)
        look_at_call(item, progress, now_s);
    else if (open && progress->due_s)
        progress->due_s += now_s - pipeline->looked_s;
    else if (!open &&
             ((progress->state == PAUSES && now_s >= progress->again_s) || item_is_ready(item, i)))
        item_begin(item, progress);
}

static void look_at_stage(struct pipeline *pipeline, size_t i, double now_s)
{
    const struct standing *at = &pipeline->at[i];
    const double patience_s = (double)pipeline->list->at[i].limits.deadline_ms / 1000;
    if (!circuit_is_open(&at->circuit))
        return;
    if (!at->probe && now_s >= at->circuit.probe_s)
        stage_probe(pipeline, i);
    else if (at->probe && !at->probe->progress && now_s - at->probe->asked_s > patience_s)
        stage_probe_overdue(pipeline, i);
}

static void tick(void *arg)
{
    struct pipeline *pipeline = arg;
    const double now_s = clock_s();
    for (struct item *item = pipeline->items, *next; item; item = next) {
        item->pins++; // it may leave at any of its stages
        for (size_t i = 0; !item->left && i < pipeline->list->count; i++)
            look_at(item, i, now_s);
        next = item->next;
        item->pins--;
        item_release(item);
    }
    for (size_t i = 0; i < pipeline->list->count; i++)
        look_at_stage(pipeline, i, now_s);
    pipeline->looked_s = now_s;
}

/* ---- begin and end */

err_t pipeline_open(const struct pipeline_options *options, struct pipeline **ret)
{
    items_register();
    calls_register();
    SCOPED(pipeline) pipeline = mem_new(sizeof *pipeline);
    pipeline->options = *options;
    pipeline->list = options->list;
    stage_figures_register(options->list);
    pipeline->looked_s = clock_s();
    for (size_t i = 0; i < STAGES_MAX; i++)
        pipeline->at[i].circuit.seed = i;
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
            progress_abandon(&item->at[i]);
    for (size_t i = 0; i < pipeline->list->count; i++)
        if (pipeline->at[i].probe)
            call_stop(pipeline->at[i].probe);
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
