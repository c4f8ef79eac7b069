/* What subscriber.c does for the files that bring versions by other ways than its stream to the
 * learner: intake.c (NCCL), follow.c (streams to others). For them alone. */
#pragma once
#include "weights/codec/manifest.h"
#include "weights/stream/subscriber.h"

struct delta;
struct follow;
struct intake;
struct rpc_stream;
struct scrub;
struct staging;

struct subscriber {
    struct subscriber_options options;
    struct digest layout, loaded; // loaded: while is_loaded
    bool is_loaded; // the model holds what it loaded from elsewhere, and nothing newer
    uint64_t elements;
    char *run, *generator, *serves;
    struct subscriber_handlers handlers;
    void *user;
    struct rpc_stream *stream;
    struct subscriber_stats stats;
    struct scrub *scrub;
    struct rpc *rpc;
    struct follow *follow;
    struct delta *passed_on; // chunks of the changes that come; NULL: none, or nobody wants them
    struct intake *intake;   // NULL: no NCCL
    /* (elements) What comes whole, else NULL; what is staged or taken, NULL: as it was loaded. */
    uint16_t *incoming, *ready;
    struct staging *staging; // changes of ready, on their way or complete
    bool *changed;           // (tensors) since what was taken before
    /* incoming or staging: */
    bool receiving, unfinished, complete; // over this stream; by the last; all of it
    struct manifest coming;
    uint64_t received; // elements, or chunks of changes
    struct digest sum; // of the elements
    /* ready: */
    bool has, staged, taken; // it holds the manifest's version
    struct manifest manifest;
    /* served: */
    bool holds;
    uint32_t lineage;
    uint64_t version;
};

/* The stream goes there instead, from what has come so far. INVALID, DENIED: the target; it stays
 * where it is. */
err_t subscriber_connect(struct subscriber *subscriber, const char *target);

void subscriber_hello(struct subscriber *subscriber); // says who we are, and what lies here
void subscriber_send(struct subscriber *subscriber, struct rpc_message *message);
void subscriber_break(struct subscriber *subscriber, err_t why); // as a peer that sends nonsense

/* The version whose manifest has come and whose chunks are awaited; NULL: none. Its first missing
 * chunk begins what comes. */
const struct manifest *subscriber_coming(const struct subscriber *subscriber);
/* Memory for what comes. What lies here serves for a version that comes whole if nothing of it is
 * wanted any more; what was forwarded is wanted until the next is. An error is that of
 * options.values. */
err_t subscriber_make_room(struct subscriber *subscriber, enum weights_kind kind);

uint16_t *subscriber_incoming(struct subscriber *subscriber); // where all values go
void subscriber_again(struct subscriber *subscriber); // all of coming, which was wrong, once more

/* The next chunk. message NULL: its values are in place. The last one finishes the version:
 * DATA_LOSS if its digest is wrong. */
err_t subscriber_chunk(struct subscriber *subscriber, struct rpc_message *message,
                       const struct weights_event *chunk);
