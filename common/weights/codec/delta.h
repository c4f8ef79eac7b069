/* The changes between two versions of the weights, as chunks: exact, and small when little changed.
 * deltachunk.h has the bytes.
 *
 *     SCOPED(delta) delta = delta_encode(layout, old, now);
 *     for (size_t i = 0; i < delta->chunks; i++)
 *         TRY(staging_add(staging, old, delta->chunk[i].data, delta->chunk[i].len));
 *     TRY(delta_compose(layout, (const struct delta *[]){first, second}, 2, &jump));
 *                                                           -- one delta over both
 *
 * Values are bits: NaN payloads and the sign of zero come through. A tensor's stretch in which more
 * than half of the values changed is written without offsets. Equal arrays give a delta of no
 * chunks. Arrays are flat ones of layout, whose gaps are never looked at. Any thread; a delta does
 * not change once it is made. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "tensor/layout.h"
#include <stdint.h>

struct delta {
    size_t chunks;
    struct bytes *chunk;  // each complete by itself: the format of deltachunk.h, not compressed
    size_t bytes;         // bytes of all chunks
    uint64_t changed;     // values that differ
    struct digest change; // weights_digest_add(old's, change) is now's
};

/* The changes from old to now. Both are read once from end to end. */
struct delta *delta_encode(const struct layout *layout, const uint16_t *old, const uint16_t *now);

/* The same changes, bytes and all, from a list that has them; what it has beside them, elements
 * that are as they were, is left out. Old is read at the list's elements alone. */
struct changelist;
struct delta *delta_of_list(const struct layout *layout, const uint16_t *old,
                            const struct changelist *list);

/* One delta over consecutive deltas of one layout, oldest first. A value that came back to its old
 * bits is left out. Time and memory follow from the changes alone. INVALID: one of them is of
 * another layout. */
err_t delta_compose(const struct layout *layout, const struct delta *const *part, size_t count,
                    struct delta **ret);

void delta_free(struct delta *delta);
DEFINE_SCOPED(delta)
