/* One version's weights, immutable, as the messages that go to every subscriber. A snapshot has all
 * values, or the changes from an older version. Its memory is shared and never copied again.
 *
 *     TRY(model_flat(model, &values));                              -- compute thread: copies
 *     struct snapshot *snapshot = snapshot_of(&manifest, values);   -- takes the copy
 *     loop_post(loop, publish, snapshot);                           -- for publisher_publish
 *
 * Made and freed on any thread; references are counted on the loop's thread. The memory goes when
 * the transport is done with it; the runtime (rpc/rpc.h) outlives it. */
#pragma once
#include "base/scoped.h"
#include "weights/codec/delta.h"
#include "weights/codec/manifest.h"

struct snapshot;

/* Takes manifest->elements values, which free() frees. kind and chunks are filled in. snapshot_new
 * copies them. */
struct snapshot *snapshot_of(const struct manifest *manifest, uint16_t *values);
struct snapshot *snapshot_new(const struct manifest *manifest, const uint16_t *values);

/* The same; release(arg), in place of free(), when nobody needs the values any more, on any
 * thread. */
struct snapshot *snapshot_lent(const struct manifest *manifest, const uint16_t *values,
                               void (*release)(void *arg), void *arg);

/* The same, without a copy: a sender calls snapshot_hold, which copies, before the values change.
 * */
struct snapshot *snapshot_lazy(const struct manifest *manifest, const uint16_t *values);
void snapshot_hold(struct snapshot *snapshot);

/* The changes from manifest->base: takes delta. kind is DELTA or JUMP; chunks is filled in. */
struct snapshot *snapshot_of_delta(const struct manifest *manifest, struct delta *delta);

/* A manifest alone, for a subscriber that has these values from elsewhere. */
struct snapshot *snapshot_same(const struct manifest *manifest);

const struct manifest *snapshot_manifest(const struct snapshot *snapshot);
const struct delta *snapshot_delta(const struct snapshot *snapshot); // NULL: it is whole

/* The values of a whole one. They stay until the snapshot is freed. snapshot_values_owner returns a
 * message that is one more owner of them, given back with rpc_message_free on any thread. */
const uint16_t *snapshot_values(const struct snapshot *snapshot);
struct rpc_message *snapshot_values_owner(const struct snapshot *snapshot);

/* The manifest's message, then the chunks' in order; borrowed. i < snapshot_messages. compressed:
 * those of a delta packed by zstd, which is done once, at the first call (loop's thread). */
size_t snapshot_messages(const struct snapshot *snapshot);
struct rpc_message *snapshot_message(struct snapshot *snapshot, size_t i, bool compressed);

struct snapshot *snapshot_ref(struct snapshot *snapshot); // one more owner; returns it
void snapshot_free(struct snapshot *snapshot);            // one owner less
DEFINE_SCOPED(snapshot)
