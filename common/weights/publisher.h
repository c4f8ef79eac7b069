/* The learner's side of Weights.Subscribe: keeps the newest version and brings it to every
 * subscriber that has an older one.
 *
 *     TRY(publisher_new(&options, &publisher));
 *     services[0] = publisher_service(publisher);               -- into rpc_server_options
 *     publisher_publish(publisher, snapshot, delta);            -- after a round; delta: from the one before, or NULL
 *     -> settled(manifest, ms) once all subscribers have applied it
 *
 * A subscriber gets one version at a time, and the newest when that one is through: a slow
 * subscriber skips the versions between. Changes since the version that it has come in one piece;
 * all values come where these changes are unknown, too old or not smaller. A version that a broken
 * stream left unfinished goes on where it ended. A subscriber that loaded the newest version's
 * values from elsewhere, and says their digest, gets none. carriers.h has the ways on which
 * versions travel. Nobody is waited for, and memory stays bounded: one snapshot for each
 * subscriber. Owner: the loop's thread. The server is freed first, then this. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "base/scoped.h"
#include "rpc/server.h"
#include "weights/codec/snapshot.h"
#include "weights/stream/figures.h"
#include <stdbool.h>
#include <stdint.h>

struct carrier;
struct carriers;
struct publisher;
enum publisher_compress {
    PUBLISHER_AUTO, // ZSTD, but PLAIN on loopback
    PUBLISHER_PLAIN,
    PUBLISHER_ZSTD
};
struct publisher_options {
    const char *run;
    const struct layout *layout;      // borrowed
    enum publisher_compress compress; // applies to deltas
    uint64_t anchor_every; // versions after which subscribers verify all values they have; 0: never
    int full_at_once;      // subscribers that are sent all values at the same time; 0: 2
    bool evaluated;        // the method is Weights.SubscribeEvaluated
    /* Passes a learner's versions on, and may be behind others: a subscriber that holds a later
     * version gets nothing. */
    bool passes_on;
    /* Subscribers that are served here. The others are sent on to those of them that serve, too.
     * 0: all are served here. */
    int fanout;
    const struct carriers *carriers; // borrowed for the call; NULL: those without needs
    /* Optional. A carrier's line for the log. */
    void (*note)(const char *text, void *user);
    /* Optional. Every subscriber there is has applied the newest version, ms after it was
     * published; once per version. */
    void (*settled)(const struct manifest *manifest, double ms, void *user);
    /* Optional. A subscriber said that it has applied this version. */
    void (*applied)(const char *generator, uint32_t lineage, uint64_t version, void *user);
    void *user;
};

err_t publisher_new(const struct publisher_options *options, struct publisher **ret);

/* Its methods. Refused: PRECONDITION for another run or layout, INVALID for a malformed message.
 * The error names the difference. A process that subscribes again takes the place of its stream
 * before (ABORTED). Every process that asks gets weights; the leases decide which of two with one
 * name works for the run. */
struct rpc_service publisher_service(struct publisher *publisher);
const struct rpc_method *publisher_methods(bool evaluated); // its rows alone

/* Takes the snapshot, a whole one, which is the newest from now on. Takes delta, the changes since
 * the one before, or NULL. Subscribers that hold this version get nothing. A later version of the
 * lineage, or other weights under the same number, are weights that the learner has lost: their
 * holder gets all values. */
void publisher_publish(struct publisher *publisher, struct snapshot *snapshot, struct delta *delta);

/* The same, with the delta's changes as a list too, which carriers may send in its place; NULL:
 * none. Takes it. */
struct listed;
void publisher_publish_listed(struct publisher *publisher, struct snapshot *snapshot,
                              struct delta *delta, struct listed *listed);

/* A sign of life to all subscribers: this publisher is alive, or the one it hears from. Numbers
 * ascend. */
void publisher_beat(struct publisher *publisher, uint64_t beat);

/* NULL: nothing was published. */
const struct manifest *publisher_newest(const struct publisher *publisher);

/* A subscriber, and the version that it has applied. */
struct holder {
    const char *generator; // borrowed until the next callback
    uint64_t incarnation;
    bool holds;
    uint32_t lineage;
    uint64_t version;
};
/* Fills ret up to max, and returns the number of all. */
size_t publisher_holders(const struct publisher *publisher, struct holder *ret, size_t max);

/* The sending side of a carrier, for its own figures (broadcast/carry.h). */
const void *publisher_carrier(const struct publisher *publisher, const struct carrier *row);
struct publisher_stats publisher_stats(const struct publisher *publisher);
void publisher_free(struct publisher *publisher);
DEFINE_SCOPED(publisher)
