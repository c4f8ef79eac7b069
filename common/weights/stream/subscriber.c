#include "weights/stream/subscriber.h"
#include "base/mem.h"
#include "rpc/stream.h"
#include "tensor/digest.h"
#include "weights/codec/delta.h"
#include "weights/codec/scrub.h"
#include "weights/codec/staging.h"
#include "weights/stream/follow.h"
#include "weights/stream/intake.h"
#include "weights/stream/subscriber_inside.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct rpc_method subscribe = {.path = "/rlhfd.v1.Weights/Subscribe",
                                            .kind = RPC_BIDI};
static const struct rpc_method subscribe_evaluated = {
    .path = "/rlhfd.v1.Weights/SubscribeEvaluated", .kind = RPC_BIDI};

/* Chunks of `coming` that are here. */
static uint64_t chunks_here(const struct subscriber *subscriber)
{
    return subscriber->coming.kind == WEIGHTS_FULL ? subscriber->received / WEIGHTS_CHUNK
                                                   : subscriber->received;
}

/* Who we are, and what lies here. */
static void introduce(const struct subscriber *subscriber, struct subscription *ret)
{
    const struct manifest *newest =
        subscriber->complete ? &subscriber->coming : &subscriber->manifest;
    ret->run = subscriber->run;
    ret->generator = subscriber->generator;
    ret->incarnation = subscriber->options.incarnation;
    ret->layout = subscriber->layout;
    ret->serves = subscriber->serves;
    ret->lost = follow_lost(subscriber->follow);
    ret->has = subscriber->has || subscriber->complete;
    ret->has_lineage = newest->lineage;
    ret->has_version = newest->version;
    ret->has_digest = ret->has || subscriber->is_loaded;
    ret->digest = ret->has ? newest->digest : subscriber->loaded;
    ret->has_partial = subscriber->unfinished;
    ret->partial = subscriber->coming;
    ret->partial_chunks = chunks_here(subscriber);
}

