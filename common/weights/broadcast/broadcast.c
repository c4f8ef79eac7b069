#include "weights/broadcast/broadcast.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/message.h"
#include <stdlib.h>

enum { LENGTH_BYTES = 4 };

/* What was announced to a member, until it is known how much of it has come. */
struct parcel {
    struct parcel *next;
    uint64_t peer;
    struct snapshot *what;
    uint64_t list_bytes; // bytes of the list that went in its place; 0: none did
};

struct broadcast {
    struct broadcast_handlers handlers;
    void *user;
    struct weights_transport *transport;
    struct snapshot *offered; // while its announcements go out
    uint64_t list_bytes;      // of it, as a list; 0: it is none
    struct parcel *parcels;
    double offered_s;
    struct broadcast_stats stats;
};

static bool is_whole(const struct snapshot *what)
{
    return snapshot_manifest(what)->kind == WEIGHTS_FULL;
}

static uint64_t bytes_of(const struct snapshot *what)
{
    const struct manifest *manifest = snapshot_manifest(what);
    return is_whole(what) ? manifest->elements * sizeof(uint16_t)
                          : snapshot_delta(what)->bytes + manifest->chunks * LENGTH_BYTES;
}

/* Whole chunks among the first `have` bytes. */
static uint64_t chunks_in(const struct snapshot *what, uint64_t have)
{
    const struct manifest *manifest = snapshot_manifest(what);
    uint64_t chunks = 0;
    if (have > bytes_of(what)) // it cannot be: nothing of what it has is believed
        return 0;
    if (have == bytes_of(what))
        return manifest->chunks;
    if (is_whole(what))
        return have / (WEIGHTS_CHUNK * sizeof(uint16_t));
    for (uint64_t at = 0; chunks < manifest->chunks; chunks++) {
        at += LENGTH_BYTES + snapshot_delta(what)->chunk[chunks].len;
        if (at > have)
            break;
    }
    return chunks;
}

/* A part of a list is of no use: the stream begins anew. */
static uint64_t chunks_of(const struct parcel *parcel, uint64_t have)
{
    if (!parcel->list_bytes)
        return chunks_in(parcel->what, have);
    return have == parcel->list_bytes ? snapshot_manifest(parcel->what)->chunks : 0;
}

/* ---- members */

static void parcel_free(struct parcel *parcel)
{
    if (!parcel)
        return;
    snapshot_free(parcel->what);
    free(parcel);
}
DEFINE_SCOPED(parcel)

static struct parcel *take_parcel(struct broadcast *broadcast, uint64_t peer)
{
    for (struct parcel **at = &broadcast->parcels; *at; at = &(*at)->next)
        if ((*at)->peer == peer) {
            struct parcel *parcel = *at;
            *at = parcel->next;
            return parcel;
        }
    return NULL;
}

static void on_send(uint64_t peer, struct rpc_message *message, void *user)
{
    struct broadcast *broadcast = user;
    broadcast->handlers.send(peer, message, broadcast->user);
}

static void on_announce(uint64_t peer, void *user)
{
    struct broadcast *broadcast = user;
    parcel_free(take_parcel(broadcast, peer)); // none: it was released before the next
    struct parcel *parcel = mem_new(sizeof *parcel);
    *parcel = (struct parcel){broadcast->parcels, peer, snapshot_ref(broadcast->offered),
                              broadcast->list_bytes};
    broadcast->parcels = parcel;
    broadcast->handlers.begin(peer, parcel->what, broadcast->user);
}

static void on_released(uint64_t peer, uint64_t have, void *user)
{
    struct broadcast *broadcast = user;
    SCOPED(parcel) parcel = take_parcel(broadcast, peer);
    if (!parcel)
        return;
    const uint64_t chunks = chunks_of(parcel, have);
    const bool all = chunks == snapshot_manifest(parcel->what)->chunks;
    broadcast->stats.arrived += all;
    broadcast->stats.fallbacks += !all;
    broadcast->stats.last_ms = (clock_s() - broadcast->offered_s) * 1000;
    broadcast->handlers.rest(peer, parcel->what, chunks, broadcast->user);
}

static void on_note(const char *text, void *user)
{
    struct broadcast *broadcast = user;
    if (broadcast->handlers.note)
        broadcast->handlers.note(text, broadcast->user);
}

err_t broadcast_new(const struct transport_options *transport,
                    const struct broadcast_handlers *handlers, void *user, struct broadcast **ret)
{
    struct broadcast *broadcast = mem_new(sizeof *broadcast);
    struct transport_options options = *transport;
    broadcast->handlers = *handlers;
    broadcast->user = user;
    options.send = on_send;
    options.announce = on_announce;
    options.released = on_released;
    options.note = on_note;
    options.user = broadcast;
    err_t e = transport_new(&options, &broadcast->transport);
    if (err_failed(e)) {
        free(broadcast);
        return e;
    }
    *ret = broadcast;
    return OK;
}

void broadcast_hear(struct broadcast *broadcast, uint64_t peer,
                    const struct session_message *message)
{
    transport_hear(broadcast->transport, peer, message);
}

void broadcast_leave(struct broadcast *broadcast, uint64_t peer)
{
    transport_leave(broadcast->transport, peer);
    parcel_free(take_parcel(broadcast, peer));
}

