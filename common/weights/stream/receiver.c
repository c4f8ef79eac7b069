#include "weights/stream/receiver.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "tensor/digest.h"
#include "tensor/layout.h"
#include "weights/codec/delta.h"
#include "weights/codec/scrub.h"
#include "weights/stream/receiver_inside.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool is_whole(const struct receiver *receiver)
{
    return receiver->coming.kind == WEIGHTS_FULL;
}

/* Chunks of `coming` that are here. */
static uint64_t chunks_here(const struct receiver *receiver)
{
    return is_whole(receiver) ? receiver->received / WEIGHTS_CHUNK : receiver->received;
}

/* ---- carrying out */

static void write_changes(struct receiver *receiver)
{
    scrub_follow(receiver->scrub, receiver->staging);
    touched_follow(receiver->touched, receiver->staging);
    staging_apply(receiver->staging, receiver->ready, receiver->touched->tensor);
    staging_clear(receiver->staging);
}

static void write_all(struct receiver *receiver)
{
    scrub_stop(receiver->scrub);
    free(receiver->ready);
    receiver->ready = STEAL(receiver->incoming);
    touched_all(receiver->touched);
}

/* The incoming version becomes the ready one. */
static void stage(struct receiver *receiver)
{
    if (receiver->passed_on) {
        receiver->passed_on->changed = staging_count(receiver->staging);
        receiver->passed_on->change = staging_change(receiver->staging);
    }
    devicelists_stage(receiver->lists, is_whole(receiver) || staging_count(receiver->staging));
    if (is_whole(receiver))
        write_all(receiver);
    else if (receiver->coming.kind != WEIGHTS_SAME)
        write_changes(receiver);
    receiver->manifest = receiver->coming;
    if (receiver->handlers.forward)
        receiver->handlers.forward(&receiver->manifest, receiver->ready, STEAL(receiver->passed_on),
                                   receiver->user);
    if (receiver->manifest.verify && receiver->ready)
        scrub_start(receiver->scrub, receiver->ready);
    receiver->handlers.staged(&receiver->manifest, receiver->user);
}

static void carry_out(struct receiver *receiver, unsigned actions)
{
    assert(!(actions & ARRIVAL_REFUSED));
    if (actions & ARRIVAL_FORGET)
        receiver->holds = false;
    if (actions & ARRIVAL_SERVE) {
        receiver->holds = true;
        receiver->lineage = receiver->manifest.lineage;
        receiver->version = receiver->manifest.version;
    }
    receiver->stats.replaced += (actions & ARRIVAL_REPLACE) != 0;
    if (actions & ARRIVAL_STAGE)
        stage(receiver);
    if (actions & (ARRIVAL_PAUSE | ARRIVAL_READ))
        receiver->handlers.read(actions & ARRIVAL_READ, receiver->user);
}

static void step(struct receiver *receiver, enum arrival_event event)
{
    carry_out(receiver, arrival_step(&receiver->arrival, event));
}

/* ---- digests */

err_t receiver_wrong_digest(const struct manifest *manifest, const struct digest *sum)
{
    char got[DIGEST_TEXT], want[DIGEST_TEXT];
    return err_new(ERR_DATA_LOSS, "weights of version %llu have digest %s; the manifest says %s",
                   (unsigned long long)manifest->version, digest_text(sum, got),
                   digest_text(&manifest->digest, want));
}

/* No value that lies here is trusted. The next hello asks for all of them. */
static void poison(struct receiver *receiver)
{
    receiver->stats.mismatches++;
    receiver->stats.poisoned++;
    step(receiver, ARRIVAL_POISON);
    scrub_stop(receiver->scrub);
    if (receiver->handlers.poisoned)
        receiver->handlers.poisoned(receiver->user);
}

/* All values were summed up again. */
static void on_summed(void *arg, const struct digest *sum)
{
    struct receiver *receiver = arg;
    if (digest_equal(sum, &receiver->manifest.digest)) {
        receiver->stats.verified++;
        return;
    }
    poison(receiver);
    receiver->handlers.broken(
        err_wrap(receiver_wrong_digest(&receiver->manifest, sum), "summed up in memory"),
        receiver->user);
}

