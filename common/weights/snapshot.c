#include "weights/snapshot.h"
#include "base/mem.h"
#include "rpc/message.h"
#include <stdlib.h>
#include <string.h>

struct snapshot {
    int refs;
    struct manifest manifest;
    size_t count, bytes;
    struct rpc_message **message; // the manifest's, then the chunks'
};

/* A chunk is gone: the message that owns the values loses one owner, on whichever thread. */
static void release_values(void *arg)
{
    rpc_message_free(arg);
}

struct snapshot *snapshot_new(const struct manifest *manifest, const uint16_t *values)
{
    const size_t elements = manifest->elements;
    struct snapshot *snapshot = mem_new(sizeof *snapshot);
    snapshot->refs = 1;
    snapshot->manifest = *manifest;
    snapshot->count = 1 + (elements + WEIGHTS_CHUNK - 1) / WEIGHTS_CHUNK;
    snapshot->message = mem_array(snapshot->count, sizeof *snapshot->message);
    snapshot->message[0] = manifest_message(manifest);

    uint16_t *copy = mem_copy(values, elements * sizeof *values);
    struct rpc_message *owner = rpc_message_borrow(copy, elements * sizeof *values, free, copy);
    for (size_t i = 1; i < snapshot->count; i++) {
        const size_t first = (i - 1) * WEIGHTS_CHUNK;
        const size_t count = elements - first < WEIGHTS_CHUNK ? elements - first : WEIGHTS_CHUNK;
        snapshot->message[i] =
            chunk_message(first, copy + first, count, release_values, rpc_message_ref(owner));
    }
    rpc_message_free(owner);
    for (size_t i = 0; i < snapshot->count; i++)
        snapshot->bytes += rpc_message_len(snapshot->message[i]);
    return snapshot;
}

const struct manifest *snapshot_manifest(const struct snapshot *snapshot)
{
    return &snapshot->manifest;
}

size_t snapshot_bytes(const struct snapshot *snapshot)
{
    return snapshot->bytes;
}

size_t snapshot_messages(const struct snapshot *snapshot)
{
    return snapshot->count;
}

struct rpc_message *snapshot_message(const struct snapshot *snapshot, size_t i)
{
    return snapshot->message[i];
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
    for (size_t i = 0; i < snapshot->count; i++)
        rpc_message_free(snapshot->message[i]);
    free(snapshot->message);
    free(snapshot);
}
