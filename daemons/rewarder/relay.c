#include "rewarder/relay.h"
#include "base/mem.h"
#include "svc/metrics.h"

enum { WAITING_MAX = 1024 };

struct parcel {
    struct parcel *next;
    struct digest id;
    struct rpc_message *message;
    struct rpc_call *origin;
    bool sent; // over the stream that is up now
};

struct relay {
    struct relay_options options;
    struct rpc_stream *stream;
    struct parcel *first, **end;
    size_t waiting;
    bool was_full;
};

static struct metric relayed =
    METRIC_COUNTER("rlhfd_groups_relayed_total", "groups whose disposition was passed back");
static struct metric waiting =
    METRIC_GAUGE("rlhfd_groups_waiting", "scored groups without a disposition");
static struct metric *const rows[] = {&relayed, &waiting};

static void send_waiting(struct relay *relay)
{
    for (struct parcel *p = relay->first; p; p = p->next) {
        if (p->sent)
            continue;
        if (!rpc_stream_is_up(relay->stream) || rpc_stream_full(relay->stream) ||
            !rpc_stream_send_message(relay->stream, p->message))
            return;
        p->sent = true;
    }
}

static struct parcel **find(struct relay *relay, const struct digest *id)
{
    struct parcel **p = &relay->first;
    while (*p && !digest_equal(&(*p)->id, id))
        p = &(*p)->next;
    return p;
}

static void parcel_free(struct parcel *p)
{
    rpc_message_free(p->message);
    rpc_call_unref(p->origin);
    mem_free(p);
}

/* The disposition goes back; then the group is the learner's alone. */
static void settle(struct relay *relay, const struct digest *id, struct rpc_message *disposition)
{
    struct parcel **p = find(relay, id);
    if (!*p)
        return; // settled already
    struct parcel *settled = *p;
    *p = settled->next;
    if (relay->end == &settled->next)
        relay->end = p;
    rpc_call_send_message(settled->origin, disposition); // a generator that is gone asks again
    parcel_free(settled);
    metric_set(&waiting, (double)--relay->waiting);
    metric_add(&relayed, 1);
    if (relay->was_full && relay->waiting <= WAITING_MAX / 2) {
        relay->was_full = false;
        relay->options.room(relay->options.arg);
    }
}

static void on_up(struct rpc_stream *stream, void *user)
{
    (void)stream;
    struct relay *relay = user;
    for (struct parcel *p = relay->first; p; p = p->next)
        p->sent = false;
    relay->options.up(relay->options.arg);
    send_waiting(relay);
}

static void on_message(struct rpc_stream *stream, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct disposition disposition = {0};
    err_t failed =
        disposition_decode(rpc_message_data(message), rpc_message_len(message), &disposition);
    if (err_failed(failed)) {
        rpc_stream_break(stream, failed);
        return;
    }
    settle(user, &disposition.id, message);
    disposition_done(&disposition);
}

static void on_writable(struct rpc_stream *stream, void *user)
{
    (void)stream;
    send_waiting(user);
}

static void on_down(struct rpc_stream *stream, err_t why, void *user)
{
    (void)stream;
    struct relay *relay = user;
    relay->options.down(relay->options.arg, why);
}

err_t relay_open(const struct relay_options *options, struct relay **ret)
{
    static const struct rpc_method append = {
        "/rlhfd.v1.Replay/Append", NULL, NULL, RPC_BIDI, {0}, 0};
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(relay) relay = mem_new(sizeof *relay);
    relay->options = *options;
    relay->end = &relay->first;
    struct rpc_stream_options stream = {
        .channel = {.target = options->learner, .insecure = options->insecure}, .method = &append};
    struct rpc_stream_handlers handlers = {
        .up = on_up, .message = on_message, .writable = on_writable, .down = on_down};
    TRY(rpc_stream_open(options->rpc, &stream, &handlers, relay, &relay->stream));
    *ret = STEAL(relay);
    return OK;
}

void relay_group(struct relay *relay, const struct group *group, struct rpc_call *origin)
{
    struct parcel **known = find(relay, &group->id);
    if (*known) {
        rpc_call_unref((*known)->origin);
        (*known)->origin = rpc_call_ref(origin);
        return;
    }
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    struct parcel *p = mem_new(sizeof *p);
    *p = (struct parcel){.id = group->id,
                         .message = rpc_message_copy(out.data, out.len),
                         .origin = rpc_call_ref(origin)};
    *relay->end = p;
    relay->end = &p->next;
    metric_set(&waiting, (double)++relay->waiting);
    if (relay->waiting >= WAITING_MAX)
        relay->was_full = true;
    send_waiting(relay);
}

bool relay_full(const struct relay *relay)
{
    return relay->waiting >= WAITING_MAX;
}

size_t relay_waiting(const struct relay *relay)
{
    return relay->waiting;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    rpc_stream_free(relay->stream);
    for (struct parcel *p = relay->first, *next; p; p = next) {
        next = p->next;
        parcel_free(p);
    }
    mem_free(relay);
}
