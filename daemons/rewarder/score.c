#include "rewarder/score.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rewarder/reference.h"
#include "rewarder/rewarder_hold.h"
#include "rewarder/scorer.h"
#include "svc/loop.h"
#include "svc/metrics.h"
#include "svc/security.h"
#include "svc/worker.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUEUED_MAX = 256 };

struct score_worker {
    struct score *score;
    struct scorers *scorers; // its own set
    struct worker *worker;
};

struct score {
    struct score_options options;
    struct score_worker *workers;
    size_t count, next;
    struct reference *reference; // NULL: none. The compute thread's
    struct worker *compute;      // after the scorers; NULL without reference
    size_t queued;
    struct rpc_call **paused; // references
    size_t paused_count;
    double came_s;             // the last group; or the process began
    uint64_t unscorable, slot; // groups in a row; the last of them, and why
    char why[200];
};

/* A group on its way through a worker, then through the compute thread. */
struct job {
    struct score *score;
    struct rpc_call *origin;
    struct group *group;
    err_t failed;
};

static struct metric scored = METRIC_COUNTER("rlhfd_groups_scored_total", "groups scored");
static struct metric unscorable =
    METRIC_COUNTER("rlhfd_groups_unscorable_total", "groups that no scorer could score");
static struct metric seconds =
    METRIC_HISTOGRAM("rlhfd_score_seconds", "scoring one group", 0.0001, 0.001, 0.01, 0.1, 1, 10);
static struct metric *const rows[] = {&scored, &unscorable, &seconds};

/* ---- loop thread: the group is back from its worker */

static void job_done(void *arg)
{
    struct job *job = arg;
    struct score *score = job->score;
    score->queued--;
    if (err_failed(job->failed)) {
        metric_add(&unscorable, 1);
        score->unscorable++;
        score->slot = job->group->slot;
        snprintf(score->why, sizeof score->why, "%s", err_message(job->failed));
        log_limited(LOG_WARNING, 1, "group not scorable", "slot=%" PRIu64 " why=\"%s\"",
                    job->group->slot, err_message(job->failed));
        job->group->failure = mem_string(err_message(job->failed));
        err_free(job->failed);
    } else {
        score->unscorable = 0;
        metric_add(&scored, 1);
    }
    relay_group(score->options.relay, job->group,
                job->origin); // with a failure the learner records it as rejected
    group_free(job->group);
    rpc_call_unref(job->origin);
    mem_free(job);
    score_room(score);
}

/* ---- compute thread */

static void run_reference(void *state, void *arg)
{
    struct reference *reference = state;
    struct job *job = arg;
    job->failed = reference_group(reference, job->group);
    if (err_failed(job->failed))
        column_list_keep(&job->group->columns, ORIGIN_GENERATOR);
    loop_post(job->score->options.loop, job_done, job);
}

/* ---- worker thread */

static void run_job(void *state, void *arg)
{
    struct score_worker *worker = state;
    struct job *job = arg;
    struct score *score = job->score;
    double begun = clock_s();
    job->failed = scorers_group(worker->scorers, job->group);
    metric_observe(&seconds, clock_s() - begun);
    if (err_failed(job->failed) || !score->compute) {
        loop_post(score->options.loop, job_done, job);
        return;
    }
    /* Without room there this worker waits, not the loop: its own mailbox fills and the streams
     * stop. */
    bool posted = worker_post_wait(score->compute, run_reference, job);
    assert(posted); // it ends after the workers
}

/* ---- loop thread */

static bool full(const struct score *score)
{
    return score->queued >= QUEUED_MAX || relay_full(score->options.relay);
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
    facts->scoring = score->queued;
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

static void on_message(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct score *score = user;
    struct group *group = NULL;
    err_t failed = take_group(message, &group);
    if (err_failed(
            failed)) { // without an id there is nothing to answer: the stream ends with the reason
        log_limited(LOG_WARNING, 1, "malformed group", "why=\"%s\"", err_message(failed));
        rpc_call_finish(call, failed);
        return;
    }
    const char *run = score->options.recipe->run.name;
    if (strcmp(group->run, run) != 0) { // its generator is connected to the wrong rewarder
        failed =
            err_new(ERR_PRECONDITION, "this rewarder scores run '%s', not '%s'", run, group->run);
        group_free(group);
        rpc_call_finish(call, failed);
        return;
    }
    struct job *job = mem_new(sizeof *job);
    *job = (struct job){.score = score, .origin = rpc_call_ref(call), .group = group};
    struct score_worker *worker = &score->workers[score->next++ % score->count];
    if (!worker_post(worker->worker, run_job,
                     job)) { // more streams than the queue: the generator sends again
        group_free(group);
        rpc_call_unref(call);
        mem_free(job);
        rpc_call_finish(call,
                        err_new(ERR_EXHAUSTED, "%zu groups wait to be scored", score->queued));
        return;
    }
    score->queued++;
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

static err_t start_reference(struct score *score)
{
    TRY(reference_open(score->options.recipe, &score->reference));
    if (!score->reference)
        return OK;
    struct worker_options worker = {.name = "reference",
                                    .capacity = QUEUED_MAX,
                                    .state = score->reference,
                                    .cpus = score->options.recipe->rewarder.cpus};
    return worker_start(&worker, &score->compute);
}

char *score_forward_id(const struct score *score)
{
    return score->reference ? reference_forward_id(score->reference) : NULL;
}

err_t score_new(const struct score_options *options, struct score **ret)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(score) score = mem_new(sizeof *score);
    score->options = *options;
    score->came_s = clock_s();
    TRY(start_reference(score));
    score->workers = mem_array((size_t)options->recipe->rewarder.threads, sizeof *score->workers);
    for (int64_t i = 0; i < options->recipe->rewarder.threads; i++) {
        struct score_worker *w = &score->workers[score->count++];
        w->score = score;
        TRY(scorers_from_recipe(options->recipe, &w->scorers));
        struct worker_options worker = {.name = "score",
                                        .capacity = 2 * QUEUED_MAX,
                                        .state = w,
                                        .cpus = options->recipe->rewarder.cpus};
        TRY(worker_start(&worker, &w->worker));
    }
    *ret = STEAL(score);
    return OK;
}

void score_free(struct score *score)
{
    if (!score)
        return;
    for (size_t i = 0; i < score->count; i++) {
        worker_free(score->workers[i].worker);
        scorers_free(score->workers[i].scorers);
    }
    worker_free(score->compute); // after those that post to it
    reference_free(score->reference);
    loop_run_posted(score->options.loop); // what the workers still handed over
    for (size_t i = 0; i < score->paused_count; i++)
        rpc_call_unref(score->paused[i]);
    mem_free(score->paused);
    mem_free(score->workers);
    mem_free(score);
}
