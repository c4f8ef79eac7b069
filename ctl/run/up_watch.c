#include "ctl/run/up_watch.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ctl/look/following.h"
#include "ctl/look/ring_state.h"

/* A cause is shown once it has lasted so long: that a round waits for its groups for a moment is no
 * news. */
enum { ASK_MS = 1000, SHOW_AFTER_S = 4, SHOW_READY_AFTER_S = 10 };

struct up_watch {
    struct admin admin; // its loop is up's
    struct follow *follow;
    struct ring_state state;
};

static void heard(void *arg, size_t daemon, const json_t *status, const char *why)
{
    struct up_watch *watch = arg;
    const size_t at = ring_state_daemon(&watch->state, watch->admin.target->daemon[daemon].name);
    if (at == RING_DAEMONS)
        return;
    if (status)
        ring_state_status(&watch->state, at, status, clock_ms());
    else
        ring_state_lost(&watch->state, at, why, clock_ms());
}

err_t up_watch_new(struct loop *loop, const char *run, struct up_watch **ret)
{
    enum { TIMEOUT_MS = 10000 };
    struct up_watch *watch = mem_new(sizeof *watch);
    watch->admin.loop = loop;
    watch->admin.timeout_ms = TIMEOUT_MS;
    err_t failed =
        target_find(&(struct target_flags){.run = run, .own = true}, &watch->admin.target);
    if (!err_failed(failed))
        failed = admin_secure(&watch->admin);
    if (!err_failed(failed))
        failed = rpc_new(loop, &watch->admin.rpc);
    if (err_failed(failed)) {
        up_watch_free(watch);
        return failed;
    }
    watch->follow = follow_new(&watch->admin, ASK_MS, heard, watch);
    *ret = watch;
    return OK;
}

void up_watch_show(const struct up_watch *watch, struct view *view)
{
    const struct ring_daemon *daemon = watch ? ring_state_held(&watch->state) : NULL;
    const bool lasts =
        daemon && (!daemon->answers ||
                   daemon->held_s >= (daemon->held_ready ? SHOW_READY_AFTER_S : SHOW_AFTER_S));
    SCOPED_MEM char *line = lasts ? ring_state_held_line(&watch->state) : NULL;
    view_held(view, line, lasts ? daemon->held_cause : "");
}

void up_watch_free(struct up_watch *watch)
{
    if (!watch)
        return;
    follow_free(watch->follow);
    for (size_t i = 0; watch->admin.target && i < watch->admin.target->count; i++)
        rpc_channel_free(watch->admin.channel[i]);
    rpc_free(watch->admin.rpc);
    target_free(watch->admin.target);
    security_done(&watch->admin.security);
    mem_free(watch->admin.tls_run);
    mem_free(watch);
}
