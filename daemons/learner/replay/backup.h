/* A copy of a run to begin from again, made while the learner goes on: RUN/backups/NAME is a RUN
 * directory.
 *
 *     TRY(storage_call(storage, make, &name));       -- make calls backup_make(run_directory, store, name)
 *     rlhfctl up RECIPE --run RUN/backups/NAME       -- the same run as of then, and a branch of it from then on
 *
 * It holds the store as of one moment, the newest two checkpoints from before that moment (the
 * store keeps what is needed to go on from them), the recipe and the metrics. The store's files and
 * the checkpoints are hard links: no space until the run moves on, and gone with the volume, so
 * copy it off the node. Owner: the storage thread, which does nothing else meanwhile (tens of
 * milliseconds). */
#pragma once
#include "learner/store/store.h"

enum { BACKUP_NAME_MAX = 64 };

/* Whole and durable under its name when it returns OK, else not there. name: 1 to 64 of A-Z a-z 0-9
 * . _ -, not beginning with a dot. INVALID: another name; EXISTS: one of that name is there;
 * EXHAUSTED: the disk is full; else as store_open. */
err_t backup_make(const char *run_directory, struct store *store, const char *name);
