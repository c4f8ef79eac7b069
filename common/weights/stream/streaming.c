#include "weights/stream/streaming.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/call.h"
#include "weights/codec/history.h"

enum { STALLED_S = 5 };

/* ---- a publisher's side */

static bool is_full(const struct snapshot *snapshot)
{
    return snapshot_manifest(snapshot)->kind == WEIGHTS_FULL;
}

/* A peer that has stopped reading takes no other's place. */
int streaming_count_full(const struct sending *sending)
{
    const double now = clock_s();
    int count = 0;
    for (const struct peer *peer = sending->peers; peer; peer = peer->next)
        count += peer->going && is_full(peer->going) && now - peer->progress_s < STALLED_S;
    return count;
}

/* True: it is this peer's turn to be sent all values. */
static bool admit(struct peer *peer)
{
    struct sending *sending = peer->sending;
    struct publisher_stats *stats = &sending->stats;
    const int now = streaming_count_full(sending);
    bool first = true;
    for (const struct peer *other = sending->peers; other; other = other->next)
        if (other != peer && other->waiting && (!peer->waiting || other->waiting < peer->waiting))
            first = false;
    if (now >= sending->full_at_once || !first) {
        peer->waiting = peer->waiting ? peer->waiting : ++sending->turns;
        return false;
    }
    peer->waiting = 0;
    if (now + 1 > stats->full_most)
        stats->full_most = now + 1;
    return true;
}

/* The number of the snapshot's chunks that the peer has already. */
static uint64_t resume_at(struct peer *peer, const struct snapshot *snapshot)
{
    const struct manifest *manifest = snapshot_manifest(snapshot);
    if (!peer->has_partial)
        return 0;
    peer->has_partial = false;
    if (!manifest_same(&peer->partial, manifest) || peer->partial_chunks >= manifest->chunks)
        return 0;
    peer->sending->stats.resumed += peer->partial_chunks > 0;
    return peer->partial_chunks;
}

/* The snapshot that brings a peer to the newest version without all values, with one more owner.
 * NULL: there is none. */
static struct snapshot *find_way(const struct peer *peer)
{
    struct sending *sending = peer->sending;
    const struct manifest *newest = snapshot_manifest(sending->newest);
    if (!peer->has)
        return peer->has_digest && digest_equal(&peer->digest, &newest->digest)
                   ? snapshot_same(newest)
                   : NULL;
    struct snapshot *way = history_way(sending->history, peer->has_lineage, peer->has_version);
    return way ? snapshot_ref(way) : NULL;
}

/* Chooses what goes to a peer next; false: it has the newest, is getting it, or waits for its
 * turn. */
static bool begin(struct peer *peer)
{
    struct sending *sending = peer->sending;
    if (!sending->newest || !peer_is_here(peer) || peer_has_newest(peer))
        return false;
    struct snapshot *way = find_way(peer);
    if (!way && !admit(peer))
        return false;
    peer->waiting = 0;
    peer->going = way ? way : snapshot_ref(sending->newest);
    snapshot_hold(peer->going);
    peer->first_chunk = resume_at(peer, peer->going);
    peer->next_message = 0;
    peer->progress_s = clock_s();
    return true;
}

/* The next message, and the index of the one after. A version that goes on has a manifest that says
 * where. */
static struct rpc_message *next_message(const struct peer *peer, size_t *ret_after)
{
    *ret_after = peer->next_message + 1;
    if (peer->next_message == 0 && peer->first_chunk) {
        struct manifest manifest = *snapshot_manifest(peer->going);
        manifest.first_chunk = peer->first_chunk;
        *ret_after = 1 + peer->first_chunk;
        return manifest_message(&manifest);
    }
    return rpc_message_ref(snapshot_message(peer->going, peer->next_message, peer->compressed));
}

/* Fills the peer's queue up to its limit; its writable handler goes on. */
static void pump(struct peer *peer)
{
    struct publisher_stats *stats = &peer->sending->stats;
    while (!peer->carried_by && (peer->going || begin(peer)) && !rpc_call_full(peer->call)) {
        size_t after;
        SCOPED(rpc_message) message = next_message(peer, &after);
        if (!rpc_call_send_message(peer->call, message))
            return; // it is over: close comes
        stats->bytes += rpc_message_len(message);
        const size_t queued = rpc_call_queued(peer->call);
        if (queued > stats->queued_max_bytes)
            stats->queued_max_bytes = queued;
        peer->progress_s = clock_s();
        peer->next_message = after;
        if (peer->next_message == snapshot_messages(peer->going))
            peer_has_got(peer);
    }
}

/* Peers that wait for all values get them in turn, as far as there is room. */
static void pump_waiting(struct sending *sending)
{
    for (;;) {
        struct peer *first = NULL;
        for (struct peer *peer = sending->peers; peer; peer = peer->next)
            if (peer->waiting && (!first || peer->waiting < first->waiting))
                first = peer;
        if (!first)
            return;
        pump(first);
        if (first->waiting)
            return;
    }
}

static err_t open_send(struct sending *sending, void *means, void **ret)
{
    (void)means;
    *ret = sending;
    return OK;
}

static void serve(void *state, struct peer *peer)
{
    pump(peer);
    pump_waiting(state);
}

static void offer(void *state)
{
    struct sending *sending = state;
    for (struct peer *peer = sending->peers; peer; peer = peer->next)
        pump(peer);
    pump_waiting(sending);
}

/* The version on its way is given up. The peers that wait behind it get its place. */
static void leave(void *state, struct peer *peer)
{
    peer->waiting = 0;
    snapshot_free(STEAL(peer->going));
    pump_waiting(state);
}

void streaming_send_rest(struct peer *peer, struct snapshot *what, uint64_t chunks)
{
    if (chunks) { // a peer without any may as well get a newer version
        peer->going = snapshot_ref(what);
        peer->first_chunk = 0;
        peer->next_message = 1 + chunks;
        peer->progress_s = clock_s();
    }
    if (chunks == snapshot_manifest(what)->chunks)
        peer_has_got(peer);
    serve(peer->sending, peer);
}

/* ---- a subscriber's side */

static err_t open_receive(const struct receiving *receiving, void *means, void **ret)
{
    (void)means;
    *ret = receiving->receiver;
    return OK;
}

/* A message that no other carrier has taken is a manifest, a chunk, or malformed. */
static err_t hear(void *state, struct rpc_message *message, bool *ret_taken)
{
    struct receiver *receiver = state;
    struct weights_event event;
    *ret_taken = true;
    TRY(weights_decode(message, &event));
    if (receiver_lent_to(receiver))
        return err_new(ERR_INVALID, "weights: a message of a version while %s brings one",
                       receiver_lent_to(receiver));
    return event.kind == WEIGHTS_MANIFEST ? receiver_manifest(receiver, &event.manifest)
                                          : receiver_chunk(receiver, message, &event);
}

static const struct carrier_send stream_send = {
    .open = open_send, .offer = offer, .serve = serve, .leave = leave};
static const struct carrier_receive stream_receive = {.open = open_receive, .hear = hear};
const struct carrier carrier_stream = {
    .name = "grpc", .send = &stream_send, .receive = &stream_receive};
