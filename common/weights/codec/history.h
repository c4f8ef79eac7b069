/* The deltas that lead to the newest version, as far back as is worth keeping. A subscriber of an
 * older version is sent them.
 *
 *     SCOPED(history) history = history_new(layout, &limits);
 *     history_put(history, &manifest, delta);               -- the newest version, and its changes
 *     struct snapshot *way = history_way(history, lineage, version);
 *                                                           -- DELTA or JUMP; NULL: send it whole
 *
 * Owner: the publisher's thread. */
#pragma once
#include "weights/codec/snapshot.h"

struct history;
struct history_limits {
    size_t deltas; // the most deltas that are kept
    /* The most bytes of all deltas kept. All values are not much larger than so many changes. */
    size_t bytes;
    /* Receivers verify all values at versions that are multiples of this number. 0: never */
    uint64_t verify_every;
};
struct history *history_new(const struct layout *layout, const struct history_limits *limits);

/* The newest version. Takes delta, from the version put before. All deltas kept so far are freed if
 * delta is NULL, does not lead to the manifest's digest, or is of another lineage. True: delta was
 * kept. */
bool history_put(struct history *history, const struct manifest *manifest, struct delta *delta);

/* From this version to the newest, or, where composing a jump would take long, to the next.
 * Borrowed until history_put. */
struct snapshot *history_way(struct history *history, uint32_t lineage, uint64_t version);
void history_free(struct history *history);
DEFINE_SCOPED(history)
