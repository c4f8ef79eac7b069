#include "weights/stream/publisher.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/call.h"
#include "svc/security.h"
#include "weights/codec/history.h"
#include "weights/stream/publisher_inside.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FULL_AT_ONCE = 2, STALLED_S = 5, DELTAS_KEPT = 64 };

err_t publisher_new(const struct publisher_options *options, struct publisher **ret)
{
    if (!options->run || !options->run[0] || options->layout->elements == 0)
        return err_new(ERR_INVALID, "publisher: a run's name and a model's size are needed");
    SCOPED(publisher) publisher = mem_new(sizeof *publisher);
    publisher->options = *options;
    publisher->run = mem_string(options->run);
    publisher->options.run = publisher->run;
    publisher->layout = layout_digest(options->layout);
    if (!options->full_at_once)
        publisher->options.full_at_once = FULL_AT_ONCE;
    /* Half of the dense array's bytes: beyond that all values are not much more, and take no
     * base. */
    const struct history_limits limits = {DELTAS_KEPT, options->layout->elements,
                                          options->anchor_every};
    publisher->history = history_new(options->layout, &limits);
    if (options->nccl)
        TRY(publisher_open_broadcast(publisher));
    publisher->options.nccl = NULL; // borrowed until now
    *ret = STEAL(publisher);
    return OK;
}

/* Versions above the newest, up to the one that was the newest before it: upstream has lost
 * them. */
static bool is_lost(const struct publisher *publisher, uint32_t lineage, uint64_t version)
{
    return lineage == publisher->lost_lineage && version <= publisher->lost_up_to;
}

bool publisher_has_newest(const struct publisher *publisher, bool any, uint32_t lineage,
                          uint64_t version)
{
    const struct manifest *newest = snapshot_manifest(publisher->newest);
    if (!any || lineage != newest->lineage || version < newest->version)
        return false;
    return version == newest->version ||
           (publisher->options.relay && !is_lost(publisher, lineage, version));
}

/* What a peer has under the newest version's number may be other weights: a learner that went back
 * to a copy of its run has made the number twice. Then it has nothing. */
static void compare(struct peer *peer)
{
    const struct snapshot *snapshot = peer->publisher->newest;
    if (!snapshot || !peer->has || !peer->has_digest)
        return;
    const struct manifest *newest = snapshot_manifest(snapshot);
    if (peer->has_lineage == newest->lineage && peer->has_version == newest->version &&
        !digest_equal(&peer->digest, &newest->digest))
        peer->has = peer->holds = peer->has_digest = false;
}

/* ---- sending */

static bool is_full(const struct snapshot *snapshot)
{
    return snapshot_manifest(snapshot)->kind == WEIGHTS_FULL;
}

/* Who has stopped reading takes nobody's place. */
static int count_full(const struct publisher *publisher)
{
    const double now = clock_s();
    int count = 0;
    for (const struct peer *peer = publisher->peers; peer; peer = peer->next)
        count += peer->sending && is_full(peer->sending) && now - peer->progress_s < STALLED_S;
    return count;
}

/* True: it is this peer's turn to be sent all values. */
static bool admit(struct peer *peer)
{
    struct publisher *publisher = peer->publisher;
    struct publisher_stats *stats = &publisher->stats;
    const int now = count_full(publisher);
    bool first = true;
    for (const struct peer *other = publisher->peers; other; other = other->next)
        if (other != peer && other->waiting && (!peer->waiting || other->waiting < peer->waiting))
            first = false;
    if (now >= publisher->options.full_at_once || !first) {
        peer->waiting = peer->waiting ? peer->waiting : ++publisher->turns;
        return false;
    }
    peer->waiting = 0;
    if (now + 1 > stats->full_most)
        stats->full_most = now + 1;
    return true;
}

/* How many chunks of it are there already. */
static uint64_t resume_at(struct peer *peer, const struct snapshot *snapshot)
{
    const struct manifest *manifest = snapshot_manifest(snapshot);
    if (!peer->has_partial)
        return 0;
    peer->has_partial = false;
    if (!manifest_same(&peer->partial, manifest) || peer->partial_chunks >= manifest->chunks)
        return 0;
    peer->publisher->stats.resumed += peer->partial_chunks > 0;
    return peer->partial_chunks;
}

