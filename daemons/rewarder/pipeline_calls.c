/* Calls of stages: begun, answered, failed; and what each says of the stage. */
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "rewarder/pipeline_parts.h"
#include "rewarder/stage_figures.h"
#include "svc/loop.h"
#include "svc/metrics.h"
#include "svc/stations.h"
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

/* Before the second attempt at a group; the longest pause. */
static const double PAUSE_MS = 100, PAUSE_MOST_MS = 3.2e6;

static struct metric retries =
    METRIC_COUNTER("rlhfd_stage_retries_total", "groups tried again by a stage that had failed");
static struct metric overdue = METRIC_COUNTER("rlhfd_stage_overdue_total",
                                              "groups given up as a stage gave no answer in time");
static struct metric *const rows[] = {&retries, &overdue};

void calls_register(void)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
}

/* ---- what an answer or a failure says of the stage */

/* The first stage that is open, to whoever wants to know. */
static void tell_standing(struct pipeline *pipeline)
{
    char text[400];
    if (!pipeline->options.held)
        return;
    for (size_t i = 0; i < pipeline->list->count; i++) {
        const struct stage *stage = &pipeline->list->at[i];
        const struct standing *at = &pipeline->at[i];
        if (!circuit_is_open(&at->circuit))
            continue;
        snprintf(text, sizeof text, "%s (kind '%s') does not answer: %s", stage->key,
                 stage->class->name, at->why);
        pipeline->options.held(pipeline->options.arg, text);
        return;
    }
    pipeline->options.held(pipeline->options.arg, NULL);
}

static void opened(struct pipeline *pipeline, size_t i)
{
    const struct stage *stage = &pipeline->list->at[i];
    log_limited(LOG_WARNING, 4, "stage does not answer",
                "stage=%s kind=%s failures=%" PRIu64 " why=\"%s\"", stage->key, stage->class->name,
                pipeline->at[i].circuit.failures, pipeline->at[i].why);
    stage_figures_open(i, true);
    tell_standing(pipeline);
}

/* item: the group that was answered, and may be asked again; NULL: none. */
static void stage_answered(struct pipeline *pipeline, size_t i, struct item *item)
{
    struct standing *at = &pipeline->at[i];
    if (item && item != at->answered) {
        struct item *before = at->answered;
        at->answered = item;
        item->pins++;
        if (before) {
            before->pins--;
            item_release(before);
        }
    }
    const double opened_s = at->circuit.opened_s;
    if (!circuit_answered(&at->circuit, clock_s()))
        return;
    log_limited(LOG_INFO, 4, "stage answers again", "stage=%s kind=%s after_s=%.1f",
                pipeline->list->at[i].key, pipeline->list->at[i].class->name, clock_s() - opened_s);
    stage_figures_open(i, false);
    tell_standing(pipeline);
}

/* Returns whether the stage is open now. */
static bool stage_failed(struct pipeline *pipeline, size_t i, err_t why)
{
    struct standing *at = &pipeline->at[i];
    snprintf(at->why, sizeof at->why, "%s", err_message(why));
    if (circuit_failed(&at->circuit, pipeline->list->at[i].limits.breaker, clock_s()))
        opened(pipeline, i);
    return circuit_is_open(&at->circuit);
}

static void probe_failed(struct pipeline *pipeline, size_t i, err_t why)
{
    struct standing *at = &pipeline->at[i];
    snprintf(at->why, sizeof at->why, "%s", err_message(why));
    circuit_probe_failed(&at->circuit, clock_s());
    tell_standing(pipeline);
}

/* ---- failures */

/* A group is to blame only once its stage has answered another since the group failed first. Else
 * the stage may be dead, and the group waits. */
static bool is_to_blame(const struct item *item, const struct progress *progress, double since_s)
{
    const struct stage *stage = stage_of(item, progress);
    const struct standing *at = &item->pipeline->at[stage_index(item, progress)];
    return !stage->limits.breaker || item->pipeline->options.impatient ||
           at->circuit.answered_s > since_s;
}

/* Until the stage answers again: the attempt does not count. Takes why. */
static void wait_for_stage(struct item *item, struct progress *progress, err_t why)
{
    const size_t i = stage_index(item, progress);
    struct standing *at = &item->pipeline->at[i];
    snprintf(at->why, sizeof at->why, "%s", err_message(why));
    err_free(why);
    progress->state = PAUSES;
    progress->again_s = clock_s();
    if (circuit_open(&at->circuit, clock_s()))
        opened(item->pipeline, i);
}

