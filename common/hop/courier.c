#include "hop/courier.h"
#include "base/clock.h"
#include "base/mem.h"
#include "hop/parcels.h"
#include "svc/metrics.h"
#include "wire/hello.h"

struct courier {
    struct courier_options options;
    struct rpc_stream *stream;
    bool accepted; // by the peer of the stream that is up
    bool knows;    // likewise: it reads wire/waiting.h
    struct parcels parcels;
};

static struct metric answered =
    METRIC_HISTOGRAM("rlhfd_ack_seconds", "from a group's first sending to its disposition", 0.001,
                     0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300);
static struct metric *const rows[] = {&answered};

/* Sends what is not under way, oldest first, as long as the stream takes it. */
static void send_waiting(struct courier *courier)
{
    for (struct parcel *p; (p = parcels_next(&courier->parcels));) {
        if (!courier->accepted || !rpc_stream_is_up(courier->stream) ||
            rpc_stream_full(courier->stream) ||
            !rpc_stream_send_message(courier->stream, p->message))
            return;
        if (!p->sent_s)
            p->sent_s = clock_s();
        parcels_sent(&courier->parcels);
    }
}

static void settle(struct courier *courier, const struct disposition *disposition,
                   struct rpc_message *answer)
{
    struct parcel *settled = parcels_find(&courier->parcels, &disposition->id);
    if (!settled)
        return; // settled already: it had been sent twice
    parcels_remove(&courier->parcels, settled);
    metric_observe(&answered, clock_s() - settled->sent_s);
    courier->options.settled(courier->options.arg, disposition, answer, settled->tag);
    rpc_message_free(settled->message);
    mem_free(settled);
}

static void accepted(struct courier *courier)
{
    courier->accepted = true;
    courier->options.up(courier->options.arg, parcels_lost(&courier->parcels));
    send_waiting(courier);
}

static void on_up(struct rpc_stream *stream, void *user)
{
    struct courier *courier = user;
    courier->accepted = courier->knows = false;
    if (!courier->options.hello) {
        accepted(courier);
        return;
    }
    SCOPED_VALUE(bytes) out = {0};
    hello_encode(courier->options.hello, &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    rpc_stream_send_message(stream, message);
    rpc_message_free(message);
}

static void on_message(struct rpc_stream *stream, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct courier *courier = user;
    struct disposition disposition = {0};
    uint32_t protocol;
    bool taken = false;
    if (!courier->accepted && welcome_decode(rpc_message_data(message), rpc_message_len(message),
                                             &protocol, &courier->knows)) {
        err_t other = hello_same_protocol(protocol, courier->options.peer);
        if (err_failed(other))
            rpc_stream_break(stream, other);
        else
            accepted(courier);
        return;
    }
    err_t failed = OK;
    if (courier->accepted && courier->options.other)
        failed = courier->options.other(courier->options.arg, message, &taken);
    if (taken)
        return;
    if (!err_failed(failed))
        failed =
            disposition_decode(rpc_message_data(message), rpc_message_len(message), &disposition);
    if (err_failed(failed)) {
        rpc_stream_break(stream, failed);
        return;
    }
    settle(courier, &disposition, message);
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
    struct courier *courier = user;
    courier->accepted = false;
    courier->options.down(courier->options.arg, why);
}

err_t courier_open(const struct courier_options *options, struct courier **ret)
{
    metrics_register(rows, 1);
    struct courier *courier = mem_new(sizeof *courier);
    courier->options = *options;
    struct rpc_stream_options stream = {.channel = {.target = options->peer,
                                                    .security = options->security,
                                                    .servers = options->servers,
                                                    .max_recv_bytes = options->max_recv_bytes},
                                        .method = options->method};
    struct rpc_stream_handlers handlers = {
        .up = on_up, .message = on_message, .writable = on_writable, .down = on_down};
    err_t failed = rpc_stream_open(options->rpc, &stream, &handlers, courier, &courier->stream);
    if (err_failed(failed)) {
        mem_free(courier);
        return failed;
    }
    *ret = courier;
    return OK;
}

void courier_send(struct courier *courier, const struct digest *id, struct rpc_message *message,
                  void *tag)
{
    struct parcel *p = mem_new(sizeof *p);
    *p = (struct parcel){.id = *id, .message = message, .tag = tag};
    parcels_add(&courier->parcels, p);
    send_waiting(courier);
}

void courier_tell(struct courier *courier, struct rpc_message *message)
{
    if (courier->accepted && courier->knows && rpc_stream_is_up(courier->stream))
        rpc_stream_send_message(courier->stream, message);
}

void **courier_tag(struct courier *courier, const struct digest *id)
{
    struct parcel *parcel = parcels_find(&courier->parcels, id);
    return parcel ? &parcel->tag : NULL;
}

size_t courier_waiting(const struct courier *courier)
{
    return courier->parcels.count;
}

void courier_close(struct courier *courier, void (*release)(void *tag))
{
    if (!courier)
        return;
    rpc_stream_free(courier->stream);
    for (struct parcel *p = courier->parcels.first, *next; p; p = next) {
        next = p->after;
        if (release)
            release(p->tag);
        rpc_message_free(p->message);
        mem_free(p);
    }
    parcels_done(&courier->parcels);
    mem_free(courier);
}
