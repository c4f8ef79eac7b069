#include "weights/subscriber.h"
#include "base/mem.h"
#include "rpc/stream.h"
#include "svc/security.h"
#include "tensor/layout.h"
#include "weights/carriers.h"
#include "weights/stream/carrier.h"
#include <stdlib.h>

static const struct rpc_method subscribe = {.path = "/rlhfd.v1.Weights/Subscribe",
                                            .kind = RPC_BIDI};
static const struct rpc_method subscribe_evaluated = {
    .path = "/rlhfd.v1.Weights/SubscribeEvaluated", .kind = RPC_BIDI};

struct subscriber {
    struct subscriber_options options;
    struct subscriber_handlers handlers;
    void *user;
    struct digest layout;
    char *run, *generator;
    struct rpc *rpc;
    struct rpc_stream *stream;
    struct receiver *receiver;
    struct receiving receiving;
    void *state[CARRIERS]; // by row; NULL: takes no part
    bool hello_due;        // the stream stands, and a carrier still writes to memory that is lent
};

/* ---- messages to the publisher */

static void send(void *arg, struct rpc_message *message)
{
    const struct subscriber *subscriber = arg;
    rpc_stream_send_message(subscriber->stream, message);
}

/* A message that is lost with the stream is said again by the next hello. */
static void say(struct subscriber *subscriber, const struct subscription *subscription)
{
    SCOPED_VALUE(bytes) out = {0};
    subscription_encode(subscription, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    send(subscriber, message);
}

/* The first message of a stream names the subscriber, and the versions that lie here. */
static void say_hello(struct subscriber *subscriber)
{
    struct subscription hello = {.run = subscriber->run,
                                 .generator = subscriber->generator,
                                 .incarnation = subscriber->options.incarnation,
                                 .layout = subscriber->layout};
    subscriber->hello_due = false;
    receiver_say_served(subscriber->receiver, &hello);
    receiver_introduce(subscriber->receiver, &hello);
    CARRIERS_EACH(subscriber->state, receive, introduce, &hello);
    say(subscriber, &hello);
    CARRIERS_EACH(subscriber->state, receive, up);
}

/* ---- the receiver's handlers */

static void on_staged(const struct manifest *manifest, void *user)
{
    struct subscriber *subscriber = user;
    subscriber->handlers.staged(subscriber, manifest, subscriber->user);
}

static void on_served(void *user)
{
    struct subscriber *subscriber = user;
    struct subscription served = {0};
    receiver_say_served(subscriber->receiver, &served);
    say(subscriber, &served);
}

static void on_forward(const struct manifest *manifest, const uint16_t *values, struct delta *delta,
                       void *user)
{
    struct subscriber *subscriber = user;
    subscriber->handlers.forward(subscriber, manifest, values, delta, subscriber->user);
}

static void on_poisoned(void *user)
{
    struct subscriber *subscriber = user;
    if (subscriber->handlers.poisoned)
        subscriber->handlers.poisoned(subscriber, subscriber->user);
}

/* The next hello asks again. */
static void cut(void *arg, err_t why)
{
    struct subscriber *subscriber = arg;
    receiver_drop(subscriber->receiver);
    rpc_stream_break(subscriber->stream, why);
}

static void on_broken(err_t why, void *user)
{
    cut(user, why);
}

static void on_read(bool on, void *user)
{
    const struct subscriber *subscriber = user;
    if (on)
        rpc_stream_resume(subscriber->stream);
    else
        rpc_stream_pause(subscriber->stream);
}

static void on_let_go(void *user)
{
    struct subscriber *subscriber = user;
    if (subscriber->hello_due)
        say_hello(subscriber);
}

/* ---- the stream's handlers */

static void on_up(struct rpc_stream *, void *user)
{
    struct subscriber *subscriber = user;
    if (receiver_lent_to(subscriber->receiver))
        subscriber->hello_due = true;
    else
        say_hello(subscriber);
    if (subscriber->handlers.up)
        subscriber->handlers.up(subscriber, subscriber->user);
}

static err_t hear(struct subscriber *subscriber, struct rpc_message *message)
{
    bool taken = false;
    for (size_t row = 0; row < CARRIERS && !taken; row++)
        if (subscriber->state[row] && carriers_table[row]->receive->hear)
            TRY(carriers_table[row]->receive->hear(subscriber->state[row], message, &taken));
    return OK;
}

static void on_message(struct rpc_stream *, struct rpc_message *message,
                       const struct ProtobufCMessage *, void *user)
{
    struct subscriber *subscriber = user;
    /* None come after a pause; but memory of a complete version must never be written to. */
    if (receiver_is_complete(subscriber->receiver))
        return;
    err_t e = hear(subscriber, message);
    if (err_failed(e))
        cut(subscriber, e);
}

static void on_down(struct rpc_stream *, err_t why, void *user)
{
    struct subscriber *subscriber = user;
    receiver_lost(subscriber->receiver);
    subscriber->hello_due = false;
    CARRIERS_EACH(subscriber->state, receive, down, &why);
    if (subscriber->handlers.down)
        subscriber->handlers.down(subscriber, why, subscriber->user);
    else
        err_free(why);
}

/* Goes on from what has come so far. */
static err_t move(void *arg, const char *target)
{
    static const struct rpc_stream_handlers handlers = {
        .up = on_up, .message = on_message, .down = on_down};
    struct subscriber *subscriber = arg;
    const struct rpc_stream_options options = {
        .channel = {.target = target,
                    .security = subscriber->options.security,
                    .servers = CALLER_LEARNER | CALLER_GENERATOR},
        .method = subscriber->options.evaluated ? &subscribe_evaluated : &subscribe,
        .backoff_min_ms = subscriber->options.backoff_min_ms,
        .backoff_max_ms = subscriber->options.backoff_max_ms};
    struct rpc_stream *stream = NULL;
    TRY(rpc_stream_open(subscriber->rpc, &options, &handlers, subscriber, &stream));
    rpc_stream_free(subscriber->stream);
    receiver_lost(subscriber->receiver);
    subscriber->stream = stream;
    if (receiver_is_complete(subscriber->receiver))
        rpc_stream_pause(stream);
    return OK;
}

/* ---- the carriers' calls */

static void on_beat(void *arg, uint64_t beat)
{
    struct subscriber *subscriber = arg;
    if (subscriber->handlers.beat)
        subscriber->handlers.beat(subscriber, beat, subscriber->user);
}

static void on_note(void *arg, const char *text)
{
    struct subscriber *subscriber = arg;
    if (subscriber->handlers.note)
        subscriber->handlers.note(subscriber, text, subscriber->user);
}

static void on_stuck(void *arg)
{
    struct subscriber *subscriber = arg;
    if (subscriber->handlers.stuck)
        subscriber->handlers.stuck(subscriber, subscriber->user);
}

/* ---- the generator's calls */

static struct receiver *make_receiver(struct subscriber *subscriber,
                                      const struct subscriber_options *options)
{
    const struct receiver_options receiver = {.loop = options->loop,
                                              .layout = options->layout,
                                              .holds = options->holds,
                                              .lineage = options->lineage,
                                              .version = options->version,
                                              .digest = options->digest,
                                              .values = options->values,
                                              .marks = options->marks,
                                              .device = options->device,
                                              .device_bytes = options->device_bytes,
                                              .arg = options->arg};
    const struct receiver_handlers handlers = {.staged = on_staged,
                                               .served = on_served,
                                               .forward =
                                                   subscriber->handlers.forward ? on_forward : NULL,
                                               .poisoned = on_poisoned,
                                               .broken = on_broken,
                                               .read = on_read,
                                               .let_go = on_let_go};
    return receiver_new(&receiver, &handlers, subscriber);
}

static err_t open_carriers(struct subscriber *subscriber, const struct subscriber_options *options)
{
    subscriber->receiving = (struct receiving){.loop = options->loop,
                                               .receiver = subscriber->receiver,
                                               .home = options->target,
                                               .serves = options->serves,
                                               .silence_ms = options->silence_ms,
                                               .send = send,
                                               .cut = cut,
                                               .move = move,
                                               .beat = on_beat,
                                               .note = on_note,
                                               .stuck = on_stuck,
                                               .arg = subscriber};
    for (size_t row = 0; row < CARRIERS; row++)
        TRY(carriers_table[row]->receive->open(
            &subscriber->receiving, carriers_means(options->carriers, carriers_table[row]),
            &subscriber->state[row]));
    subscriber->receiving.home = subscriber->receiving.serves = NULL;
    return OK;
}

err_t subscriber_open(struct rpc *rpc, const struct subscriber_options *options,
                      const struct subscriber_handlers *handlers, void *user,
                      struct subscriber **ret)
{
    SCOPED(subscriber) subscriber = mem_new(sizeof *subscriber);
    subscriber->options = *options;
    subscriber->rpc = rpc;
    subscriber->run = mem_string(options->run);
    subscriber->generator = mem_string(options->generator);
    subscriber->layout = layout_digest(options->layout);
    subscriber->handlers = *handlers;
    subscriber->user = user;
    subscriber->receiver = make_receiver(subscriber, options);
    TRY(open_carriers(subscriber, options));
    TRY(move(subscriber, options->target));
    /* Borrowed until now. */
    subscriber->options.run = subscriber->options.generator = subscriber->options.target = NULL;
    subscriber->options.serves = NULL;
    subscriber->options.digest = NULL;
    subscriber->options.carriers = NULL;
    *ret = STEAL(subscriber);
    return OK;
}

bool subscriber_take(struct subscriber *subscriber, struct manifest *ret,
                     const uint16_t **ret_values)
{
    return receiver_take(subscriber->receiver, ret, ret_values);
}

const struct touched *subscriber_touched(const struct subscriber *subscriber)
{
    return receiver_touched(subscriber->receiver);
}

int subscriber_lists(const struct subscriber *subscriber, const struct devicelist **ret)
{
    return receiver_lists(subscriber->receiver, ret);
}

void subscriber_applied(struct subscriber *subscriber)
{
    receiver_applied(subscriber->receiver);
}

struct subscriber_stats subscriber_stats(const struct subscriber *subscriber)
{
    struct subscriber_stats stats = *receiver_stats(subscriber->receiver);
    stats.up = subscriber->stream && rpc_stream_is_up(subscriber->stream);
    return stats;
}

/* The carriers first: one of them may have to leave memory of the receiver behind. */
void subscriber_free(struct subscriber *subscriber)
{
    if (!subscriber)
        return;
    CARRIERS_EACH(subscriber->state, receive, close);
    rpc_stream_free(subscriber->stream);
    receiver_free(subscriber->receiver);
    free(subscriber->run);
    free(subscriber->generator);
    free(subscriber);
}