/* ---- offers */

void broadcast_count(const struct broadcast *broadcast, struct broadcast_round *round,
                     const struct broadcast_peer *peer)
{
    if (!transport_reaches(broadcast->transport, peer->id))
        return;
    if (!round->members++)
        round->way = peer->way;
    round->differ |= peer->way != round->way;
    round->satisfied |= !peer->wants;
    round->with_way += peer->way != NULL;
    round->readers += peer->lists >= SESSION_LISTS_READ;
    round->devices += peer->lists >= SESSION_LISTS_DEVICE;
    round->grpc_bytes += peer->wants && peer->way ? bytes_of(peer->way) : 0;
}

/* What all members can use, at no more bytes than gRPC would take; NULL: nothing. */
static struct snapshot *choose(const struct broadcast_round *round, struct snapshot *newest)
{
    if (!round->members || round->satisfied)
        return NULL;
    if (!round->differ && round->way)
        return snapshot_manifest(round->way)->version == snapshot_manifest(newest)->version
                   ? round->way
                   : NULL;
    const uint64_t whole = bytes_of(newest), without_way = round->members - round->with_way;
    return without_way * whole + round->grpc_bytes >= whole ? newest : NULL;
}

static void release_values(void *arg)
{
    rpc_message_free(arg);
}

static void release_packed(void *arg)
{
    bytes_done(arg);
    free(arg);
}

static struct bytes *pack(const struct snapshot *what)
{
    struct bytes *packed = mem_new(sizeof *packed);
    const struct delta *delta = snapshot_delta(what);
    for (size_t i = 0; i < delta->chunks; i++) {
        bytes_be32(packed, (uint32_t)delta->chunk[i].len);
        bytes_put(packed, delta->chunk[i].data, delta->chunk[i].len);
    }
    return packed;
}

static bool offer_cargo(struct broadcast *broadcast, const struct snapshot *what,
                        struct transport_cargo cargo)
{
    cargo.lineage = snapshot_manifest(what)->lineage;
    cargo.version = snapshot_manifest(what)->version;
    const bool taken = transport_offer(broadcast->transport, &cargo);
    if (!taken)
        cargo.release(cargo.arg);
    return taken;
}

static bool offer_whole(struct broadcast *broadcast, const struct snapshot *what)
{
    return offer_cargo(broadcast, what,
                       (struct transport_cargo){.data = (const uint8_t *)snapshot_values(what),
                                                .len = bytes_of(what),
                                                .release = release_values,
                                                .arg = snapshot_values_owner(what)});
}

static bool offer_chunks(struct broadcast *broadcast, const struct snapshot *what)
{
    struct bytes *packed = pack(what);
    return offer_cargo(
        broadcast, what,
        (struct transport_cargo){
            .data = packed->data, .len = packed->len, .release = release_packed, .arg = packed});
}

static void release_list(void *arg)
{
    listed_free(arg);
}

static bool offer_list(struct broadcast *broadcast, const struct snapshot *what,
                       struct listed *listed)
{
    const bool taken = offer_cargo(broadcast, what,
                                   (struct transport_cargo){.data = listed->data,
                                                            .device = listed->device,
                                                            .len = listed->bytes,
                                                            .list = true,
                                                            .release = release_list,
                                                            .arg = listed_ref(listed)});
    broadcast->stats.as_lists += taken;
    broadcast->stats.on_device += taken && listed->device;
    return taken;
}

/* A list has the changes since the version before; a jump has those of several. */
static bool goes_as_list(const struct broadcast_round *round, const struct snapshot *what,
                         const struct listed *listed)
{
    const struct manifest *manifest = snapshot_manifest(what);
    return listed && manifest->kind == WEIGHTS_DELTA && manifest->base == listed->base &&
           manifest->chunks && round->readers == round->members && round->devices;
}

bool broadcast_offer(struct broadcast *broadcast, const struct broadcast_round *round,
                     struct snapshot *newest, struct listed *listed)
{
    struct snapshot *what = choose(round, newest);
    bool taken = false;
    if (what) {
        const bool lists = goes_as_list(round, what, listed);
        broadcast->offered = what;
        broadcast->list_bytes = lists ? listed->bytes : 0;
        broadcast->offered_s = clock_s();
        taken = lists            ? offer_list(broadcast, what, listed)
                : is_whole(what) ? offer_whole(broadcast, what)
                                 : offer_chunks(broadcast, what);
        broadcast->offered = NULL;
    }
    broadcast->stats.offered += taken;
    broadcast->stats.as_changes += taken && !is_whole(what);
    broadcast->stats.over_grpc += !taken && round->members;
    return taken;
}

struct broadcast_stats broadcast_stats(const struct broadcast *broadcast)
{
    struct broadcast_stats stats = broadcast->stats;
    stats.transport = transport_stats(broadcast->transport);
    return stats;
}

void broadcast_free(struct broadcast *broadcast)
{
    if (!broadcast)
        return;
    (void)transport_free(broadcast->transport); // false: nccl_is_stuck
    while (broadcast->parcels)
        parcel_free(take_parcel(broadcast, broadcast->parcels->peer));
    free(broadcast);
}
