#include "learner/course.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>

enum { DRAIN_GRACE_MS = 100, ENDED_GRACE_MS = 500, STOP_GRACE_MS = 1000 };

/* Why a run ended without a round, on its way from the storage thread. */
struct barren {
    struct daemon *daemon;
    err_t why;
};

const char *daemon_state(void *arg)
{
    static const char *const names[] = {"STARTING", "",         "EVALUATING",
                                        "COMPLETE", "DRAINING", "ENDED"};
    const struct daemon *d = arg;
    return d->state == TRAINING ? holding_state(d->holding) : names[d->state];
}

enum holding_phase daemon_phase(void *arg)
{
    const struct daemon *d = arg;
    return d->state == TRAINING     ? HOLDING_TRAINS
           : d->state == EVALUATING ? HOLDING_EVALUATES
           : d->state == COMPLETE   ? HOLDING_COMPLETE
                                    : HOLDING_OVER;
}

static void stopped(void *arg)
{
    struct daemon *d = arg;
    loop_stop(d->loop);
}

void daemon_close(void *arg)
{
    struct daemon *d = arg;
    face_stop(d->face, STOP_GRACE_MS, stopped, d);
}

struct closing {
    struct leasing *leasing;
    bool ended;
};

static err_t close_leases(void *arg, struct store *store)
{
    (void)store;
    struct closing *closing = arg;
    leasing_close(closing->leasing, closing->ended);
    mem_free(closing);
    return OK;
}

/* Generators hear that nothing more will be granted, and why. */
static void tell_generators(struct daemon *d, bool ended)
{
    if (!d->storage)
        return; // the process ends
    struct closing *closing = mem_new(sizeof *closing);
    *closing = (struct closing){d->leasing, ended};
    storage_post(d->storage, close_leases, closing);
}

/* Generators that have been told why have a moment to leave by themselves. */
static void leave(struct daemon *d, int64_t grace_ms)
{
    d->state = ENDED;
    loop_timer_start(d->grace, grace_ms, 0);
}

void daemon_drain(void *arg)
{
    struct daemon *d = arg;
    const bool trained = d->state == EVALUATING || d->state == COMPLETE;
    if (d->state != TRAINING && !trained)
        return;
    log_info("draining", "%s",
             d->state == COMPLETE ? "the run is complete"
             : trained            ? "the last version is evaluated when the run is started again"
                       : "the round under way is finished, then a checkpoint is written");
    d->state = DRAINING;
    face_ready(d->face, "draining");
    tell_generators(d, false);
    if (trained)
        leave(d, DRAIN_GRACE_MS);
    else
        train_stop(d->train);
}

void daemon_signal(void *arg, int number)
{
    (void)number;
    daemon_drain(arg);
}

/* Run again with the same settings it comes here at once. */
static void complete(struct daemon *d)
{
    const bool stays = d->recipe->run.on_complete == RECIPE_COMPLETE_STAY && !err_failed(d->failed);
    const struct checkpoint_info *at = train_at(d->train);
    log_info("run complete", "rounds=%" PRIu64 " version=%" PRIu64 " then=%s", at->round,
             at->version, stays ? "stay" : "exit");
    if (stays) {
        d->state = COMPLETE; // generators keep their streams, and are granted nothing
        return;
    }
    tell_generators(d, true);
    leave(d, ENDED_GRACE_MS);
}

void daemon_evaluated(void *arg)
{
    struct daemon *d = arg;
    d->evaluated = true;
    if (d->state == EVALUATING)
        complete(d);
}

/* Of several failures the first is the cause, and the one that is told. */
void daemon_fails(struct daemon *d, err_t why)
{
    if (err_failed(d->failed))
        err_free(why);
    else
        d->failed = why;
}

void daemon_failed(struct daemon *d, err_t why)
{
    daemon_fails(d, why);
    loop_stop(d->loop);
}

/* Nothing more is trained; the run may still have to be evaluated. */
static void trained_all(struct daemon *d)
{
    if (d->state == DRAINING)
        leave(d, DRAIN_GRACE_MS);
    else if (d->evaluated)
        complete(d);
    else
        d->state = EVALUATING;
}

static void told_why_none(void *arg)
{
    struct barren *barren = arg;
    daemon_fails(barren->daemon, barren->why);
    trained_all(barren->daemon);
    mem_free(barren);
}

static err_t tell_why_none(void *arg, struct store *store)
{
    struct barren *barren = arg;
    struct daemon *d = barren->daemon;
    barren->why = breaker_none(d->breaker, store);
    loop_post(d->loop, told_why_none, barren);
    return OK;
}

/* The compute thread has trained its last round. Data without a round is no run that is
 * complete. */
void daemon_trained(void *arg, enum train_end end, err_t why)
{
    struct daemon *d = arg;
    bool none = end == TRAIN_ENDED && !train_at(d->train)->round;
    log_info("training ended", "how=%s",
             none                   ? "without a round"
             : end == TRAIN_ENDED   ? "complete"
             : end == TRAIN_STOPPED ? "stopped"
                                    : "failed");
    if (end == TRAIN_FAILED)
        daemon_failed(d, why);
    else if (none)
        storage_post(d->storage, tell_why_none,
                     mem_copy(&(struct barren){.daemon = d}, sizeof(struct barren)));
    else
        trained_all(d);
}
