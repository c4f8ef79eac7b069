#include "ctl/look/following.h"
#include "admin/admin_client.h"
#include "base/clock.h"
#include "base/mem.h"
#include "ctl/words/output.h"

enum { AGAIN_MS = 1000, SILENT_TIMES = 4, SILENT_LEAST_MS = 4000 };

static const char *const methods[] = {"Admin/WatchStatus", "Admin/GetStatus"};

struct followed {
    struct follow *follow; // NULL: it is gone, only the last callback is still to come
    size_t daemon;
    struct rpc_call *call;    // NULL: none is open
    struct loop_timer *again; // opens it
    bool by_asking;           // GetStatus: no WatchStatus there
    bool lost;                // the last call failed: its address may be another by now
    int64_t heard_ms;
};

struct follow {
    struct admin *admin;
    int interval_ms;
    follow_heard heard;
    void *arg;
    struct loop_timer *silence;
    size_t count;
    struct followed *one[TARGET_DAEMONS_MAX]; // of target->daemon
};

static void on_status(void *arg, const json_t *status)
{
    struct followed *one = arg;
    if (!one->follow)
        return;
    one->heard_ms = clock_ms();
    one->lost = false;
    if (!one->follow->admin->json)
        output_printable((json_t *)status); // nobody else has it
    one->follow->heard(one->follow->arg, one->daemon, status, NULL);
}

static void on_close(void *arg, err_t why)
{
    struct followed *one = arg;
    one->call = NULL;
    if (!one->follow) {
        err_free(why);
        mem_free(one);
        return;
    }
    const bool older = err_code(why) == ERR_UNIMPLEMENTED && !one->by_asking;
    const bool asked = one->by_asking;
    why = admin_said(&one->follow->admin->target->daemon[one->daemon], methods[asked], why);
    if (older)
        one->by_asking = true;
    else if (err_failed(why) || !one->by_asking)
        one->follow->heard(one->follow->arg, one->daemon, NULL,
                           err_failed(why) ? err_message(why) : "it has ended its stream");
    one->lost = err_failed(why) && !older;
    err_free(why);
    loop_timer_start(one->again,
                     older            ? 0
                     : one->by_asking ? one->follow->interval_ms
                                      : AGAIN_MS,
                     0);
}

static void open_again(void *arg);

/* Those that `up` has started since, too. */
static void follow_new_ones(struct follow *follow)
{
    for (; follow->count < follow->admin->target->count; follow->count++) {
        struct followed *one = follow->one[follow->count] = mem_new(sizeof *one);
        *one = (struct followed){.follow = follow, .daemon = follow->count};
        one->again = loop_timer_new(follow->admin->loop, open_again, one);
        loop_timer_start(one->again, 0, 0);
    }
}

static void open_again(void *arg)
{
    static const struct rpc_admin_handlers handlers = {.message = on_status, .close = on_close};
    struct followed *one = arg;
    struct follow *follow = one->follow;
    struct rpc_channel *channel = NULL;
    SCOPED_JSON json_t *request =
        one->by_asking ? json_object() : json_pack("{s:i}", "interval_ms", follow->interval_ms);
    one->heard_ms = clock_ms();
    if (one->lost)
        admin_look_again(follow->admin, one->daemon);
    follow_new_ones(follow);
    err_t failed = admin_channel(follow->admin, one->daemon, &channel);
    if (!err_failed(failed))
        failed = rpc_admin_ask(channel, methods[one->by_asking], request,
                               one->by_asking ? follow->admin->timeout_ms : 0, &handlers, one,
                               &one->call);
    if (err_failed(failed))
        follow->heard(follow->arg, one->daemon, NULL, err_message(failed));
    err_free(failed);
}

/* A daemon that was stopped or cut off says nothing, and its stream does not end. */
static void look_for_silence(void *arg)
{
    struct follow *follow = arg;
    const int64_t now_ms = clock_ms();
    const int64_t most_ms = follow->interval_ms * SILENT_TIMES > SILENT_LEAST_MS
                                ? follow->interval_ms * SILENT_TIMES
                                : SILENT_LEAST_MS;
    for (size_t i = 0; i < follow->count; i++)
        if (follow->one[i]->call && now_ms - follow->one[i]->heard_ms > most_ms)
            follow->heard(follow->arg, i, NULL, "it says nothing");
}

struct follow *follow_new(struct admin *admin, int interval_ms, follow_heard heard, void *arg)
{
    struct follow *follow = mem_new(sizeof *follow);
    *follow =
        (struct follow){.admin = admin, .interval_ms = interval_ms, .heard = heard, .arg = arg};
    follow_new_ones(follow);
    follow->silence = loop_timer_new(admin->loop, look_for_silence, follow);
    loop_timer_start(follow->silence, interval_ms, interval_ms);
    return follow;
}

void follow_free(struct follow *follow)
{
    if (!follow)
        return;
    for (size_t i = 0; i < follow->count; i++) {
        struct followed *one = follow->one[i];
        loop_timer_free(one->again);
        one->follow = NULL;
        if (one->call)
            rpc_call_cancel(one->call);
        else
            mem_free(one);
    }
    loop_timer_free(follow->silence);
    mem_free(follow);
}
