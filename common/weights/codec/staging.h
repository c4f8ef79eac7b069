/* A delta on its way in: its chunks become lists of elements and their new values, read against the
 * old ones. Nothing is written until all have come and the digest agrees.
 *
 *     SCOPED(staging) staging = staging_new(layout);
 *     TRY(staging_add(staging, values, chunk, len));          -- hostile bytes; each chunk, in order
 *     struct digest now = weights_digest_add(digest, staging_change(staging));
 *                                                             -- compare it with the manifest's
 *     staging_apply(staging, values, changed);                -- doing it twice does no harm
 *     staging_clear(staging);                                 -- ready for the next
 *
 * values must not change between the first staging_add and staging_apply. Memory: about 6 bytes a
 * change. Any thread, one at a time. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "tensor/layout.h"
#include <stdbool.h>
#include <stdint.h>

struct staging;
struct staging *staging_new(const struct layout *layout); // borrowed

/* INVALID: the chunk is malformed, or does not follow the last one; nothing of it was taken. */
err_t staging_add(struct staging *staging, const uint16_t *values, const uint8_t *chunk,
                  size_t len);

/* All changes of a list, in place of chunks: an empty staging takes it. Nothing is wrong with an
 * opened one but, perhaps, its values. */
struct changelist;
void staging_add_list(struct staging *staging, const uint16_t *values,
                      const struct changelist *list);

uint64_t staging_count(const struct staging *staging);       // values to write
struct digest staging_change(const struct staging *staging); // an addend of the digest

/* Writes them. changed: NULL, or a flag per tensor, set where one changes. */
void staging_apply(const struct staging *staging, uint16_t *values, bool *changed);

/* Calls fn for each stretch of values before it is written. Flat element first + offset[i] becomes
 * now[i]; offset NULL: first + i does. For a running digest. */
void staging_each(const struct staging *staging,
                  void (*fn)(void *arg, size_t first, const uint32_t *offset, const uint16_t *now,
                             size_t count),
                  void *arg);
void staging_clear(struct staging *staging);
void staging_free(struct staging *staging);
DEFINE_SCOPED(staging)