/* What brings it to the newest version without all values, one more owner of it; NULL: nothing
 * does. */
static struct snapshot *find_way(const struct peer *peer)
{
    struct publisher *publisher = peer->publisher;
    const struct manifest *newest = snapshot_manifest(publisher->newest);
    if (!peer->has)
        return peer->has_digest && digest_equal(&peer->digest, &newest->digest)
                   ? snapshot_same(newest)
                   : NULL;
    struct snapshot *way = history_way(publisher->history, peer->has_lineage, peer->has_version);
    return way ? snapshot_ref(way) : NULL;
}

/* Chooses what goes to a peer next; false: it has the newest, is getting it, or waits for its
 * turn. */
static bool begin(struct peer *peer)
{
    struct publisher *publisher = peer->publisher;
    if (!publisher->newest || !peer->generator || peer->dismissed ||
        publisher_has_newest(publisher, peer->holds, peer->lineage, peer->version) ||
        publisher_has_newest(publisher, peer->has, peer->has_lineage, peer->has_version))
        return false;
    struct snapshot *way = find_way(peer);
    if (!way && !admit(peer))
        return false;
    peer->waiting = 0;
    peer->sending = way ? way : snapshot_ref(publisher->newest);
    snapshot_hold(peer->sending);
    peer->first_chunk = resume_at(peer, peer->sending);
    peer->next_message = 0;
    peer->progress_s = clock_s();
    return true;
}

void publisher_end(struct peer *peer)
{
    const struct manifest *manifest = snapshot_manifest(peer->sending);
    struct publisher_stats *stats = &peer->publisher->stats;
    peer->has = true;
    peer->has_digest = false; // it is ours
    peer->has_lineage = manifest->lineage;
    peer->has_version = manifest->version;
    stats->sent++;
    stats->full += manifest->kind == WEIGHTS_FULL;
    stats->deltas += manifest->kind == WEIGHTS_DELTA;
    stats->jumps += manifest->kind == WEIGHTS_JUMP;
    stats->same += manifest->kind == WEIGHTS_SAME;
    snapshot_free(STEAL(peer->sending));
}

/* The next message, and how far it brings us. The manifest of what goes on says where. */
static struct rpc_message *next_message(const struct peer *peer, size_t *ret_after)
{
    *ret_after = peer->next_message + 1;
    if (peer->next_message == 0 && peer->first_chunk) {
        struct manifest manifest = *snapshot_manifest(peer->sending);
        manifest.first_chunk = peer->first_chunk;
        *ret_after = 1 + peer->first_chunk;
        return manifest_message(&manifest);
    }
    return rpc_message_ref(snapshot_message(peer->sending, peer->next_message, peer->compressed));
}

/* Fills the peer's queue up to its limit; its writable handler goes on. */
void publisher_pump(struct peer *peer)
{
    struct publisher_stats *stats = &peer->publisher->stats;
    while (!publisher_is_carried(peer) && (peer->sending || begin(peer)) &&
           !rpc_call_full(peer->call)) {
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
        if (peer->next_message == snapshot_messages(peer->sending))
            publisher_end(peer);
    }
}

/* Who waits for all values, in turn, as far as there is room. */
void publisher_pump_waiting(struct publisher *publisher)
{
    for (;;) {
        struct peer *first = NULL;
        for (struct peer *peer = publisher->peers; peer; peer = peer->next)
            if (peer->waiting && (!first || peer->waiting < first->waiting))
                first = peer;
        if (!first)
            return;
        publisher_pump(first);
        if (first->waiting)
            return;
    }
}

/* ---- what is applied where */

static bool is_here(const struct peer *peer)
{
    return peer->generator && !peer->dismissed;
}

static void check_settled(struct publisher *publisher)
{
    bool anybody = false;
    if (!publisher->newest || publisher->settled)
        return;
    for (const struct peer *peer = publisher->peers; peer; peer = peer->next) {
        if (!is_here(peer))
            continue;
        if (!publisher_has_newest(publisher, peer->holds, peer->lineage, peer->version))
            return;
        anybody = true;
    }
    if (!anybody)
        return;
    publisher->settled = true;
    if (publisher->options.settled)
        publisher->options.settled(snapshot_manifest(publisher->newest),
                                   (clock_s() - publisher->published_s) * 1000,
                                   publisher->options.user);
}