/* Says what is applied; the first message of a stream also the rest. */
static void say(struct subscriber *subscriber, bool hello)
{
    struct subscription subscription = {
        .holds = subscriber->holds, .lineage = subscriber->lineage, .version = subscriber->version};
    if (hello)
        introduce(subscriber, &subscription);
    SCOPED_VALUE(bytes) out = {0};
    subscription_encode(&subscription, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    rpc_stream_send_message(subscriber->stream,
                            message); // lost with the stream: the next hello says it
}

/* Nothing that lies here is trusted: the next hello asks for all values. */
static void poison(struct subscriber *subscriber)
{
    subscriber->stats.mismatches++;
    subscriber->stats.poisoned++;
    subscriber->has = subscriber->staged = subscriber->holds = subscriber->is_loaded = false;
    subscriber->receiving = subscriber->unfinished = false;
    if (subscriber->complete)
        rpc_stream_resume(subscriber->stream);
    subscriber->complete = false;
    scrub_stop(subscriber->scrub);
    if (subscriber->handlers.poisoned)
        subscriber->handlers.poisoned(subscriber, subscriber->user);
}

static err_t wrong_digest(const struct manifest *manifest, const struct digest *sum)
{
    char got[DIGEST_TEXT], want[DIGEST_TEXT];
    return err_new(ERR_DATA_LOSS, "weights of version %llu have digest %s; the manifest says %s",
                   (unsigned long long)manifest->version, digest_text(sum, got),
                   digest_text(&manifest->digest, want));
}

/* All values were summed up again. */
static void on_summed(void *arg, const struct digest *sum)
{
    struct subscriber *subscriber = arg;
    if (digest_equal(sum, &subscriber->manifest.digest)) {
        subscriber->stats.verified++;
        return;
    }
    poison(subscriber);
    rpc_stream_break(subscriber->stream,
                     err_wrap(wrong_digest(&subscriber->manifest, sum), "summed up in memory"));
}

/* ---- receiving */

static bool same_version(const struct manifest *a, const struct manifest *b)
{
    return a->lineage == b->lineage && a->version == b->version &&
           digest_equal(&a->digest, &b->digest);
}

/* What comes may be here already. */
static bool is_known(const struct subscriber *subscriber, const struct manifest *manifest)
{
    if (subscriber->has && same_version(&subscriber->manifest, manifest))
        return true;
    return !subscriber->has && subscriber->holds && subscriber->lineage == manifest->lineage &&
           subscriber->version == manifest->version;
}

static void write_changes(struct subscriber *subscriber)
{
    scrub_follow(subscriber->scrub, subscriber->staging);
    staging_apply(subscriber->staging, subscriber->ready, subscriber->changed);
    staging_clear(subscriber->staging);
}

static void write_all(struct subscriber *subscriber)
{
    scrub_stop(subscriber->scrub);
    free(subscriber->ready);
    subscriber->ready = STEAL(subscriber->incoming);
    subscriber->is_loaded = false;
    for (int t = 0; t < subscriber->options.layout->count; t++)
        subscriber->changed[t] = true;
}

/* The complete version that came becomes the staged one. */
static void stage(struct subscriber *subscriber)
{
    if (subscriber->passed_on) {
        subscriber->passed_on->changed = staging_count(subscriber->staging);
        subscriber->passed_on->change = staging_change(subscriber->staging);
    }
    if (subscriber->coming.kind == WEIGHTS_FULL)
        write_all(subscriber);
    else if (subscriber->coming.kind != WEIGHTS_SAME)
        write_changes(subscriber);
    subscriber->manifest = subscriber->coming;
    subscriber->complete = false;
    subscriber->stats.replaced += subscriber->staged;
    subscriber->has = subscriber->staged = true;
    if (subscriber->handlers.forward)
        subscriber->handlers.forward(subscriber, &subscriber->manifest, subscriber->ready,
                                     STEAL(subscriber->passed_on), subscriber->user);
    if (subscriber->manifest.verify && subscriber->ready)
        scrub_start(subscriber->scrub, subscriber->ready);
    subscriber->handlers.staged(subscriber, &subscriber->manifest, subscriber->user);
}

static err_t check_digest(struct subscriber *subscriber)
{
    const struct manifest *manifest = &subscriber->coming;
    const bool whole = manifest->kind == WEIGHTS_FULL;
    if (manifest->kind == WEIGHTS_SAME)
        return OK; // check_manifest
    const struct digest sum = whole ? subscriber->sum
                                    : weights_digest_add(subscriber->manifest.digest,
                                                         staging_change(subscriber->staging));
    if (digest_equal(&sum, &manifest->digest))
        return OK;
    if (whole)
        subscriber->stats.mismatches++;
    else
        poison(subscriber);
    return wrong_digest(manifest, &sum);
}

static err_t finish_version(struct subscriber *subscriber)
{
    subscriber->receiving = false;
    TRY(check_digest(subscriber));
    subscriber->stats.versions++;
    subscriber->stats.full += subscriber->coming.kind == WEIGHTS_FULL;
    subscriber->stats.same += subscriber->coming.kind == WEIGHTS_SAME;
    subscriber->stats.changes +=
        subscriber->coming.kind == WEIGHTS_DELTA || subscriber->coming.kind == WEIGHTS_JUMP;
    if (is_known(subscriber, &subscriber->coming))
        return OK;
    if (!subscriber->taken) {
        stage(subscriber);
        return OK;
    }
    subscriber->complete = true;
    rpc_stream_pause(subscriber->stream); // both buffers, or the lists, are in use
    return OK;
}

static bool is_finished(const struct subscriber *subscriber)
{
    const struct manifest *manifest = &subscriber->coming;
    return subscriber->received ==
           (manifest->kind == WEIGHTS_FULL ? subscriber->elements : manifest->chunks);
}

/* What the last stream left goes on, where both sides know that it ended. */
static err_t resume(struct subscriber *subscriber, const struct manifest *manifest)
{
    if (!subscriber->unfinished || !manifest_same(manifest, &subscriber->coming) ||
        manifest->first_chunk != chunks_here(subscriber))
        return err_new(ERR_INVALID, "weights of version %llu go on with chunk %llu; %llu are here",
                       (unsigned long long)manifest->version,
                       (unsigned long long)manifest->first_chunk,
                       (unsigned long long)(subscriber->unfinished ? chunks_here(subscriber) : 0));
    subscriber->stats.resumed++;
    return OK;
}

static err_t check_same(const struct subscriber *subscriber, const struct manifest *manifest)
{
    if (subscriber->has || !subscriber->is_loaded ||
        !digest_equal(&subscriber->loaded, &manifest->digest) || manifest->chunks)
        return err_new(ERR_INVALID,
                       "weights of version %llu are said to be here, and are not what was loaded",
                       (unsigned long long)manifest->version);
    return OK;
}

static err_t check_manifest(const struct subscriber *subscriber, const struct manifest *manifest)
{
    const struct manifest *base = &subscriber->manifest;
    if (manifest->elements != subscriber->elements)
        return err_new(
            ERR_INVALID, "weights of version %llu have %llu elements; the model has %llu",
            (unsigned long long)manifest->version, (unsigned long long)manifest->elements,
            (unsigned long long)subscriber->elements);
    if (manifest->kind == WEIGHTS_FULL)
        return OK;
    if (manifest->kind == WEIGHTS_SAME)
        return check_same(subscriber, manifest);
    if (!subscriber->has || base->lineage != manifest->lineage || base->version != manifest->base)
        return err_new(ERR_INVALID,
                       "weights of version %llu are changes of version %llu, which is not here",
                       (unsigned long long)manifest->version, (unsigned long long)manifest->base);
    return OK;
}

static err_t take_manifest(struct subscriber *subscriber, const struct manifest *manifest)
{
    TRY(check_manifest(subscriber, manifest));
    if (manifest->first_chunk) {
        TRY(resume(subscriber, manifest));
    } else {
        subscriber->received = 0;
        subscriber->sum = (struct digest){0};
        staging_clear(subscriber->staging);
        TRY(subscriber_make_room(subscriber, manifest->kind));
        delta_free(STEAL(subscriber->passed_on));
        if (subscriber->handlers.forward &&
            (manifest->kind == WEIGHTS_DELTA || manifest->kind == WEIGHTS_JUMP))
            subscriber->passed_on = mem_new(sizeof *subscriber->passed_on);
    }
    subscriber->coming = *manifest;
    subscriber->unfinished = false;
    subscriber->receiving = true;
    return is_finished(subscriber) ? finish_version(subscriber) : OK; // nothing may have changed
}

static err_t take_values(struct subscriber *subscriber, const struct rpc_message *message,
                         const struct weights_event *chunk)
{
    const uint64_t left = subscriber->elements - subscriber->received;
    if (chunk->first != subscriber->received || chunk->count == 0 || chunk->count > left)
        return err_new(ERR_INVALID,
                       "weights: a chunk of elements %llu + %zu; %llu come next, %llu "
                       "are left",
                       (unsigned long long)chunk->first, chunk->count,
                       (unsigned long long)subscriber->received, (unsigned long long)left);
    uint16_t *place = subscriber->incoming + chunk->first;
    const size_t bytes = chunk->count * sizeof *place;
    if (message) // NULL: they are in place
        rpc_message_read(message, chunk->offset, bytes, place);
    subscriber->sum =
        weights_digest_add(subscriber->sum, weights_digest(place, chunk->first, chunk->count));
    subscriber->received += chunk->count;
    subscriber->stats.bytes += bytes;
    return OK;
}

static void keep(struct delta *delta, const uint8_t *data, size_t len)
{
    delta->chunk = mem_grow(delta->chunk, delta->chunks + 1, sizeof *delta->chunk);
    struct bytes *chunk = &delta->chunk[delta->chunks++];
    *chunk = (struct bytes){0};
    bytes_put(chunk, data, len);
    delta->bytes += len;
}

static err_t take_changes(struct subscriber *subscriber, struct rpc_message *message,
                          const struct weights_event *chunk)
{
    if (chunk->first != subscriber->received)
        return err_new(ERR_INVALID, "weights: chunk %llu of a delta; %llu comes next",
                       (unsigned long long)chunk->first, (unsigned long long)subscriber->received);
    TRY(staging_add(subscriber->staging, subscriber->ready,
                    rpc_message_data(message) + chunk->offset, chunk->count));
    if (subscriber->passed_on)
        keep(subscriber->passed_on, rpc_message_data(message) + chunk->offset, chunk->count);
    subscriber->received++;
    subscriber->stats.bytes += chunk->count;
    return OK;
}

err_t subscriber_chunk(struct subscriber *subscriber, struct rpc_message *message,
                       const struct weights_event *chunk)
{
    const bool whole = chunk->kind == WEIGHTS_CHUNK_OF_FULL;
    if (!subscriber->receiving)
        return err_new(ERR_INVALID, "weights: a chunk without a manifest");
    if (whole != (subscriber->coming.kind == WEIGHTS_FULL))
        return err_new(ERR_INVALID, "weights: a chunk of another kind than its manifest");
    TRY(whole ? take_values(subscriber, message, chunk) : take_changes(subscriber, message, chunk));
    return is_finished(subscriber) ? finish_version(subscriber) : OK;
}

static err_t receive(struct subscriber *subscriber, struct rpc_message *message)
{
    struct weights_event event;
    TRY(weights_decode(message, &event));
    if (intake_is_lent(subscriber->intake))
        return err_new(ERR_INVALID, "weights: a message of a version while NCCL brings one");
    return event.kind == WEIGHTS_MANIFEST ? take_manifest(subscriber, &event.manifest)
                                          : subscriber_chunk(subscriber, message, &event);
}

/* ---- what comes beside the stream */

void subscriber_hello(struct subscriber *subscriber)
{
    say(subscriber, true);
    intake_up(subscriber->intake);
}

/* ---- handlers */

static void on_up(struct rpc_stream *, void *user)
{
    struct subscriber *subscriber = user;
    if (!intake_owes_hello(subscriber->intake))
        subscriber_hello(subscriber);
    if (subscriber->handlers.up)
        subscriber->handlers.up(subscriber, subscriber->user);
}

static void on_message(struct rpc_stream *, struct rpc_message *message,
                       const struct ProtobufCMessage *, void *user)
{
    struct subscriber *subscriber = user;
    if (subscriber->complete) // not after a pause; but the buffer must never be written to then
        return;
    bool is_epoch = false;
    if (follow_hear(subscriber->follow, message))
        return;
    err_t e = intake_hear(subscriber->intake, message, &is_epoch);
    if (!is_epoch)
        e = receive(subscriber, message);
    if (err_failed(e))
        subscriber_break(subscriber, e);
}

static void on_down(struct rpc_stream *, err_t why, void *user)
{
    struct subscriber *subscriber = user;
    subscriber->unfinished |= subscriber->receiving;
    subscriber->receiving = false;
    intake_lost(subscriber->intake);
    if (follow_down(subscriber->follow) && err_code(why) == ERR_PRECONDITION) {
        err_t other = err_new(ERR_UNAVAILABLE, "%s", err_message(why));
        err_free(why); // no word of the learner's, to which it goes back
        why = other;
    }
    if (subscriber->handlers.down)
        subscriber->handlers.down(subscriber, why, subscriber->user);
    else
        err_free(why);
}

/* ---- the generator's calls */

err_t subscriber_connect(struct subscriber *subscriber, const char *target)
{
    static const struct rpc_stream_handlers handlers = {
        .up = on_up, .message = on_message, .down = on_down};
    const struct rpc_stream_options options = {
        .channel = {.target = target, .security = subscriber->options.security},
        .method = subscriber->options.evaluated ? &subscribe_evaluated : &subscribe,
        .backoff_min_ms = subscriber->options.backoff_min_ms,
        .backoff_max_ms = subscriber->options.backoff_max_ms};
    struct rpc_stream *stream = NULL;
    TRY(rpc_stream_open(subscriber->rpc, &options, &handlers, subscriber, &stream));
    rpc_stream_free(subscriber->stream); // what it had begun goes on over the new one
    subscriber->unfinished |= subscriber->receiving;
    subscriber->receiving = false;
    subscriber->stream = stream;
    if (subscriber->complete)
        rpc_stream_pause(stream);
    return OK;
}

err_t subscriber_open(struct rpc *rpc, const struct subscriber_options *options,
                      const struct subscriber_handlers *handlers, void *user,
                      struct subscriber **ret)
{
    SCOPED(subscriber) subscriber = mem_new(sizeof *subscriber);
    subscriber->options = *options;
    subscriber->rpc = rpc;
    subscriber->serves = options->serves ? mem_string(options->serves) : NULL;
    subscriber->options.serves = NULL;
    subscriber->run = mem_string(options->run);
    subscriber->generator = mem_string(options->generator);
    subscriber->options.run = subscriber->options.generator = subscriber->options.target = NULL;
    subscriber->layout = layout_digest(options->layout);
    subscriber->elements = options->layout->elements;
    subscriber->handlers = *handlers;
    subscriber->user = user;
    subscriber->holds = options->holds;
    subscriber->lineage = options->lineage;
    subscriber->version = options->version;
    subscriber->is_loaded = options->digest != NULL;
    assert(!options->digest || options->values);
    if (options->digest)
        subscriber->loaded = *options->digest;
    subscriber->options.digest = NULL; // borrowed until now
    subscriber->staging = staging_new(options->layout);
    subscriber->changed =
        mem_array((size_t)options->layout->count + 1, sizeof *subscriber->changed);
    subscriber->scrub = scrub_new(options->loop, subscriber->elements, on_summed, subscriber);
    if (options->nccl)
        TRY(intake_new(options->nccl, &subscriber->handlers, subscriber, user,
                       &subscriber->intake));
    subscriber->options.nccl = NULL; // borrowed until now
    TRY(subscriber_connect(subscriber, options->target));
    if (options->serves || options->silence_ms)
        subscriber->follow = follow_new(subscriber, options->target, options->silence_ms);
    *ret = STEAL(subscriber);
    return OK;
}

bool subscriber_take(struct subscriber *subscriber, struct manifest *ret,
                     const uint16_t **ret_values)
{
    if (!subscriber->staged || subscriber->taken)
        return false;
    subscriber->staged = false;
    subscriber->taken = true;
    *ret = subscriber->manifest;
    *ret_values = subscriber->ready;
    return true;
}

void subscriber_applied(struct subscriber *subscriber)
{
    assert(subscriber->taken);
    subscriber->taken = false;
    memset(subscriber->changed, 0,
           (size_t)subscriber->options.layout->count * sizeof *subscriber->changed);
    subscriber->holds = subscriber->has; // false: poisoned meanwhile
    subscriber->lineage = subscriber->manifest.lineage;
    subscriber->version = subscriber->manifest.version;
    say(subscriber, false);
    if (!subscriber->complete)
        return;
    stage(subscriber);
    rpc_stream_resume(subscriber->stream);
}
