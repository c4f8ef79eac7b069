#include "base/clock.h"
#include "rpc/call.h"
#include "weights/broadcast/broadcast.h"
#include "weights/codec/history.h"
#include "weights/stream/publisher_inside.h"

static struct peer *find(const struct publisher *publisher, uint64_t id)
{
    for (struct peer *peer = publisher->peers; peer; peer = peer->next)
        if (peer->id == id && !peer->dismissed)
            return peer;
    return NULL;
}

static void send_by_id(uint64_t id, struct rpc_message *message, void *user)
{
    struct peer *peer = find(user, id);
    if (peer)
        rpc_call_send_message(peer->call, message);
}

/* What was being sent to it is left in the middle: this is newer. */
static void begin_carried(uint64_t id, const struct snapshot *what, void *user)
{
    struct peer *peer = find(user, id);
    if (!peer)
        return;
    snapshot_free(STEAL(peer->sending));
    peer->waiting = 0;
    peer->has_partial = false;
    SCOPED(rpc_message) message = manifest_message(snapshot_manifest(what));
    rpc_call_send_message(peer->call, message);
}

static void go_on(uint64_t id, struct snapshot *what, uint64_t chunks, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = find(publisher, id);
    if (!peer)
        return;
    const bool all = chunks == snapshot_manifest(what)->chunks;
    if (chunks) { // of nothing a newer one may follow as well
        peer->sending = snapshot_ref(what);
        peer->first_chunk = 0;
        peer->next_message = 1 + chunks;
        peer->progress_s = clock_s();
    }
    if (all)
        publisher_end(peer);
    publisher_pump(peer);
    publisher_pump_waiting(publisher);
}

static void note(const char *text, void *user)
{
    const struct publisher *publisher = user;
    if (publisher->options.note)
        publisher->options.note(text, publisher->options.user);
}

static const struct broadcast_handlers by_nccl = {send_by_id, begin_carried, go_on, note};

/* The newest version to the members of an epoch, if there is one. */
void publisher_offer(struct publisher *publisher)
{
    struct broadcast_round round = {0};
    for (struct peer *peer = publisher->peers; peer; peer = peer->next) {
        if (!peer->generator || peer->dismissed)
            continue;
        const bool wants =
            !publisher_has_newest(publisher, peer->holds, peer->lineage, peer->version) &&
            !publisher_has_newest(publisher, peer->has, peer->has_lineage, peer->has_version);
        broadcast_count(publisher->broadcast, &round, peer->id, wants,
                        peer->has && wants
                            ? history_way(publisher->history, peer->has_lineage, peer->has_version)
                            : NULL);
    }
    broadcast_offer(publisher->broadcast, &round, publisher->newest);
}

static void refuse(struct peer *peer)
{
    SCOPED(rpc_message)
    message = epoch_message_down(&(struct epoch_message){
        .step = EPOCH_STEP_REFUSED, .why = "the learner has no NCCL; versions go over gRPC"});
    rpc_call_send_message(peer->call, message);
}

err_t publisher_hear_epoch(struct peer *peer, struct rpc_message *message, bool *ret_is_epoch)
{
    struct epoch_message epoch;
    err_t e = epoch_message_decode_up(rpc_message_data(message), rpc_message_len(message), &epoch);
    *ret_is_epoch = err_code(e) != ERR_NOT_FOUND;
    if (!*ret_is_epoch) {
        err_free(e);
        return OK;
    }
    TRY(e);
    if (!peer->generator)
        return err_new(ERR_INVALID, "weights: a message about NCCL before a name");
    if (peer->publisher->broadcast)
        broadcast_hear(peer->publisher->broadcast, peer->id, &epoch);
    else if (epoch.step == EPOCH_STEP_HELLO)
        refuse(peer);
    return OK;
}

void publisher_leave_epoch(struct peer *peer)
{
    if (peer->publisher->broadcast)
        broadcast_leave(peer->publisher->broadcast, peer->id);
}

bool publisher_is_carried(const struct peer *peer)
{
    const struct broadcast *broadcast = peer->publisher->broadcast;
    return broadcast && broadcast_carries(broadcast, peer->id);
}

err_t publisher_open_broadcast(struct publisher *publisher)
{
    return broadcast_new(publisher->options.nccl, &by_nccl, publisher, &publisher->broadcast);
}

void publisher_close_broadcast(struct publisher *publisher)
{
    broadcast_free(publisher->broadcast);
}

const struct broadcast *publisher_broadcast(const struct publisher *publisher)
{
    return publisher->broadcast;
}