static err_t check_hello(const struct publisher *publisher, const struct subscription *hello)
{
    char ours[DIGEST_TEXT], theirs[DIGEST_TEXT];
    if (!hello->run)
        return err_new(ERR_INVALID, "weights: the first message names no run and generator");
    if (strcmp(hello->run, publisher->run) != 0)
        return err_new(ERR_PRECONDITION,
                       "weights: generator '%s' is of run '%s'; this learner's is "
                       "'%s'",
                       hello->generator, hello->run, publisher->run);
    if (!digest_equal(&hello->layout, &publisher->layout))
        return err_new(ERR_PRECONDITION,
                       "weights: generator '%s' has a model of layout %s, this "
                       "learner one of %s: names, shapes or order of the parameters differ",
                       hello->generator, digest_text(&hello->layout, theirs),
                       digest_text(&publisher->layout, ours));
    return OK;
}

void publisher_dismiss(struct peer *peer, err_t why)
{
    peer->dismissed = true;
    peer->waiting = 0;
    snapshot_free(STEAL(peer->sending));
    publisher_leave_epoch(peer);
    rpc_call_pause(peer->call);
    rpc_call_finish(peer->call, why);
}

/* A process is here once, by the stream that came last; others of its name are others. */
static void replace(struct publisher *publisher, const struct peer *with)
{
    for (struct peer *peer = publisher->peers; peer; peer = peer->next)
        if (peer != with && is_here(peer) && peer->incarnation == with->incarnation &&
            strcmp(peer->generator, with->generator) == 0)
            publisher_dismiss(
                peer, err_new(ERR_ABORTED, "weights: generator '%s' came again", with->generator));
}

static err_t hear(struct peer *peer, const struct rpc_message *message, const uint8_t *data)
{
    SCOPED_VALUE(subscription) subscription = {0};
    TRY(subscription_decode(data, rpc_message_len(message), &subscription));
    if (!peer->generator) {
        TRY(check_hello(peer->publisher, &subscription));
        peer->generator = STEAL(subscription.generator);
        peer->incarnation = subscription.incarnation;
        peer->has = subscription.has;
        peer->has_lineage = subscription.has_lineage;
        peer->has_version = subscription.has_version;
        peer->has_partial = subscription.has_partial;
        peer->partial = subscription.partial;
        peer->partial_chunks = subscription.partial_chunks;
        peer->has_digest = subscription.has_digest;
        peer->digest = subscription.digest;
        peer->serves = STEAL(subscription.serves);
        replace(peer->publisher, peer);
        if (publisher_place(peer, &subscription))
            return OK;
    }
    peer->holds = subscription.holds;
    peer->lineage = subscription.lineage;
    peer->version = subscription.version;
    compare(peer);
    return OK;
}

/* ---- handlers */

static bool is_compressed(const struct publisher *publisher, struct rpc_call *call)
{
    static const char *const near[] = {"ipv4:127.", "ipv6:[::1]", "ipv6:%5B::1%5D", "unix:"};
    if (publisher->options.compress != PUBLISHER_AUTO)
        return publisher->options.compress == PUBLISHER_ZSTD;
    SCOPED_MEM char *address = rpc_call_peer(call);
    for (size_t i = 0; i < sizeof near / sizeof *near; i++)
        if (strncmp(address, near[i], strlen(near[i])) == 0)
            return false;
    return true;
}

static void on_open(struct rpc_call *call, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = mem_new(sizeof *peer);
    peer->publisher = publisher;
    peer->id = ++publisher->ids;
    peer->call = call;
    peer->compressed = is_compressed(publisher, call);
    peer->next = publisher->peers;
    publisher->peers = peer;
    rpc_call_set_context(call, peer);
}

