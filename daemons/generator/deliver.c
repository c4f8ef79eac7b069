#include "generator/deliver.h"
#include "base/log.h"
#include "base/mem.h"
#include "svc/metrics.h"

struct parcel {
    struct parcel *next;
    struct digest id;
    struct rpc_message *message;
    bool sent; // over the stream that is up now
};

struct deliver {
    struct deliver_options options;
    struct rpc_stream *stream;
    struct parcel *first, **end;
    size_t waiting;
};

static struct metric delivered =
    METRIC_COUNTER("rlhfd_groups_delivered_total", "groups that got their disposition");
static struct metric sent_again =
    METRIC_COUNTER("rlhfd_groups_sent_again_total", "groups sent again after a lost stream");
static struct metric unsettled =
    METRIC_GAUGE("rlhfd_groups_unsettled", "finished groups without a disposition");
static struct metric *const rows[] = {&delivered, &sent_again, &unsettled};

/* Sends what is not under way, oldest first, as long as the stream takes it. */
static void send_waiting(struct deliver *deliver)
{
    for (struct parcel *p = deliver->first; p; p = p->next) {
        if (p->sent)
            continue;
        if (!rpc_stream_is_up(deliver->stream) || rpc_stream_full(deliver->stream) ||
            !rpc_stream_send_message(deliver->stream, p->message))
            return;
        p->sent = true;
    }
}

static void forget(struct deliver *deliver, const struct disposition *disposition)
{
    struct parcel **p = &deliver->first;
    while (*p && !digest_equal(&(*p)->id, &disposition->id))
        p = &(*p)->next;
    if (!*p)
        return; // settled already: it had been sent twice
    struct parcel *settled = *p;
    *p = settled->next;
    if (deliver->end == &settled->next)
        deliver->end = p;
    rpc_message_free(settled->message);
    mem_free(settled);
    metric_set(&unsettled, (double)--deliver->waiting);
    metric_add(&delivered, 1);
    deliver->options.settled(deliver->options.arg, disposition);
}

static void on_up(struct rpc_stream *stream, void *user)
{
    (void)stream;
    struct deliver *deliver = user;
    for (struct parcel *p = deliver->first; p; p = p->next) {
        metric_add(&sent_again, p->sent);
        p->sent = false;
    }
    deliver->options.up(deliver->options.arg);
    send_waiting(deliver);
}

static void on_message(struct rpc_stream *stream, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct deliver *deliver = user;
    struct disposition disposition = {0};
    err_t failed =
        disposition_decode(rpc_message_data(message), rpc_message_len(message), &disposition);
    if (err_failed(failed)) {
        rpc_stream_break(stream, failed);
        return;
    }
    if (disposition.outcome != OUTCOME_STORED)
        log_info("group not stored", "outcome=%s why=\"%s\"", outcome_name(disposition.outcome),
                 disposition.reason ? disposition.reason : "");
    forget(deliver, &disposition);
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
    struct deliver *deliver = user;
    deliver->options.down(deliver->options.arg, why);
}

err_t deliver_open(const struct deliver_options *options, struct deliver **ret)
{
    static const struct rpc_method score = {
        "/rlhfd.v1.Rewards/Score", NULL, NULL, RPC_BIDI, {0}, 0};
    metrics_register(rows, sizeof rows / sizeof *rows);
    SCOPED(deliver) deliver = mem_new(sizeof *deliver);
    deliver->options = *options;
    deliver->end = &deliver->first;
    struct rpc_stream_options stream = {
        .channel = {.target = options->rewarder, .insecure = options->insecure}, .method = &score};
    struct rpc_stream_handlers handlers = {
        .up = on_up, .message = on_message, .writable = on_writable, .down = on_down};
    TRY(rpc_stream_open(options->rpc, &stream, &handlers, deliver, &deliver->stream));
    *ret = STEAL(deliver);
    return OK;
}

void deliver_group(struct deliver *deliver, struct group *group)
{
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    struct parcel *p = mem_new(sizeof *p);
    p->id = group->id;
    p->message = rpc_message_copy(out.data, out.len);
    group_free(group);
    *deliver->end = p;
    deliver->end = &p->next;
    metric_set(&unsettled, (double)++deliver->waiting);
    send_waiting(deliver);
}

size_t deliver_waiting(const struct deliver *deliver)
{
    return deliver->waiting;
}

void deliver_free(struct deliver *deliver)
{
    if (!deliver)
        return;
    rpc_stream_free(deliver->stream);
    for (struct parcel *p = deliver->first, *next; p; p = next) {
        next = p->next;
        rpc_message_free(p->message);
        mem_free(p);
    }
    mem_free(deliver);
}
