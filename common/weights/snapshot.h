/* One version's weights, immutable, as the messages that go to every subscriber: memory is shared, never copied again.
 *
 *     struct snapshot *snapshot = snapshot_new(&manifest, model->values);     -- compute thread: copies
 *     loop_post(loop, publish, snapshot);                                     -- publisher_publish there takes it
 *
 * Made and freed on any thread; references are counted on the loop's thread. The memory goes when the transport is done with
 * it; the runtime (rpc/rpc.h) outlives it. */
#pragma once
#include "base/scoped.h"
#include "weights/manifest.h"

struct snapshot;

/* Copies manifest->elements values. */
struct snapshot *snapshot_new(const struct manifest *manifest, const uint16_t *values);
const struct manifest *snapshot_manifest(const struct snapshot *snapshot);
size_t snapshot_bytes(const struct snapshot *snapshot);

/* The manifest's message, then the chunks' in order; borrowed. i < snapshot_messages. */
size_t snapshot_messages(const struct snapshot *snapshot);
struct rpc_message *snapshot_message(const struct snapshot *snapshot, size_t i);

struct snapshot *snapshot_ref(struct snapshot *snapshot); // one more owner; returns it
void snapshot_free(struct snapshot *snapshot);            // one owner less
DEFINE_SCOPED(snapshot)
