#include "rewarder/score.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rewarder/pipeline.h"
#include "rewarder/rewarder_hold.h"
#include "svc/loop.h"
#include "svc/metrics.h"
#include "svc/security.h"
#include "svc/stations.h"
#include "wire/failed_group.h"
#include "wire/waiting.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { QUEUED_MAX = 256 };

struct score {
    struct score_options options;
    struct pipeline *pipeline;
    char *forward;            // NULL: there is no reference
    struct rpc_call **paused; // references
    size_t paused_count;
    double came_s;             // the last group; or the process began
    uint64_t unscorable, slot; // groups in a row; the last of them, and why
    char why[200];
    char held[WAITING_TEXT]; // by a stage that does not answer; "": by none
};

static struct metric scored = METRIC_COUNTER("rlhfd_groups_scored_total", "groups scored");
static struct metric unscorable =
    METRIC_COUNTER("rlhfd_groups_unscorable_total", "groups that a stage gave up");
static struct metric *const rows[] = {&scored, &unscorable};

/* NULL: the group is of no stream. */
static void release_call(void *tag)
{
    if (tag)
        rpc_call_unref(tag);
}

static void tell_failure(struct score *score, const struct group *group)
{
    metric_add(&unscorable, 1);
    score->unscorable++;
    score->slot = group->slot;
    snprintf(score->why, sizeof score->why, "%s", group->failure);
    log_limited(LOG_WARNING, 1, "group not scorable", "slot=%" PRIu64 " why=\"%s\"", group->slot,
                group->failure);
}

/* With a failure the learner records it as rejected. */
static void pass_on(struct score *score, const struct group *group, struct rpc_call *call)
{
    if (group->failure) {
        tell_failure(score, group);
    } else {
        score->unscorable = 0;
        metric_add(&scored, 1);
    }
    relay_group(score->options.relay, group, call);
}

static void on_left(void *arg, const struct group *group, void *tag)
{
    struct score *score = arg;
    pass_on(score, group, tag);
    release_call(tag);
    score_room(score);
}

static void on_held(void *arg, const char *why)
{
    struct score *score = arg;
    snprintf(score->held, sizeof score->held, "%s", why ? why : "");
    relay_held(score->options.relay, why);
}

void score_again(struct score *score, struct group *group)
{
    station_came(&group->id, group->traceparent);
    station_note(&group->id, &(struct station){.name = "came", .detail = "again"});
    if (pipeline_count(score->pipeline) < 2 * QUEUED_MAX &&
        !pipeline_has(score->pipeline, &group->id) && // offers may be repeated
        strcmp(group->run, score->options.recipe->run.name) == 0)
        pipeline_put(score->pipeline, group, NULL);
    else
        group_free(group); // the learner's lease of it runs out
    score->came_s = clock_s();
}

static bool full(const struct score *score)
{
    return pipeline_count(score->pipeline) >= QUEUED_MAX || relay_full(score->options.relay);
}

void score_room(struct score *score)
{
    if (full(score))
        return;
    for (size_t i = 0; i < score->paused_count; i++) {
        rpc_call_resume(score->paused[i]);
        rpc_call_unref(score->paused[i]);
    }
    score->paused_count = 0;
}

void score_facts(const struct score *score, struct rewarder_facts *facts)
{
    facts->unscorable = score->unscorable;
    facts->slot = score->slot;
    facts->why = score->why;
    facts->held = score->held;
    facts->scoring = pipeline_count(score->pipeline);
    facts->moved_s = score->came_s;
}

/* A generator's group: with all that it must have stamped, and nothing that others add. */
static err_t take_group(struct rpc_message *message, struct group **ret)
{
    struct group_limits limits = GROUP_LIMITS;
    SCOPED(group) group = NULL;
    limits.last = ORIGIN_GENERATOR;
    TRY(group_decode(rpc_message_data(message), rpc_message_len(message), &limits, &group));
    for (uint32_t i = 0; i < group->completions; i++)
        if (!group_values(group, COLUMN_BEHAVIOUR_LOGP, i))
            return err_new(ERR_INVALID, "group: completions[%u] has no %s", i,
                           column_name(COLUMN_BEHAVIOUR_LOGP));
    *ret = STEAL(group);
    return OK;
}

