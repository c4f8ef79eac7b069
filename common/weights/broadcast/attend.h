/* The generator's side of versions by NCCL: takes part in the learner's sessions and receives the
 * versions broadcast there.
 *
 *     TRY(attend_new(&options, &attend));
 *     attend_up(attend);                      -- the stream stands: says HELLO
 *     attend_hear(attend, &message);          -- what the learner says about sessions
 *     -> buffer(announce): memory for the version; then received(announce): all of it is there,
 *        or ended(have): the rest comes over gRPC
 *     attend_lost(attend);                    -- the stream broke
 *
 * A generator without room for a version takes part all the same and drops it, or all the others
 * would wait for it. Owner: the loop's thread. */
#pragma once
#include "gpu/nccl.h"
#include "weights/broadcast/session_member.h"
#include "weights/broadcast/session_wire.h"

struct attend;
struct loop;
struct rpc_message;

struct attend_options {
    struct loop *loop;
    const struct nccl *nccl; // borrowed
    int device;
    struct member_limits limits;                           // zeros: defaults
    void (*send)(struct rpc_message *message, void *user); // goes to the learner; borrowed
    /* Memory for announce->bytes bytes of that version, until received or ended; NULL: none. */
    uint8_t *(*buffer)(const struct session_message *announce, void *user);
    /* Optional. Called after buffer gave memory: memory of the device for the same bytes, from
     * which the other becomes a copy; NULL: none. */
    void *(*on_device)(const struct session_message *announce, void *user);
    unsigned lists; // how far lists are taken: goes into the HELLO
    /* Optional. The first `have` bytes of the version are there, and do not change any more. */
    void (*arrived)(uint64_t have, void *user);
    /* The version is there. Returns whether its digest is right; false: gRPC sends it again. */
    bool (*received)(const struct session_message *announce, void *user);
    /* The broadcast broke off after `have` bytes. Instead of received, and only after buffer gave
     * memory. */
    void (*ended)(uint64_t have, void *user);
    void (*note)(const char *text, void *user);           // optional: a line for the log
    void (*entered)(enum member_state state, void *user); // optional
    void *user;
};

/* MEMBER_BROKEN while a version was coming: its memory is never given back, for NCCL may still
 * write to it. Only the end of the process helps then. UNAVAILABLE: no such device. EXHAUSTED: no
 * more threads. */
err_t attend_new(const struct attend_options *options, struct attend **ret);
void attend_up(struct attend *attend);
void attend_hear(struct attend *attend, const struct session_message *message);
void attend_lost(struct attend *attend);

/* False: as transport_free. */
bool attend_free(struct attend *attend);
