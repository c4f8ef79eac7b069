/* A publisher shares with its carriers the newest version, the subscribers, and the version that
 * each of them has. publisher.c fills it. A carrier changes the fields of the peers that it serves.
 * Owner: the loop's thread. */
#pragma once
#include "base/err.h"
#include "base/hash.h"
#include "weights/codec/snapshot.h"
#include "weights/stream/figures.h"
#include <stdbool.h>
#include <stdint.h>

struct history;
struct listed;
struct rpc_call;

/* One subscriber's stream. Without a name until its first message. */
struct peer {
    struct sending *sending;
    struct peer *next;
    uint64_t id;           // never used again
    struct rpc_call *call; // borrowed: the peer ends in its close handler
    bool dismissed;        // finished; its close handler comes
    bool compressed;       // deltas go to it compressed
    char *generator;
    char *serves; // the address where it passes versions on; NULL: it does not
    /* A subscriber that was sent on to this peer came back. None goes there until this time. */
    double suspect_until_s;
    uint64_t incarnation;
    bool holds; // the peer has applied the version below
    uint32_t lineage;
    uint64_t version;
    bool has; // the version below lies there complete, or was sent to its end over this stream
    uint32_t has_lineage;
    uint64_t has_version;
    /* An earlier stream broke in the middle of this version. The first version sent goes on with
     * it, if it is the same. */
    bool has_partial;
    struct manifest partial;
    uint64_t partial_chunks;
    /* Digest of the version that it has, from its hello; without one, of weights from elsewhere. */
    bool has_digest;
    struct digest digest;
    /* The carrier that brings the peer a version now, beside the stream; NULL: none. Meanwhile the
     * stream sends the peer no version. */
    const char *carried_by;
    unsigned lists; // how far it takes lists by NCCL: what its HELLO said
    /* The stream's: */
    struct snapshot *going; // on its way; NULL: none
    size_t next_message;    // index of its next message
    uint64_t first_chunk;   // the peer has the chunks before it
    double progress_s;      // the time at which a message was last queued
    uint64_t waiting;       // number in the queue of peers that need all values; 0: not in it
};

struct sending {
    struct snapshot *newest; // NULL: nothing was published
    struct listed *listed;   // while it is offered: its changes as a list; NULL: none
    struct history *history;
    struct peer *peers;
    bool later_counts; // a peer with a later version of the lineage needs nothing
    /* Versions above the newest, up to lost_up_to, exist no more; 0: none are lost. */
    uint32_t lost_lineage;
    uint64_t lost_up_to;
    int full_at_once, fanout; // options of publisher.h
    uint64_t turns;           // numbers given to those who wait for all values
    struct publisher_stats stats;
    void (*note)(const char *text, void *user); // optional
    void *user;                                 // argument of note
};

/* The peer of this number, unless it is gone or dismissed; NULL: there is none. */
struct peer *sending_find(const struct sending *sending, uint64_t id);

/* Whether a version is the newest, or counts as such. */
bool sending_is_newest(const struct sending *sending, uint32_t lineage, uint64_t version);

/* Whether a peer holds or has the newest version. */
bool peer_has_newest(const struct peer *peer);
bool peer_holds_newest(const struct peer *peer);

/* Whether a peer has said who it is, and is still served. */
bool peer_is_here(const struct peer *peer);

/* The peer has received peer->going in full. The call makes it the version that the peer has. */
void peer_has_got(struct peer *peer);