static void on_message(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = rpc_call_context(call);
    if (peer->dismissed || rpc_call_is_over(call))
        return;
    bool is_epoch = false;
    err_t e = publisher_hear_epoch(peer, message, &is_epoch);
    if (!is_epoch)
        e = hear(peer, message, rpc_message_data(message));
    else if (!err_failed(e))
        return;
    if (err_failed(e)) {
        publisher->stats.refused++;
        publisher_dismiss(peer, e);
        return;
    }
    publisher_pump(peer);
    publisher_pump_waiting(publisher);
    if (peer->holds && !peer->dismissed && publisher->options.applied)
        publisher->options.applied(peer->generator, peer->lineage, peer->version,
                                   publisher->options.user);
    check_settled(publisher);
}

static void on_writable(struct rpc_call *call, void *user)
{
    publisher_pump(rpc_call_context(call));
    publisher_pump_waiting(user);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = rpc_call_context(call);
    err_free(why); // the subscriber reports it and comes back
    for (struct peer **at = &publisher->peers; *at; at = &(*at)->next)
        if (*at == peer) {
            *at = peer->next;
            break;
        }
    publisher_leave_epoch(peer);
    snapshot_free(peer->sending);
    free(peer->generator);
    free(peer->serves);
    free(peer);
    publisher_pump_waiting(publisher);
    check_settled(publisher);
}

#define HANDLERS                                                                                   \
    {                                                                                              \
        .open = on_open, .message = on_message, .writable = on_writable, .close = on_close         \
    }
static const struct rpc_method methods[] = {
    {"/rlhfd.v1.Weights/Subscribe", NULL, NULL, RPC_BIDI, CALLER_GENERATOR, HANDLERS, RPC_HELLO},
    {0},
};
static const struct rpc_method evaluated_methods[] = {
    {"/rlhfd.v1.Weights/SubscribeEvaluated", NULL, NULL, RPC_BIDI, CALLER_GENERATOR, HANDLERS,
     RPC_HELLO},
    {0},
};

struct rpc_service publisher_service(struct publisher *publisher)
{
    return (struct rpc_service){publisher->options.evaluated ? evaluated_methods : methods,
                                publisher};
}

/* ---- the learner's calls */

/* A relay's own source went back. */
static void note_lost(struct publisher *publisher, const struct manifest *next)
{
    const struct manifest *newest = publisher_newest(publisher);
    if (!newest || newest->lineage != next->lineage || newest->version <= next->version)
        return;
    publisher->lost_lineage = newest->lineage;
    publisher->lost_up_to = newest->version;
}

void publisher_publish(struct publisher *publisher, struct snapshot *snapshot, struct delta *delta)
{
    const struct manifest *manifest = snapshot_manifest(snapshot);
    assert(manifest->kind == WEIGHTS_FULL);
    assert(manifest->elements == publisher->options.layout->elements);
    const bool given = delta != NULL;
    if (!history_put(publisher->history, manifest, delta))
        publisher->stats.unusable += given;
    note_lost(publisher, manifest);
    snapshot_free(publisher->newest);
    publisher->newest = snapshot;
    for (struct peer *peer = publisher->peers; peer; peer = peer->next)
        compare(peer);
    publisher->published_s = clock_s();
    publisher->settled = false;
    publisher->stats.published++;
    if (publisher->broadcast)
        publisher_offer(publisher);
    for (struct peer *peer = publisher->peers; peer; peer = peer->next)
        publisher_pump(peer);
    publisher_pump_waiting(publisher);
    check_settled(publisher);
}

const struct manifest *publisher_newest(const struct publisher *publisher)
{
    return publisher->newest ? snapshot_manifest(publisher->newest) : NULL;
}

size_t publisher_holders(const struct publisher *publisher, struct holder *ret, size_t max)
{
    size_t count = 0;
    for (const struct peer *peer = publisher->peers; peer; peer = peer->next) {
        if (!is_here(peer))
            continue;
        if (count < max)
            ret[count] = (struct holder){peer->generator, peer->incarnation, peer->holds,
                                         peer->lineage, peer->version};
        count++;
    }
    return count;
}

struct publisher_stats publisher_stats(const struct publisher *publisher)
{
    struct publisher_stats stats = publisher->stats;
    stats.full_now = count_full(publisher);
    return stats;
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    publisher_close_broadcast(publisher);
    snapshot_free(publisher->newest);
    history_free(publisher->history);
    free(publisher->run);
    free(publisher);
}
