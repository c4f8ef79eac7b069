/* One write of groups that have come, and their dispositions: ingest's part on the storage thread.
 *
 *     TRY(append_all(&ingest->options, batch->item, batch->count, store, &stored));
 *
 * Groups that can be trained are one write. Those that cannot are rare, and written one by one. */
#pragma once
#include "learner/replay/ingest.h"

struct append_item {
    struct rpc_call *call; // a reference: where the disposition goes
    struct group *group;
    struct rpc_message *message; // a reference: what the group was decoded from, and is stored as
    struct encoded encoded;      // its bytes
    const char *judge;           // gave it up
    char *misfit;                // why; NULL: it can
};
void append_item_done(struct append_item *item);

/* The error is the store's end. */
err_t append_all(const struct ingest_options *options, struct append_item *item, size_t count,
                 struct store *store, size_t *ret_stored);
void appending_register(void); // the metrics
