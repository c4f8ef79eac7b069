/* The versions that a publisher gives to NCCL, and the chunks of them that it still has to send.
 *
 *     struct broadcast_round round = {0};
 *     for each subscriber: broadcast_count(broadcast, &round, &(struct broadcast_peer){...});
 *     broadcast_offer(broadcast, &round, newest, listed);
 *
 * One broadcast is the same bytes for all members of a session. Where all of them have the same
 * version, these are the changes from it. Else they are all values, but only where gRPC would send
 * the members more than that in sum. Changes go as their chunks in order, each after its length:
 * four bytes, big-endian. Where all members read lists, and one has a device's memory for them, the
 * list goes instead, from device to device. Owner: the loop's thread. */
#pragma once
#include "weights/broadcast/transport.h"
#include "weights/codec/changelist.h"
#include "weights/codec/snapshot.h"

struct broadcast;
struct broadcast_handlers {
    void (*send)(uint64_t peer, struct rpc_message *message, void *user); // on its stream
    /* NCCL brings this version to the peer: send it the manifest, and nothing more. */
    void (*begin)(uint64_t peer, const struct snapshot *what, void *user);
    /* The peer has the first `chunks` chunks of the version. The stream sends the others; 0: the
     * stream begins anew. */
    void (*rest)(uint64_t peer, struct snapshot *what, uint64_t chunks, void *user);
    void (*note)(const char *text, void *user); // optional: a line for the log
};

/* transport: loop, nccl, device, bucket_bytes and limits count. EXHAUSTED: no more threads. */
err_t broadcast_new(const struct transport_options *transport,
                    const struct broadcast_handlers *handlers, void *user, struct broadcast **ret);

/* As transport_hear and transport_leave. */
void broadcast_hear(struct broadcast *broadcast, uint64_t peer,
                    const struct session_message *message);
void broadcast_leave(struct broadcast *broadcast, uint64_t peer);

struct broadcast_peer {
    uint64_t id;
    bool wants;           // does not have the newest version
    struct snapshot *way; // the changes from the version it has; NULL: none are known
    unsigned lists;       // of its HELLO: SESSION_LISTS_READ ...
};
struct broadcast_round {
    size_t members, with_way;
    size_t readers, devices; // members that read lists; those with a device's memory for them
    struct snapshot *way;    // the first member's way
    bool differ, satisfied;  // two members' ways differ; a member wants nothing
    uint64_t grpc_bytes;     // bytes that gRPC would send the members in sum
};
void broadcast_count(const struct broadcast *broadcast, struct broadcast_round *round,
                     const struct broadcast_peer *peer);

/* True: the members counted get it by NCCL. listed: the newest's changes from the version before;
 * NULL: there is no list. */
bool broadcast_offer(struct broadcast *broadcast, const struct broadcast_round *round,
                     struct snapshot *newest, struct listed *listed);

struct broadcast_stats {
    struct transport_stats transport;
    uint64_t offered;    // versions offered
    uint64_t as_changes; // versions of these that went as changes
    uint64_t as_lists;   // versions of those that went as lists
    uint64_t on_device;  // versions of those that the learner sent from its device
    uint64_t over_grpc;  // versions that gRPC sent to members of a session at once
    uint64_t arrived;    // versions that NCCL brought, over all members
    uint64_t fallbacks;  // versions of which gRPC sent the rest, over all members
    double last_ms;      // time from the last offer to the last member's end
};
struct broadcast_stats broadcast_stats(const struct broadcast *broadcast);
void broadcast_free(struct broadcast *broadcast);
