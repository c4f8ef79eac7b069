/* The generator's side of versions by NCCL: takes part in the learner's epochs and receives what
 * they broadcast.
 *
 *     TRY(attend_new(&options, &attend));
 *     attend_up(attend);                      -- the stream stands: says HELLO
 *     attend_hear(attend, &message);          -- what the learner says about epochs
 *     -> buffer(announce) where it is to go;  received(announce): it is there;  or ended(have): the rest comes over gRPC
 *     attend_lost(attend);                    -- the stream broke
 *
 * A buffer that cannot be had now is no reason to stay away from a broadcast, for all the others
 * would wait: it is received and dropped. Owner: the loop's thread. */
#pragma once
#include "gpu/nccl.h"
#include "weights/broadcast/epoch_member.h"
#include "weights/broadcast/epoch_wire.h"

struct attend;
struct loop;
struct rpc_message;

struct attend_options {
    struct loop *loop;
    const struct nccl *nccl; // borrowed
    int device;
    struct member_limits limits;                           // zeros: defaults
    void (*send)(struct rpc_message *message, void *user); // to the learner; borrowed
    /* Where announce->bytes bytes of that version go, until received or ended; NULL: nowhere. */
    uint8_t *(*buffer)(const struct epoch_message *announce, void *user);
    /* Optional. The first so many bytes of it are there, and will not change; more will come. */
    void (*arrived)(uint64_t have, void *user);
    /* All of it is there. Whether it is right (its digest): false has it sent again, over gRPC. */
    bool (*received)(const struct epoch_message *announce, void *user);
    /* It broke off: the first `have` bytes are there. Only after buffer gave one, instead of
     * received. */
    void (*ended)(uint64_t have, void *user);
    void (*note)(const char *text, void *user);           // optional: a line for the log
    void (*entered)(enum member_state state, void *user); // optional
    void *user;
};

/* MEMBER_BROKEN while a version was coming: its buffer is never given back, for NCCL may still
 * write to it. Only the end of the process helps then. UNAVAILABLE: no such device; EXHAUSTED: no
 * more threads. */
err_t attend_new(const struct attend_options *options, struct attend **ret);
void attend_up(struct attend *attend);
void attend_hear(struct attend *attend, const struct epoch_message *message);
void attend_lost(struct attend *attend);

struct attend_stats {
    enum member_state state;
    uint64_t epoch, received, failed; // versions; epochs that ended by a fault seen here
};
struct attend_stats attend_stats(const struct attend *attend);

/* False: as transport_free. */
bool attend_free(struct attend *attend);
