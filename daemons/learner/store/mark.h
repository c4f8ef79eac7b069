/* RUN/store/high-water: the sequence number of the newest batch that is on disk, kept outside of
 * RocksDB's files. A store that opens with a lower one has lost durable records.
 *
 *     SCOPED(mark) mark = NULL;
 *     TRY(mark_open("store", &mark));
 *     mark_set(mark, 4711);                       -- after the batch's fsync
 *     TRY(mark_read("store", &sequence));         -- 0: there is no mark, or a damaged one
 *
 * The mark is written after the batch is synced, and is not synced itself. So it is never too high,
 * but may be too low after a power failure. Owner: the storage thread; mark_read: any. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdint.h>

struct mark;
err_t mark_open(const char *dir, struct mark **ret);
void mark_free(struct mark *mark);
DEFINE_SCOPED(mark)
void mark_set(struct mark *mark, uint64_t sequence);

err_t mark_read(const char *dir, uint64_t *ret_sequence);