static err_t check_digest(struct receiver *receiver)
{
    const struct manifest *manifest = &receiver->coming;
    if (manifest->kind == WEIGHTS_SAME)
        return OK; // check_manifest
    const struct digest sum =
        is_whole(receiver)
            ? receiver->sum
            : weights_digest_add(receiver->manifest.digest, staging_change(receiver->staging));
    if (digest_equal(&sum, &manifest->digest))
        return OK;
    if (!is_whole(receiver)) {
        poison(receiver);
        return receiver_wrong_digest(manifest, &sum);
    }
    receiver->stats.mismatches++;
    step(receiver, ARRIVAL_WRONG);
    return receiver_wrong_digest(manifest, &sum);
}

/* ---- the end of a version */

static bool same_version(const struct manifest *a, const struct manifest *b)
{
    return a->lineage == b->lineage && a->version == b->version &&
           digest_equal(&a->digest, &b->digest);
}

/* The version that came may be here already. */
static bool is_known(const struct receiver *receiver, const struct manifest *manifest)
{
    if (arrival_has(&receiver->arrival))
        return same_version(&receiver->manifest, manifest);
    return receiver->holds && receiver->lineage == manifest->lineage &&
           receiver->version == manifest->version;
}

err_t receiver_finish(struct receiver *receiver)
{
    struct subscriber_stats *stats = &receiver->stats;
    const enum weights_kind kind = receiver->coming.kind;
    TRY(check_digest(receiver));
    stats->versions++;
    stats->full += kind == WEIGHTS_FULL;
    stats->same += kind == WEIGHTS_SAME;
    stats->changes += kind == WEIGHTS_DELTA || kind == WEIGHTS_JUMP;
    step(receiver, is_known(receiver, &receiver->coming) ? ARRIVAL_KNOWN : ARRIVAL_RIGHT);
    return OK;
}

static bool is_finished(const struct receiver *receiver)
{
    return receiver->received ==
           (is_whole(receiver) ? receiver->elements : receiver->coming.chunks);
}

/* ---- manifests */

/* A version that the last stream left goes on where both sides know that it ended. */
static err_t check_resumed(const struct receiver *receiver, const struct manifest *manifest)
{
    const bool unfinished = receiver->arrival.incoming == INCOMING_UNFINISHED;
    if (!unfinished || !manifest_same(manifest, &receiver->coming) ||
        manifest->first_chunk != chunks_here(receiver))
        return err_new(ERR_INVALID, "weights of version %llu go on with chunk %llu; %llu are here",
                       (unsigned long long)manifest->version,
                       (unsigned long long)manifest->first_chunk,
                       (unsigned long long)(unfinished ? chunks_here(receiver) : 0));
    return OK;
}

static err_t check_same(const struct receiver *receiver, const struct manifest *manifest)
{
    if (receiver->arrival.ready != READY_LOADED ||
        !digest_equal(&receiver->loaded, &manifest->digest) || manifest->chunks)
        return err_new(ERR_INVALID,
                       "weights of version %llu are said to be here, and are not what was loaded",
                       (unsigned long long)manifest->version);
    return OK;
}

static err_t check_manifest(const struct receiver *receiver, const struct manifest *manifest)
{
    const struct manifest *base = &receiver->manifest;
    if (manifest->elements != receiver->elements)
        return err_new(
            ERR_INVALID, "weights of version %llu have %llu elements; the model has %llu",
            (unsigned long long)manifest->version, (unsigned long long)manifest->elements,
            (unsigned long long)receiver->elements);
    if (manifest->kind == WEIGHTS_FULL)
        return OK;
    if (manifest->kind == WEIGHTS_SAME)
        return check_same(receiver, manifest);
    if (!arrival_has(&receiver->arrival) || base->lineage != manifest->lineage ||
        base->version != manifest->base)
        return err_new(ERR_INVALID,
                       "weights of version %llu are changes of version %llu, which is not here",
                       (unsigned long long)manifest->version, (unsigned long long)manifest->base);
    return OK;
}

/* Memory for the version that comes. A version that comes whole gets the memory of `ready` if
 * nobody wants that any more. A forwarded version is wanted until the next is forwarded. */
