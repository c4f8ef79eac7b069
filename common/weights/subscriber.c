#include "weights/subscriber.h"
#include "base/mem.h"
#include "rpc/stream.h"
#include "weights/digest.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct subscriber {
    struct subscriber_options options;
    char *run, *generator;
    struct subscriber_handlers handlers;
    void *user;
    struct rpc_stream *stream;
    struct subscriber_stats stats;
    uint16_t *incoming, *ready; // (elements) what is received; what is staged or taken
    /* incoming: */
    bool receiving, complete;
    struct manifest coming;
    uint64_t received; // elements
    struct digest sum; // of them
    /* ready: */
    bool staged, taken;
    struct manifest manifest;
    /* served: */
    bool holds;
    uint32_t lineage;
    uint64_t version;
};

static const struct rpc_method subscribe = {
    "/rlhfd.v1.Weights/Subscribe", NULL, NULL, RPC_BIDI, {0}, 0};
static const struct rpc_method subscribe_evaluated = {
    "/rlhfd.v1.Weights/SubscribeEvaluated", NULL, NULL, RPC_BIDI, {0}, 0};

/* Says what is applied; the first message of a stream also who we are. */
static void say(struct subscriber *subscriber, bool hello)
{
    struct subscription subscription = {
        .holds = subscriber->holds, .lineage = subscriber->lineage, .version = subscriber->version};
    if (hello) {
        subscription.run = subscriber->run;
        subscription.generator = subscriber->generator;
        subscription.incarnation = subscriber->options.incarnation;
        subscription.layout = subscriber->options.layout;
    }
    SCOPED_VALUE(bytes) out = {0};
    subscription_encode(&subscription, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    rpc_stream_send_message(subscriber->stream,
                            message); // lost with the stream: the next hello says it
}

/* ---- receiving */

static bool same_version(const struct manifest *a, const struct manifest *b)
{
    return a->lineage == b->lineage && a->version == b->version;
}

/* A new stream may bring again what is here already. */
static bool is_known(const struct subscriber *subscriber, const struct manifest *manifest)
{
    if ((subscriber->staged || subscriber->taken) && same_version(&subscriber->manifest, manifest))
        return true;
    return subscriber->holds && subscriber->lineage == manifest->lineage &&
           subscriber->version == manifest->version;
}

/* The complete incoming version becomes the staged one. */
static void stage(struct subscriber *subscriber)
{
    uint16_t *values = subscriber->ready;
    subscriber->ready = subscriber->incoming;
    subscriber->incoming = values;
    subscriber->manifest = subscriber->coming;
    subscriber->complete = false;
    subscriber->stats.replaced += subscriber->staged;
    subscriber->staged = true;
    subscriber->handlers.staged(subscriber, &subscriber->manifest, subscriber->user);
}

static err_t finish_version(struct subscriber *subscriber)
{
    const struct manifest *manifest = &subscriber->coming;
    subscriber->receiving = false;
    if (!digest_equal(&subscriber->sum, &manifest->digest)) {
        char got[DIGEST_TEXT], want[DIGEST_TEXT];
        subscriber->stats.mismatches++;
        return err_new(ERR_DATA_LOSS,
                       "weights of version %llu have digest %s; the manifest says %s",
                       (unsigned long long)manifest->version, digest_text(&subscriber->sum, got),
                       digest_text(&manifest->digest, want));
    }
    subscriber->stats.versions++;
    if (is_known(subscriber, manifest))
        return OK;
    if (!subscriber->taken) {
        stage(subscriber);
        return OK;
    }
    subscriber->complete = true;
    rpc_stream_pause(subscriber->stream); // both buffers are in use
    return OK;
}

static err_t take_manifest(struct subscriber *subscriber, const struct manifest *manifest)
{
    if (manifest->elements != subscriber->options.elements)
        return err_new(
            ERR_INVALID, "weights of version %llu have %llu elements; the model has %llu",
            (unsigned long long)manifest->version, (unsigned long long)manifest->elements,
            (unsigned long long)subscriber->options.elements);
    subscriber->coming = *manifest;
    subscriber->receiving = true;
    subscriber->received = 0;
    subscriber->sum = (struct digest){0};
    return OK;
}

static err_t take_chunk(struct subscriber *subscriber, const struct rpc_message *message,
                        const struct weights_event *chunk)
{
    const uint64_t left = subscriber->options.elements - subscriber->received;
    if (!subscriber->receiving)
        return err_new(ERR_INVALID, "weights: a chunk without a manifest");
    if (chunk->first != subscriber->received || chunk->count == 0 || chunk->count > left)
        return err_new(ERR_INVALID,
                       "weights: a chunk of elements %llu + %zu; %llu come next, %llu "
                       "are left",
                       (unsigned long long)chunk->first, chunk->count,
                       (unsigned long long)subscriber->received, (unsigned long long)left);
    uint16_t *place = subscriber->incoming + chunk->first;
    const size_t bytes = chunk->count * sizeof *place;
    rpc_message_read(message, chunk->offset, bytes, place);
    subscriber->sum =
        weights_digest_add(subscriber->sum, weights_digest(place, chunk->first, chunk->count));
    subscriber->received += chunk->count;
    subscriber->stats.bytes += bytes;
    return subscriber->received == subscriber->options.elements ? finish_version(subscriber) : OK;
}

static err_t receive(struct subscriber *subscriber, struct rpc_message *message)
{
    struct weights_event event;
    TRY(weights_decode(message, &event));
    return event.is_chunk ? take_chunk(subscriber, message, &event)
                          : take_manifest(subscriber, &event.manifest);
}

/* ---- handlers */

static void on_up(struct rpc_stream *, void *user)
{
    struct subscriber *subscriber = user;
    say(subscriber, true);
    if (subscriber->handlers.up)
        subscriber->handlers.up(subscriber, subscriber->user);
}

static void on_message(struct rpc_stream *stream, struct rpc_message *message,
                       const struct ProtobufCMessage *, void *user)
{
    struct subscriber *subscriber = user;
    if (subscriber->complete) // not after a pause; but the buffer must never be written to then
        return;
    err_t e = receive(subscriber, message);
    if (err_failed(e))
        rpc_stream_break(stream, e); // the next hello asks again
}

static void on_down(struct rpc_stream *, err_t why, void *user)
{
    struct subscriber *subscriber = user;
    subscriber->receiving = false; // a version comes whole over one stream
    if (subscriber->handlers.down)
        subscriber->handlers.down(subscriber, why, subscriber->user);
    else
        err_free(why);
}

/* ---- the generator's calls */

err_t subscriber_open(struct rpc *rpc, const struct subscriber_options *options,
                      const struct subscriber_handlers *handlers, void *user,
                      struct subscriber **ret)
{
    static const struct rpc_stream_handlers stream_handlers = {
        .up = on_up, .message = on_message, .down = on_down};
    SCOPED(subscriber) subscriber = mem_new(sizeof *subscriber);
    subscriber->options = *options;
    subscriber->run = mem_string(options->run);
    subscriber->generator = mem_string(options->generator);
    subscriber->options.run = subscriber->options.generator = subscriber->options.target = NULL;
    subscriber->handlers = *handlers;
    subscriber->user = user;
    subscriber->holds = options->holds;
    subscriber->lineage = options->lineage;
    subscriber->version = options->version;
    subscriber->incoming = mem_aligned(options->elements * sizeof *subscriber->incoming);
    subscriber->ready = mem_aligned(options->elements * sizeof *subscriber->ready);
    const struct rpc_stream_options stream_options = {
        .channel = {.target = options->target, .insecure = options->insecure},
        .method = options->evaluated ? &subscribe_evaluated : &subscribe,
        .backoff_min_ms = options->backoff_min_ms,
        .backoff_max_ms = options->backoff_max_ms};
    TRY(rpc_stream_open(rpc, &stream_options, &stream_handlers, subscriber, &subscriber->stream));
    *ret = STEAL(subscriber);
    return OK;
}

const uint16_t *subscriber_take(struct subscriber *subscriber, struct manifest *ret)
{
    if (!subscriber->staged || subscriber->taken)
        return NULL;
    subscriber->staged = false;
    subscriber->taken = true;
    *ret = subscriber->manifest;
    return subscriber->ready;
}

void subscriber_applied(struct subscriber *subscriber)
{
    assert(subscriber->taken);
    subscriber->taken = false;
    subscriber->holds = true;
    subscriber->lineage = subscriber->manifest.lineage;
    subscriber->version = subscriber->manifest.version;
    say(subscriber, false);
    if (!subscriber->complete)
        return;
    stage(subscriber);
    rpc_stream_resume(subscriber->stream);
}

struct subscriber_stats subscriber_stats(const struct subscriber *subscriber)
{
    struct subscriber_stats stats = subscriber->stats;
    stats.up = subscriber->stream && rpc_stream_is_up(subscriber->stream);
    return stats;
}

void subscriber_free(struct subscriber *subscriber)
{
    if (!subscriber)
        return;
    rpc_stream_free(subscriber->stream);
    free(subscriber->incoming);
    free(subscriber->ready);
    free(subscriber->run);
    free(subscriber->generator);
    free(subscriber);
}
