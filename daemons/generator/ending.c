/* The end of a generator's process, and its state on the way there. */
#include "admin/face.h"
#include "base/clock.h"
#include "base/log.h"
#include "generator/daemon.h"
#include "generator/decode.h"
#include "generator/deliver.h"
#include "generator/prompts.h"
#include "svc/loop.h"

enum { STOP_GRACE_MS = 500, TICK_MS = 50 };

const char *daemon_state(void *arg)
{
    const struct daemon *d = arg;
    return d->draining        ? "DRAINING"
           : d->facts.stands  ? "HELD"
           : d->facts.serving ? "SERVING"
                              : "JOINING";
}

void daemon_show(void *arg)
{
    struct daemon *d = arg;
    if (d->draining) {
        face_ready(d->face, "draining");
        return;
    }
    if (!d->prompts || !d->deliver)
        return; // the process is starting
    d->facts.held = prompts_held(d->prompts);
    d->facts.unanswered = deliver_waiting(d->deliver);
    if (d->facts.held)
        d->facts.since_s = clock_s();
    struct hold hold = generator_hold(&d->facts, clock_s());
    face_hold(d->face, &hold, (double)decode_figures(d->decode).tokens);
}

void daemon_failed(void *arg, err_t why)
{
    struct daemon *d = arg;
    if (err_failed(d->failed))
        err_free(why); // the first tells the cause
    else
        d->failed = why;
    loop_stop(d->loop);
}

/* ---- draining */

static void stopped(void *arg)
{
    struct daemon *d = arg;
    loop_stop(d->loop);
}

void daemon_tick(void *arg)
{
    struct daemon *d = arg;
    bool empty = deliver_waiting(d->deliver) == 0 && prompts_held(d->prompts) == 0;
    if (d->stopping || (!empty && clock_ms() < d->drain_until_ms))
        return;
    d->stopping = true;
    face_stop(d->face, STOP_GRACE_MS, stopped, d);
}

void daemon_drain(struct daemon *d, int64_t at_most_ms)
{
    if (d->draining)
        return;
    d->draining = true;
    d->drain_until_ms = clock_ms() + at_most_ms;
    daemon_show(d);
    loop_timer_start(d->tick, TICK_MS, TICK_MS);
}

void daemon_give_back(struct daemon *d, bool all)
{
    log_info("draining", "leases=%zu undelivered=%zu", prompts_held(d->prompts),
             deliver_waiting(d->deliver));
    prompts_drain(d->prompts, all);
    daemon_drain(d, STOP_GRACE_MS);
}

void daemon_leave_soon(struct daemon *d)
{
    prompts_drain(d->prompts, false);
    d->drain_until_ms = clock_ms() + STOP_GRACE_MS;
}