static err_t make_room(struct receiver *receiver, enum weights_kind kind)
{
    const size_t bytes = receiver->elements * sizeof *receiver->ready;
    const bool forwards = receiver->handlers.forward != NULL;
    const bool wanted =
        arrival_has(&receiver->arrival) || arrival_is_taken(&receiver->arrival) || forwards;
    if (kind == WEIGHTS_FULL) {
        if (!receiver->incoming)
            receiver->incoming = wanted ? NULL : STEAL(receiver->ready);
        if (!receiver->incoming)
            receiver->incoming = mem_aligned(bytes);
        return OK;
    }
    free(STEAL(receiver->incoming));
    if (receiver->ready || (kind == WEIGHTS_SAME && !forwards))
        return OK;
    SCOPED_MEM uint16_t *loaded = mem_aligned(bytes);
    TRY(err_wrap(receiver->options.values(receiver->options.arg, loaded), "the loaded weights"));
    receiver->ready = STEAL(loaded);
    return OK;
}

static err_t begin(struct receiver *receiver, enum weights_kind kind)
{
    receiver->received = 0;
    receiver->sum = (struct digest){0};
    staging_clear(receiver->staging);
    devicelists_no_room(receiver->lists);
    TRY(make_room(receiver, kind));
    delta_free(STEAL(receiver->passed_on));
    if (receiver->handlers.forward && (kind == WEIGHTS_DELTA || kind == WEIGHTS_JUMP))
        receiver->passed_on = mem_new(sizeof *receiver->passed_on);
    return OK;
}

err_t receiver_manifest(struct receiver *receiver, const struct manifest *manifest)
{
    TRY(check_manifest(receiver, manifest));
    if (manifest->first_chunk) {
        TRY(check_resumed(receiver, manifest));
        receiver->stats.resumed++;
        step(receiver, ARRIVAL_GO_ON);
    } else {
        TRY(begin(receiver, manifest->kind));
        step(receiver, ARRIVAL_BEGIN);
    }
    receiver->coming = *manifest;
    return is_finished(receiver) ? receiver_finish(receiver) : OK; // nothing may have changed
}

/* ---- chunks */

