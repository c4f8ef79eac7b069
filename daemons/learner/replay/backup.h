/* A copy of a run to begin from again, made while the learner goes on: RUN/backups/NAME is a RUN
 * directory.
 *
 *     TRY(backup_make(run_directory, store, "before-lr", &path));     -- in a job of the storage thread
 *     rlhfctl up RECIPE --run RUN/backups/before-lr                   -- goes on from there, as a branch
 *
 * The copy holds the store as of one moment, the newest two checkpoints from before that moment,
 * the recipe, the metrics and the evaluations. The store keeps all groups that a start from either
 * checkpoint needs. Files of the store and of checkpoints are hard links. They take no space until
 * the run moves on, and are lost with the volume. Copies elsewhere are the operator's task. Owner:
 * the storage thread, which does nothing else meanwhile (tens of milliseconds). */
#pragma once
#include "learner/store/store.h"

enum { BACKUP_NAME_MAX = 64 };

/* On success the backup is whole and durable under its name; *ret_path is the caller's. An error
 * leaves no backup, with one exception: if the sync of its name failed, a whole one. name: 1 to 64
 * of A-Z a-z 0-9 . _ -, not beginning with a dot. INVALID: another name; EXISTS: the name is taken;
 * EXHAUSTED: the disk is full; else as store_open. */
err_t backup_make(const char *run_directory, struct store *store, const char *name,
                  char **ret_path);
