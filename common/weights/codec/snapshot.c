#include "weights/codec/snapshot.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "weights/codec/deltachunk.h"
#include <stdlib.h>
#include <string.h>

struct snapshot {
    int refs;
    struct manifest manifest;
    size_t count;                 // messages
    struct rpc_message **message; // (count) the manifest's, then the chunks'
    struct rpc_message *
        *packed; // (count) the chunks' compressed, as they were asked for; NULL: whole
    struct rpc_message
        *owner; // of the values or the delta: goes with the last chunk that lends them
    const uint16_t *values;
    const struct delta *delta;
    const uint16_t *lent; // not NULL: there are no messages yet
};

/* A chunk is gone: the message that owns what it lends loses one owner, on whichever thread. */
static void release_owner(void *arg)
{
    rpc_message_free(arg);
}

static void release_delta(void *arg)
{
    delta_free(arg);
}

static void release_bytes(void *arg)
{
    bytes_done(arg);
    free(arg);
}

static struct snapshot *start(const struct manifest *manifest, size_t chunks)
{
    struct snapshot *snapshot = mem_new(sizeof *snapshot);
    snapshot->refs = 1;
    snapshot->manifest = *manifest;
    snapshot->manifest.chunks = chunks;
    snapshot->manifest.first_chunk = 0;
    snapshot->count = 1 + chunks;
    snapshot->message = mem_array(snapshot->count, sizeof *snapshot->message);
    return snapshot;
}

struct snapshot *snapshot_lent(const struct manifest *manifest, const uint16_t *values,
                               void (*release)(void *arg), void *arg)
{
    const size_t elements = manifest->elements;
    struct snapshot *snapshot = start(manifest, (elements + WEIGHTS_CHUNK - 1) / WEIGHTS_CHUNK);
    snapshot->manifest.kind = WEIGHTS_FULL;
    snapshot->manifest.base = 0;
    snapshot->message[0] = manifest_message(&snapshot->manifest);
    snapshot->values = values;
    snapshot->owner = rpc_message_borrow(values, elements * sizeof *values, release, arg);
    for (size_t i = 1; i < snapshot->count; i++) {
        const size_t first = (i - 1) * WEIGHTS_CHUNK;
        const size_t count = elements - first < WEIGHTS_CHUNK ? elements - first : WEIGHTS_CHUNK;
        snapshot->message[i] = chunk_message(first, values + first, count, release_owner,
                                             rpc_message_ref(snapshot->owner));
    }
    return snapshot;
}

struct snapshot *snapshot_of(const struct manifest *manifest, uint16_t *values)
{
    return snapshot_lent(manifest, values, free, values);
}

struct snapshot *snapshot_new(const struct manifest *manifest, const uint16_t *values)
{
    return snapshot_of(manifest, mem_copy(values, manifest->elements * sizeof *values));
}

struct snapshot *snapshot_lazy(const struct manifest *manifest, const uint16_t *values)
{
    const size_t chunks = (manifest->elements + WEIGHTS_CHUNK - 1) / WEIGHTS_CHUNK;
    struct snapshot *snapshot = start(manifest, chunks);
    snapshot->manifest.kind = WEIGHTS_FULL;
    snapshot->manifest.base = 0;
    snapshot->manifest.verify = false;
    snapshot->lent = values;
    return snapshot;
}

void snapshot_hold(struct snapshot *snapshot)
{
    if (!snapshot->lent)
        return;
    struct snapshot *whole = snapshot_new(&snapshot->manifest, snapshot->lent);
    free(snapshot->message);
    snapshot->message = STEAL(whole->message);
    snapshot->owner = STEAL(whole->owner);
    snapshot->values = whole->values;
    snapshot->lent = NULL;
    free(whole);
}

struct snapshot *snapshot_of_delta(const struct manifest *manifest, struct delta *delta)
{
    struct snapshot *snapshot = start(manifest, delta->chunks);
    snapshot->message[0] = manifest_message(&snapshot->manifest);
    snapshot->packed = mem_array(snapshot->count, sizeof *snapshot->packed);
    snapshot->delta = delta;
    snapshot->owner = rpc_message_borrow(delta, sizeof *delta, release_delta, delta);
    for (size_t i = 1; i < snapshot->count; i++) {
        const struct bytes *chunk = &delta->chunk[i - 1];
        snapshot->message[i] = delta_message(i - 1, chunk->data, chunk->len, release_owner,
                                             rpc_message_ref(snapshot->owner));
    }
    return snapshot;
}

struct snapshot *snapshot_same(const struct manifest *manifest)
{
    struct snapshot *snapshot = start(manifest, 0);
    snapshot->manifest.kind = WEIGHTS_SAME;
    snapshot->message[0] = manifest_message(&snapshot->manifest);
    return snapshot;
}

const struct manifest *snapshot_manifest(const struct snapshot *snapshot)
{
    return &snapshot->manifest;
}

const struct delta *snapshot_delta(const struct snapshot *snapshot)
{
    return snapshot->delta;
}

const uint16_t *snapshot_values(const struct snapshot *snapshot)
{
    return snapshot->values;
}

struct rpc_message *snapshot_values_owner(const struct snapshot *snapshot)
{
    return rpc_message_ref(snapshot->owner);
}

size_t snapshot_messages(const struct snapshot *snapshot)
{
    return snapshot->count;
}

struct rpc_message *snapshot_message(struct snapshot *snapshot, size_t i, bool compressed)
{
    if (!compressed || !snapshot->packed || i == 0)
        return snapshot->message[i];
    if (!snapshot->packed[i]) {
        const struct bytes *chunk = &snapshot->delta->chunk[i - 1];
        struct bytes *packed = mem_new(sizeof *packed);
        deltachunk_compress(chunk->data, chunk->len, packed);
        snapshot->packed[i] =
            delta_message(i - 1, packed->data, packed->len, release_bytes, packed);
    }
    return snapshot->packed[i];
}

struct snapshot *snapshot_ref(struct snapshot *snapshot)
{
    snapshot->refs++;
    return snapshot;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (!snapshot || --snapshot->refs)
        return;
    for (size_t i = 0; i < snapshot->count; i++) {
        rpc_message_free(snapshot->message[i]);
        rpc_message_free(snapshot->packed ? snapshot->packed[i] : NULL);
    }
    rpc_message_free(snapshot->owner);
    free(snapshot->message);
    free(snapshot->packed);
    free(snapshot);
}