static err_t take_values(struct receiver *receiver, const struct rpc_message *message,
                         const struct weights_event *chunk)
{
    const uint64_t left = receiver->elements - receiver->received;
    if (chunk->first != receiver->received || chunk->count == 0 || chunk->count > left)
        return err_new(ERR_INVALID,
                       "weights: a chunk of elements %llu + %zu; %llu come next, %llu "
                       "are left",
                       (unsigned long long)chunk->first, chunk->count,
                       (unsigned long long)receiver->received, (unsigned long long)left);
    uint16_t *place = receiver->incoming + chunk->first;
    const size_t bytes = chunk->count * sizeof *place;
    if (message) // NULL: they are in place
        rpc_message_read(message, chunk->offset, bytes, place);
    receiver->sum =
        weights_digest_add(receiver->sum, weights_digest(place, chunk->first, chunk->count));
    receiver->received += chunk->count;
    receiver->stats.bytes += bytes;
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

static err_t take_changes(struct receiver *receiver, struct rpc_message *message,
                          const struct weights_event *chunk)
{
    if (chunk->first != receiver->received)
        return err_new(ERR_INVALID, "weights: chunk %llu of a delta; %llu comes next",
                       (unsigned long long)chunk->first, (unsigned long long)receiver->received);
    TRY(staging_add(receiver->staging, receiver->ready, rpc_message_data(message) + chunk->offset,
                    chunk->count));
    if (receiver->passed_on)
        keep(receiver->passed_on, rpc_message_data(message) + chunk->offset, chunk->count);
    receiver->received++;
    receiver->stats.bytes += chunk->count;
    return OK;
}

err_t receiver_chunk(struct receiver *receiver, struct rpc_message *message,
                     const struct weights_event *chunk)
{
    const bool whole = chunk->kind == WEIGHTS_CHUNK_OF_FULL;
    if (receiver->arrival.incoming != INCOMING_RECEIVING)
        return err_new(ERR_INVALID, "weights: a chunk without a manifest");
    if (whole != is_whole(receiver))
        return err_new(ERR_INVALID, "weights: a chunk of another kind than its manifest");
    TRY(whole ? take_values(receiver, message, chunk) : take_changes(receiver, message, chunk));
    return is_finished(receiver) ? receiver_finish(receiver) : OK;
}

const struct manifest *receiver_coming(const struct receiver *receiver)
{
    return receiver->arrival.incoming == INCOMING_RECEIVING ? &receiver->coming : NULL;
}

void receiver_lost(struct receiver *receiver)
{
    step(receiver, ARRIVAL_LOST);
}

void receiver_drop(struct receiver *receiver)
{
    step(receiver, ARRIVAL_DROP);
}

void receiver_again(struct receiver *receiver)
{
    receiver->received = 0;
    receiver->sum = (struct digest){0};
    step(receiver, ARRIVAL_AGAIN);
}

bool receiver_is_complete(const struct receiver *receiver)
{
    return receiver->arrival.incoming == INCOMING_COMPLETE;
}

/* ---- memory that a carrier writes to */

void receiver_lend(struct receiver *receiver, const char *to)
{
    receiver->lent_to = to;
}

void receiver_give_back(struct receiver *receiver)
{
    receiver->lent_to = NULL;
    receiver->handlers.let_go(receiver->user);
}

const char *receiver_lent_to(const struct receiver *receiver)
{
    return receiver->lent_to;
}

void receiver_abandon(struct receiver *receiver)
{
    receiver->incoming = NULL;
}

uint16_t *receiver_values(struct receiver *receiver)
{
    return receiver->incoming;
}

/* ---- what is said to the publisher */

void receiver_introduce(const struct receiver *receiver, struct subscription *ret)
{
    const bool complete = receiver_is_complete(receiver);
    const struct manifest *newest = complete ? &receiver->coming : &receiver->manifest;
    ret->has = arrival_has(&receiver->arrival) || complete;
    ret->has_lineage = newest->lineage;
    ret->has_version = newest->version;
    ret->has_digest = ret->has || receiver->arrival.ready == READY_LOADED;
    ret->digest = ret->has ? newest->digest : receiver->loaded;
    ret->has_partial = receiver->arrival.incoming == INCOMING_UNFINISHED;
    ret->partial = receiver->coming;
    ret->partial_chunks = chunks_here(receiver);
}

void receiver_say_served(const struct receiver *receiver, struct subscription *ret)
{
    ret->holds = receiver->holds;
    ret->lineage = receiver->lineage;
    ret->version = receiver->version;
}

/* ---- the model's calls */

bool receiver_take(struct receiver *receiver, struct manifest *ret, const uint16_t **ret_values)
{
    if (arrival_step(&receiver->arrival, ARRIVAL_TAKE) & ARRIVAL_REFUSED)
        return false;
    *ret = receiver->manifest;
    *ret_values = receiver->ready;
    return true;
}

const struct touched *receiver_touched(const struct receiver *receiver)
{
    return receiver->touched;
}

int receiver_lists(const struct receiver *receiver, const struct devicelist **ret)
{
    return devicelists_all(receiver->lists, ret);
}

void receiver_applied(struct receiver *receiver)
{
    const unsigned actions = arrival_step(&receiver->arrival, ARRIVAL_APPLIED);
    touched_clear(receiver->touched);
    devicelists_taken(receiver->lists);
    carry_out(receiver, actions & (ARRIVAL_SERVE | ARRIVAL_REFUSED));
    receiver->handlers.served(receiver->user);
    carry_out(receiver, actions & ~(unsigned)ARRIVAL_SERVE);
}

struct subscriber_stats *receiver_stats(struct receiver *receiver)
{
    return &receiver->stats;
}

struct receiver *receiver_new(const struct receiver_options *options,
                              const struct receiver_handlers *handlers, void *user)
{
    struct receiver *receiver = mem_new(sizeof *receiver);
    assert(!options->digest || options->values);
    receiver->options = *options;
    receiver->handlers = *handlers;
    receiver->user = user;
    receiver->elements = options->layout->elements;
    receiver->holds = options->holds;
    receiver->lineage = options->lineage;
    receiver->version = options->version;
    if (options->digest) {
        receiver->arrival.ready = READY_LOADED;
        receiver->loaded = *options->digest;
    }
    receiver->options.digest = NULL; // borrowed until now
    receiver->staging = staging_new(options->layout);
    receiver->touched = touched_new(options->layout, options->marks);
    receiver->lists = devicelists_new(options->layout, options->device, options->device_bytes);
    receiver->scrub = scrub_new(options->loop, receiver->elements, on_summed, receiver);
    return receiver;
}

void receiver_free(struct receiver *receiver)
{
    if (!receiver)
        return;
    delta_free(receiver->passed_on);
    scrub_free(receiver->scrub);
    staging_free(receiver->staging);
    touched_free(receiver->touched);
    devicelists_free(receiver->lists);
    free(receiver->incoming);
    free(receiver->ready);
    free(receiver);
}
