/* The learner's side of Weights.Subscribe: keeps the newest version and brings it to every
 * subscriber that has an older one.
 *
 *     TRY(publisher_new(&options, &publisher));
 *     services[0] = publisher_service(publisher);               -- into rpc_server_options
 *     publisher_publish(publisher, snapshot, delta);            -- after a round; delta: from the one before, or NULL
 *     -> settled(manifest, ms) once all subscribers have applied it
 *
 * A subscriber gets one version at a time; when it is through, the newest: one that is slow skips
 * what lies between. It gets what changed since the version that it has, in one piece, or all
 * values where that is unknown, too long ago or not less; and what a broken stream left unfinished
 * goes on where it ended. Members of an NCCL epoch get it by that, if there is one. Only so many
 * get all values at once, the others wait in turn. Who loaded the newest version's values from
 * elsewhere, and says their digest, is told so and gets none. At most about RPC_QUEUE_BYTES wait
 * for each, so nobody is waited for and memory stays bounded (one snapshot each). Owner: the loop's
 * thread. The server is freed first, then this. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "rpc/server.h"
#include "weights/codec/snapshot.h"
#include <stdbool.h>
#include <stdint.h>

struct broadcast;
struct publisher;
struct transport_options;
enum publisher_compress {
    PUBLISHER_AUTO,
    PUBLISHER_PLAIN,
    /* AUTO: but on loopback */
    PUBLISHER_ZSTD
};
struct publisher_options {
    const char *run;
    const struct layout *layout;      // borrowed
    enum publisher_compress compress; // deltas
    uint64_t anchor_every; // versions after which subscribers verify all values they have; 0: never
    int full_at_once;      // subscribers that are sent all values at the same time; 0: 2
    bool evaluated;        // serves Weights.SubscribeEvaluated
    /* Passes versions on, and may be behind others: who holds a later version is left alone */
    bool relay;
    /* Subscribers served here; others are sent on to these, as far as they serve too. 0: all */
    int fanout;
    const struct transport_options *nccl; // broadcast.h; borrowed for the call. NULL: none
    /* Optional. What becomes of epochs: a line for the log. */
    void (*note)(const char *text, void *user);
    /* Optional. Every subscriber there is has applied the newest version, ms after it was
     * published; once per version. */
    void (*settled)(const struct manifest *manifest, double ms, void *user);
    /* Optional. A subscriber said that it has applied this version. */
    void (*applied)(const char *generator, uint32_t lineage, uint64_t version, void *user);
    void *user;
};

err_t publisher_new(const struct publisher_options *options, struct publisher **ret);

/* Its methods. Refused: PRECONDITION for another run or layout, INVALID for what is malformed; the
 * message says what differs. A process that subscribes again takes the place of its stream before
 * (ABORTED). Weights are given to every process that asks: which of two with one name works for the
 * run is decided where leases are given. */
struct rpc_service publisher_service(struct publisher *publisher);

/* Takes the snapshot, a whole one: from now on the newest; and delta, what changed since the one
 * before, or NULL. Subscribers that hold it are left alone. One that holds a later version of its
 * lineage, or other weights under its number, holds what the learner has lost: it gets all
 * values. */
void publisher_publish(struct publisher *publisher, struct snapshot *snapshot, struct delta *delta);

/* To all subscribers: this is alive, or what it hears from is. Ascending; who has been sent on
 * misses it in the end. */
void publisher_beat(struct publisher *publisher, uint64_t beat);

/* NULL: nothing was published. */
const struct manifest *publisher_newest(const struct publisher *publisher);

/* Who is there, and what each has applied. */
struct holder {
    const char *generator; // borrowed until the next callback
    uint64_t incarnation;
    bool holds;
    uint32_t lineage;
    uint64_t version;
};
/* How many there are */
size_t publisher_holders(const struct publisher *publisher, struct holder *ret, size_t max);

struct publisher_stats {
    uint64_t published, sent; // versions made; versions sent to their end, over all subscribers
    uint64_t full, deltas, jumps, same; // of those sent
    uint64_t bytes;                     // sent, all messages
    uint64_t resumed;                   // after a break, where they had ended
    uint64_t refused;                   // subscribers
    uint64_t placed;                    // subscribers that were sent on
    uint64_t unusable;       // deltas that did not lead to the version's digest, or were too large
    int full_now, full_most; // subscribers that are being sent all values; the most there were
    size_t queued_max_bytes; // the longest queue of one subscriber yet
};
const struct broadcast *publisher_broadcast(const struct publisher *publisher); // NULL: none
struct publisher_stats publisher_stats(const struct publisher *publisher);
void publisher_free(struct publisher *publisher);
DEFINE_SCOPED(publisher)