/* What is no group goes on as a failed one, for the learner to answer. Without an id there is
 * nothing to answer: the stream ends with the reason. */
static err_t take_message(const struct score *score, const struct rpc_call *call,
                          struct rpc_message *message, struct group **ret)
{
    const char *run = score->options.recipe->run.name;
    SCOPED(group) group = NULL;
    err_t failed = take_group(message, &group);
    if (err_failed(failed)) {
        log_limited(LOG_WARNING, 1, "malformed group", "why=\"%s\"", err_message(failed));
        return failed_group_decode(rpc_message_data(message), rpc_message_len(message), failed,
                                   ret);
    }
    if (strcmp(group->run, run) != 0) // its generator is connected to the wrong rewarder
        return err_new(ERR_PRECONDITION, "this rewarder scores run '%s', not '%s'", run,
                       group->run);
    TRY(rpc_call_claims(call, group->run, group->generator));
    const size_t queued = pipeline_count(score->pipeline);
    if (queued >= 2 * QUEUED_MAX) // more streams than that: the generator sends again
        return err_new(ERR_EXHAUSTED, "%zu groups wait to be scored", queued);
    *ret = STEAL(group);
    return OK;
}

static void on_message(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct score *score = user;
    struct group *group = NULL;
    err_t failed = take_message(score, call, message, &group);
    if (err_failed(failed)) {
        rpc_call_finish(call, failed);
        return;
    }
    station_came(&group->id, group->traceparent);
    station_note(&group->id, &(struct station){.name = "came"});
    if (group->failure) { // not ours: it neither tells of our scorers nor holds us up
        relay_group(score->options.relay, group, call);
        group_free(group);
    } else {
        pipeline_put(score->pipeline, group, rpc_call_ref(call));
    }
    score->came_s = clock_s();
    if (!full(score))
        return;
    rpc_call_pause(call);
    score->paused = mem_grow(score->paused, score->paused_count + 1, sizeof *score->paused);
    score->paused[score->paused_count++] = rpc_call_ref(call);
}

static void on_half_close(struct rpc_call *call, void *user)
{
    (void)user;
    rpc_call_finish(call, OK);
}

struct rpc_service score_service(struct score *score)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.v1.Rewards/Score",
         NULL,
         NULL,
         RPC_BIDI,
         CALLER_GENERATOR,
         {.message = on_message, .half_close = on_half_close},
         0},
        {0},
    };
    return (struct rpc_service){methods, score};
}

char *score_forward_id(const struct score *score)
{
    return score->forward ? mem_string(score->forward) : NULL;
}

err_t score_new(const struct score_options *options, struct score **ret)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(score) score = mem_new(sizeof *score);
    struct pipeline_options pipeline = {.loop = options->loop,
                                        .left = on_left,
                                        .dropped = release_call,
                                        .held = on_held,
                                        .arg = score};
    score->options = *options;
    score->came_s = clock_s();
    const struct stage_list_options list = {.recipe = options->recipe, .loop = options->loop};
    TRY(stage_list_open(&list, &pipeline.list));
    score->forward = stage_list_forward_id(pipeline.list);
    TRY(pipeline_open(&pipeline, &score->pipeline));
    *ret = STEAL(score);
    return OK;
}

void score_free(struct score *score)
{
    if (!score)
        return;
    pipeline_free(score->pipeline);
    for (size_t i = 0; i < score->paused_count; i++)
        rpc_call_unref(score->paused[i]);
    mem_free(score->paused);
    mem_free(score->forward);
    mem_free(score);
}
