/* The learner's side of versions by NCCL: keeps a session of generators together and broadcasts
 * versions to its members. The gRPC stream beside it carries its messages, and the versions of late
 * joiners and failed sessions.
 *
 *     TRY(transport_new(&options, &transport));
 *     transport_hear(transport, peer, &message);         -- a subscriber's message about sessions
 *     transport_leave(transport, peer);                  -- its stream ended
 *     if (transport_offer(transport, &cargo)) ...
 *     for each peer: if (transport_carries(transport, peer)) send it nothing of this version yet
 *     -> released(peer, have): the peer has the first `have` bytes; the rest goes over gRPC
 *
 * An offer is taken only while a session stands and is at rest; else the version goes over gRPC at
 * once. A member that is slow, stopped or dead holds the others up once, for at most
 * limits.carry_ms + limits.end_ms. Owner: the loop's thread. */
#pragma once
#include "gpu/nccl.h"
#include "weights/broadcast/session.h"
#include "weights/broadcast/session_wire.h"

struct loop;
struct rpc_message;
struct weights_transport;

struct transport_options {
    struct loop *loop;
    const struct nccl *nccl; // borrowed
    int device;
    size_t bucket_bytes;          // broadcast at a time; 0: 32 MiB
    struct session_limits limits; // zeros: defaults
    /* Sends it on the peer's stream; message is borrowed. */
    void (*send)(uint64_t peer, struct rpc_message *message, void *user);
    /* The session brings the offered version to this peer: send its manifest now; ANNOUNCE
     * follows. */
    void (*announce)(uint64_t peer, void *user);
    /* The peer has the first `have` bytes of the version that was announced to it last. A stopped
     * peer says so when it goes on; until then NCCL alone may write to its memory. */
    void (*released)(uint64_t peer, uint64_t have, void *user);
    /* Optional. Why a session ended or someone stays outside: a line for the log. */
    void (*note)(const char *text, void *user);
    void *user;
};

/* EXHAUSTED: no more threads. */
err_t transport_new(const struct transport_options *options, struct weights_transport **ret);

/* A subscriber's message. A HELLO lets it take part; one with another version of NCCL is answered
 * REFUSED. peer: the caller's number for one stream, never used again. */
void transport_hear(struct weights_transport *transport, uint64_t peer,
                    const struct session_message *message);
void transport_leave(struct weights_transport *transport, uint64_t peer);

/* A version's bytes: those of a list (codec/changelist.h), of chunks, or of all values. */
struct transport_cargo {
    uint32_t lineage;
    uint64_t version;
    const uint8_t *data; // the host's; NULL: they lie on the device
    void *device;
    uint64_t len;
    bool list;
    void (*release)(void *arg);
    void *arg;
};
/* Reconciles the members, and begins to broadcast if a session is ready: true. The bytes are
 * borrowed until release(arg), called on the loop's thread; false: not taken. */
bool transport_offer(struct weights_transport *transport, const struct transport_cargo *cargo);

/* An offer made now would reach this peer: a session stands, is at rest, and has it. */
bool transport_reaches(const struct weights_transport *transport, uint64_t peer);
bool transport_carries(const struct weights_transport *transport, uint64_t peer);

struct transport_stats {
    enum session_state state;
    uint64_t session; // its number
    size_t members;   // beside the learner
    struct session_counts counts;
    uint64_t bytes;   // bytes of the versions carried
    uint64_t refused; // subscribers with another NCCL
};
struct transport_stats transport_stats(const struct weights_transport *transport);

/* False: a call into NCCL never returned. Then threads and the offered data stay until the process
 * ends; end it by _exit. */
bool transport_free(struct weights_transport *transport);