/* Takes why. */
static void give_up(struct item *item, struct progress *progress, err_t why)
{
    const struct stage *stage = stage_of(item, progress);
    progress->state = TO_BEGIN;
    item_leave(item, err_wrap(why, "%s: kind '%s'", stage->key, stage->class->name));
}

/* Takes why. */
static void pause_group(struct item *item, struct progress *progress, double again_s, err_t why)
{
    progress->state = PAUSES;
    progress->again_s = again_s;
    metric_add(&retries, 1);
    log_limited(
        LOG_WARNING, 1, "stage failed", "stage=%s slot=%" PRIu64 " attempt=%" PRId64 " why=\"%s\"",
        stage_of(item, progress)->key, item->group->slot, progress->attempts, err_message(why));
    err_free(why);
}

void item_fail(struct item *item, struct progress *progress, err_t why)
{
    const struct stage *stage = stage_of(item, progress);
    const size_t i = stage_index(item, progress);
    const double now_s = clock_s();
    const int64_t most = stage->limits.attempts;
    progress->call = NULL;
    if (!err_is_transient(why)) {
        give_up(item, progress, why);
        return;
    }
    if (!progress->failed_s)
        progress->failed_s = now_s;
    if (!item->pipeline->options.impatient && stage_failed(item->pipeline, i, why)) {
        wait_for_stage(item, progress, why);
        return;
    }
    const int64_t attempts = ++progress->attempts;
    const double again_s =
        now_s + circuit_pause_s(hash64(&item->group->id, sizeof item->group->id, i),
                                (uint32_t)attempts - 1, PAUSE_MS, PAUSE_MOST_MS);
    if (attempts < most && (!progress->due_s || again_s < progress->due_s)) {
        pause_group(item, progress, again_s, why);
    } else if (!is_to_blame(item, progress, progress->failed_s)) {
        progress->attempts--;
        wait_for_stage(item, progress, why);
    } else {
        if (attempts > 1)
            why = err_wrap(why, "attempt %" PRId64 " of %" PRId64, attempts, most);
        give_up(item, progress, why);
    }
}

void item_overdue(struct item *item, struct progress *progress)
{
    struct pipeline *pipeline = item->pipeline;
    const struct stage *stage = stage_of(item, progress);
    const size_t i = stage_index(item, progress);
    const bool probes =
        pipeline->at[i].probe == progress->call && circuit_is_open(&pipeline->at[i].circuit);
    /* A stage that has just died answered others after this group began. */
    const double since_s = progress->failed_s
                               ? progress->failed_s
                               : clock_s() - (double)stage->limits.deadline_ms / 2000;
    err_t why = err_new(ERR_DEADLINE, "no answer in %" PRId64 " ms (deadline_ms)",
                        stage->limits.deadline_ms);
    progress_abandon(progress);
    if (!progress->failed_s)
        progress->failed_s = clock_s();
    if (probes)
        probe_failed(pipeline, i, why);
    if (probes || (!pipeline->options.impatient && stage_failed(pipeline, i, why)) ||
        !is_to_blame(item, progress, since_s)) {
        progress->due_s = 0; // another attempt has the whole time
        wait_for_stage(item, progress, why);
        return;
    }
    metric_add(&overdue, 1);
    give_up(item, progress, why);
}

/* ---- calls */

/* The deadline counts from the first attempt's begin. */
void item_note_due(const struct item *item, struct progress *progress)
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

/* Returns whether the call was a probe that leaves the circuit open. */
static bool note_standing(const struct call *call, err_t failed)
{
    struct pipeline *pipeline = call->item->pipeline;
    const size_t i = call->work.stage;
    struct standing *at = &pipeline->at[i];
    const bool probed = at->probe == call && circuit_is_open(&at->circuit);
    if (at->probe == call)
        at->probe = NULL;
    if (!err_failed(failed))
        stage_answered(pipeline, i, call->progress ? call->item : NULL);
    else if (probed && err_is_transient(failed))
        probe_failed(pipeline, i, failed);
    else if (probed)
        stage_answered(pipeline, i, NULL); // by a refusal, which is the group's own
    return probed && circuit_is_open(&at->circuit);
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
        item_note_due(item, progress);
    stage_lanes_ended(item->pipeline->lanes, &call->work);
    tell_ended(call, failed);
    const bool waits = note_standing(call, failed);
    item->calls--;
    if (progress && !err_failed(failed)) {
        progress->values = call->out.columns;
        call->out.columns = (struct column_list){0};
        progress->call = NULL;
        progress->state = DONE;
    }
    call_free(call);
    if (!progress) { // too late, or nobody's
        err_free(failed);
        item_release(item);
    } else if (waits) {
        progress->call = NULL;
        wait_for_stage(item, progress, failed);
    } else if (err_failed(failed))
        item_fail(item, progress, failed);
    else
        item_advance(item);
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
    call->of.thread = work->at;
    stage->start(stage->state, &call->of);
}

