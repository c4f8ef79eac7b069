#include "rewarder/relay.h"
#include "base/mem.h"
#include "hop/courier.h"
#include "svc/metrics.h"
#include "svc/security.h"
#include "svc/stations.h"
#include "wire/failed_group.h"
#include "wire/waiting.h"

enum { WAITING_MAX = 1024, RECV_SPARE = 4096 };

/* A group's tag is the call that it came by, a reference: there the disposition goes. */
struct relay {
    struct relay_options options;
    struct courier *courier;
    bool was_full;
    char *held; // NULL: groups go on
};

static struct metric relayed =
    METRIC_COUNTER("rlhfd_groups_relayed_total", "groups whose disposition was passed back");
static struct metric waiting =
    METRIC_GAUGE("rlhfd_groups_waiting", "scored groups without a disposition");
static struct metric *const rows[] = {&relayed, &waiting};

static void release_call(void *tag)
{
    if (tag)
        rpc_call_unref(tag);
}

static void *refer(struct rpc_call *origin)
{
    return origin ? rpc_call_ref(origin) : NULL;
}

/* The disposition goes back; then the group is the learner's alone. */
static void on_settled(void *arg, const struct disposition *disposition, struct rpc_message *answer,
                       void *tag)
{
    struct relay *relay = arg;
    station_note(&disposition->id, &(struct station){.name = "answered",
                                                     .detail = outcome_name(disposition->outcome)});
    if (tag)
        rpc_call_send_message(tag, answer); // a generator that is gone asks again
    release_call(tag);
    relay->options.answered(relay->options.arg);
    metric_add(&relayed, 1);
    metric_set(&waiting, (double)relay_waiting(relay));
    if (relay->was_full && relay_waiting(relay) <= WAITING_MAX / 2) {
        relay->was_full = false;
        relay->options.room(relay->options.arg);
    }
}

static void tell_held(struct relay *relay)
{
    SCOPED_VALUE(bytes) out = {0};
    waiting_encode(relay->held ? relay->held : "", &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    courier_tell(relay->courier, message);
    rpc_message_free(message);
}

void relay_held(struct relay *relay, const char *why)
{
    mem_free(relay->held);
    relay->held = why ? mem_string(why) : NULL;
    tell_held(relay);
}

/* A group that waits at the learner for another try. */
static err_t on_other(void *arg, struct rpc_message *message, bool *ret_taken)
{
    struct relay *relay = arg;
    struct group *group = NULL;
    err_t e = again_decode(rpc_message_data(message), rpc_message_len(message), &group);
    if (err_code(e) == ERR_NOT_FOUND) {
        err_free(e);
        return OK;
    }
    TRY(e);
    *ret_taken = true;
    relay->options.again(relay->options.arg, group);
    return OK;
}

static void on_up(void *arg, size_t again)
{
    (void)again;
    struct relay *relay = arg;
    if (relay->held)
        tell_held(relay);
    relay->options.up(relay->options.arg);
}

static void on_down(void *arg, err_t why)
{
    struct relay *relay = arg;
    relay->options.down(relay->options.arg, why);
}

err_t relay_open(const struct relay_options *options, struct relay **ret)
{
    static const struct rpc_method append = {.path = "/rlhfd.v1.Replay/Append", .kind = RPC_BIDI};
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(relay) relay = mem_new(sizeof *relay);
    relay->options = *options;
    struct courier_options courier = {.rpc = options->rpc,
                                      .peer = options->learner,
                                      .security = options->security,
                                      .servers = CALLER_LEARNER,
                                      .method = &append,
                                      .max_recv_bytes = GROUP_MAX_BYTES + RECV_SPARE,
                                      .hello = options->hello,
                                      .settled = on_settled,
                                      .other = on_other,
                                      .up = on_up,
                                      .down = on_down,
                                      .arg = relay};
    TRY(courier_open(&courier, &relay->courier));
    *ret = STEAL(relay);
    return OK;
}

void relay_group(struct relay *relay, const struct group *group, struct rpc_call *origin)
{
    void **known = courier_tag(relay->courier, &group->id);
    if (known) {
        release_call(*known);
        *known = refer(origin);
        return;
    }
    SCOPED_VALUE(bytes) out = {0};
    struct group sent = *group; // what it points to stays the caller's
    trace_parent(&group->id, "rewarder", sent.traceparent);
    station_note(&group->id, &(struct station){.name = "relayed"});
    group_encode_within(&sent, GROUP_MAX_BYTES, &out); // with scores it may have become too long
    courier_send(relay->courier, &group->id, rpc_message_copy(out.data, out.len), refer(origin));
    metric_set(&waiting, (double)relay_waiting(relay));
    relay->was_full = relay->was_full || relay_full(relay);
}

bool relay_full(const struct relay *relay)
{
    return relay_waiting(relay) >= WAITING_MAX;
}

size_t relay_waiting(const struct relay *relay)
{
    return courier_waiting(relay->courier);
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    courier_close(relay->courier, release_call);
    mem_free(relay->held);
    mem_free(relay);
}
