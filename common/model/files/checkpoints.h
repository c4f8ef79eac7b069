/* Which checkpoints a run has, by name alone: RUN/checkpoints/v<version>
 * (learner/train/checkpoint.h writes and reads them).
 *
 *     SCOPED_VALUE(checkpoint_list) list = {0};
 *     TRY(checkpoint_list(run_directory, &list));      -- list.version[0] is the newest
 *     SCOPED_MEM char *path = checkpoint_path(run_directory, list.version[0]);
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* Whole or not, newest first: RUN/checkpoints/v<version>. */
struct checkpoint_list {
    uint64_t *version; // descending
    size_t count;
};
/* A directory that is not there has none. UNAVAILABLE, DENIED: it cannot be listed. */
err_t checkpoint_list(const char *run_directory, struct checkpoint_list *ret);
void checkpoint_list_done(struct checkpoint_list *list);
char *checkpoint_path(const char *run_directory, uint64_t version); // the caller's
