#include "weights/broadcast/carry.h"
#include "base/mem.h"
#include "rpc/call.h"
#include "rpc/message.h"
#include "weights/broadcast/nccl_carrier.h"
#include "weights/codec/history.h"
#include "weights/stream/streaming.h"
#include <stdlib.h>

struct carry {
    struct sending *sending;
    struct broadcast *broadcast; // NULL: no NCCL here
};

static void send_by_id(uint64_t id, struct rpc_message *message, void *user)
{
    const struct carry *carry = user;
    const struct peer *peer = sending_find(carry->sending, id);
    if (peer)
        rpc_call_send_message(peer->call, message);
}

/* The version that was being sent to the peer is older, and is left in the middle. */
static void begin_carried(uint64_t id, const struct snapshot *what, void *user)
{
    const struct carry *carry = user;
    struct peer *peer = sending_find(carry->sending, id);
    if (!peer)
        return;
    snapshot_free(STEAL(peer->going));
    peer->waiting = 0;
    peer->has_partial = false;
    peer->carried_by = "NCCL";
    SCOPED(rpc_message) message = manifest_message(snapshot_manifest(what));
    rpc_call_send_message(peer->call, message);
}

static void go_on(uint64_t id, struct snapshot *what, uint64_t chunks, void *user)
{
    const struct carry *carry = user;
    struct peer *peer = sending_find(carry->sending, id);
    if (!peer)
        return;
    peer->carried_by = NULL;
    streaming_send_rest(peer, what, chunks);
}

static void note(const char *text, void *user)
{
    const struct carry *carry = user;
    if (carry->sending->note)
        carry->sending->note(text, carry->sending->user);
}

static const struct broadcast_handlers by_nccl = {send_by_id, begin_carried, go_on, note};

/* ---- the carrier's calls */

/* Without NCCL here there is a state all the same: a subscriber that has NCCL is answered. */
static err_t open_carry(struct sending *sending, void *means, void **ret)
{
    const struct nccl_means *nccl = means;
    struct carry *carry = mem_new(sizeof *carry);
    err_t e = OK;
    carry->sending = sending;
    if (nccl) {
        const struct transport_options options = {.loop = nccl->loop,
                                                  .nccl = nccl->nccl,
                                                  .device = nccl->device,
                                                  .bucket_bytes = nccl->bucket_bytes,
                                                  .limits = nccl->limits};
        e = broadcast_new(&options, &by_nccl, carry, &carry->broadcast);
    }
    if (err_failed(e))
        free(carry);
    else
        *ret = carry;
    return e;
}

/* The newest version to the members of a session, if there is one. */
static void offer(void *state)
{
    const struct carry *carry = state;
    const struct sending *sending = carry->sending;
    struct broadcast_round round = {0};
    if (!carry->broadcast)
        return;
    for (const struct peer *peer = sending->peers; peer; peer = peer->next) {
        if (!peer_is_here(peer))
            continue;
        const bool wants = !peer_has_newest(peer);
        struct snapshot *way =
            peer->has && wants ? history_way(sending->history, peer->has_lineage, peer->has_version)
                               : NULL;
        const struct broadcast_peer counted = {peer->id, wants, way, peer->lists};
        broadcast_count(carry->broadcast, &round, &counted);
    }
    broadcast_offer(carry->broadcast, &round, sending->newest, sending->listed);
}

static void refuse(const struct peer *peer)
{
    SCOPED(rpc_message)
    message = session_message_down(&(struct session_message){
        .step = SESSION_STEP_REFUSED, .why = "the learner has no NCCL; versions go over gRPC"});
    rpc_call_send_message(peer->call, message);
}

static err_t hear(void *state, struct peer *peer, struct rpc_message *message, bool *ret_taken)
{
    const struct carry *carry = state;
    struct session_message session;
    err_t e =
        session_message_decode_up(rpc_message_data(message), rpc_message_len(message), &session);
    *ret_taken = err_code(e) != ERR_NOT_FOUND;
    if (!*ret_taken) {
        err_free(e);
        return OK;
    }
    TRY(e);
    if (!peer->generator)
        return err_new(ERR_INVALID, "weights: a message about NCCL before a name");
    if (session.step == SESSION_STEP_HELLO)
        peer->lists = session.lists;
    if (carry->broadcast)
        broadcast_hear(carry->broadcast, peer->id, &session);
    else if (session.step == SESSION_STEP_HELLO)
        refuse(peer);
    return OK;
}

static void leave(void *state, struct peer *peer)
{
    const struct carry *carry = state;
    if (carry->broadcast)
        broadcast_leave(carry->broadcast, peer->id);
}

static void close_carry(void *state)
{
    struct carry *carry = state;
    broadcast_free(carry->broadcast);
    free(carry);
}

struct broadcast_stats carry_stats(const struct carry *carry)
{
    return carry->broadcast ? broadcast_stats(carry->broadcast) : (struct broadcast_stats){0};
}

const struct carrier_send nccl_send = {
    .open = open_carry, .hear = hear, .offer = offer, .leave = leave, .close = close_carry};