/* progress NULL: nobody waits for the answer. */
static struct call *call_new(struct item *item, size_t i, struct progress *progress)
{
    struct pipeline *pipeline = item->pipeline;
    struct call *call = mem_new(sizeof *call);
    call->item = item;
    call->progress = progress;
    call->asked_s = clock_s();
    call->work = (struct lane_work){.stage = i, .run = run};
    item_view(item, pipeline->list->at[i].needs, &call->in);
    call->out = *item->group;
    call->out.columns = (struct column_list){0};
    call->of = (struct stage_call){.group = &call->in,
                                   .row = item->row,
                                   .added = &call->out,
                                   .deadline_s = progress ? progress->due_s : 0,
                                   .stop = &call->stop,
                                   .done = answered};
    call->next = pipeline->calls;
    call->prev = &pipeline->calls;
    if (call->next)
        call->next->prev = &call->next;
    pipeline->calls = call;
    item->calls++;
    return call;
}

void item_begin(struct item *item, struct progress *progress)
{
    progress->call = call_new(item, stage_index(item, progress), progress);
    progress->state = UNDER_WAY;
    stage_lanes_run(item->pipeline->lanes, &progress->call->work);
}

/* ---- groups */

bool item_is_ready(const struct item *item, size_t i)
{
    const struct stage_list *list = item->pipeline->list;
    if (item->at[i].state != TO_BEGIN)
        return false;
    for (size_t before = 0; before < i; before++)
        if ((list->at[i].needs & list->at[before].class->fills) && item->at[before].state != DONE)
            return false;
    return true;
}

void item_advance(struct item *item)
{
    const struct stage_list *list = item->pipeline->list;
    size_t done = 0;
    err_t failed = item->joined.count ? OK : item_join_scores(item);
    if (err_failed(failed)) {
        item_leave(item, failed);
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        done += item->at[i].state == DONE;
        if (item_is_ready(item, i) && !circuit_is_open(&item->pipeline->at[i].circuit))
            item_begin(item, &item->at[i]);
    }
    if (done == list->count)
        item_leave(item, OK);
}

/* ---- probes */

static bool waits_at(const struct item *item, size_t i)
{
    return !item->left && (item->at[i].state == PAUSES || item_is_ready(item, i));
}

/* Of those that wait the one that was asked for least often, the oldest first. */
static struct item *next_to_probe(const struct pipeline *pipeline, size_t i)
{
    struct item *found = NULL;
    for (struct item *item = pipeline->items; item; item = item->next)
        if (waits_at(item, i) && (!found || item->at[i].probes <= found->at[i].probes))
            found = item;
    return found;
}

void stage_probe(struct pipeline *pipeline, size_t i)
{
    struct standing *at = &pipeline->at[i];
    struct item *item = next_to_probe(pipeline, i);
    at->asks_again = at->answered && (!item || !at->asks_again);
    if (at->asks_again && (!item || item->at[i].probes)) { // a group alone may be to blame
        at->probe = call_new(at->answered, i, NULL);
        stage_lanes_run(pipeline->lanes, &at->probe->work);
    } else if (item) {
        struct progress *progress = &item->at[i];
        progress->probes++;
        progress->call = at->probe = call_new(item, i, progress);
        progress->state = UNDER_WAY;
        stage_lanes_run(pipeline->lanes, &progress->call->work);
    } else if (circuit_answered(&at->circuit, at->circuit.answered_s)) { // the next group will tell
        stage_figures_open(i, false);
        tell_standing(pipeline);
    }
}

void stage_probe_overdue(struct pipeline *pipeline, size_t i)
{
    const struct stage *stage = &pipeline->list->at[i];
    err_t why = err_new(ERR_DEADLINE, "no answer in %" PRId64 " ms (deadline_ms)",
                        stage->limits.deadline_ms);
    call_stop(pipeline->at[i].probe);
    probe_failed(pipeline, i, why);
    err_free(why);
}
