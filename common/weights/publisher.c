#include "weights/publisher.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/call.h"
#include "rpc/message.h"
#include "svc/security.h"
#include "weights/carriers.h"
#include "weights/codec/changelist.h"
#include "weights/codec/history.h"
#include "weights/stream/streaming.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FULL_AT_ONCE = 2, DELTAS_KEPT = 64 };

struct publisher {
    struct publisher_options options;
    struct digest layout;
    char *run;
    struct sending sending;
    void *state[CARRIERS]; // by row; NULL: takes no part
    double published_s;
    bool settled;
    uint64_t ids; // given to peers
};

static err_t open_carriers(struct publisher *publisher, const struct carriers *carriers)
{
    for (size_t row = 0; row < CARRIERS; row++)
        TRY(carriers_table[row]->send->open(&publisher->sending,
                                            carriers_means(carriers, carriers_table[row]),
                                            &publisher->state[row]));
    return OK;
}

err_t publisher_new(const struct publisher_options *options, struct publisher **ret)
{
    if (!options->run || !options->run[0] || options->layout->elements == 0)
        return err_new(ERR_INVALID, "publisher: a run's name and a model's size are needed");
    SCOPED(publisher) publisher = mem_new(sizeof *publisher);
    struct sending *sending = &publisher->sending;
    publisher->options = *options;
    publisher->run = mem_string(options->run);
    publisher->options.run = publisher->run;
    publisher->options.carriers = NULL; // borrowed for the call
    publisher->layout = layout_digest(options->layout);
    /* Half of the dense array's bytes: beyond that all values are not much more, and take no
     * base. */
    const struct history_limits limits = {DELTAS_KEPT, options->layout->elements,
                                          options->anchor_every};
    *sending = (struct sending){.history = history_new(options->layout, &limits),
                                .later_counts = options->passes_on,
                                .full_at_once =
                                    options->full_at_once ? options->full_at_once : FULL_AT_ONCE,
                                .fanout = options->fanout,
                                .note = options->note,
                                .user = options->user};
    TRY(open_carriers(publisher, options->carriers));
    *ret = STEAL(publisher);
    return OK;
}

/* A learner that went back to a copy of its run has made a version's number twice. A peer that has
 * other weights under the newest version's number counts as a peer that has none. */
static void compare(struct peer *peer)
{
    const struct snapshot *snapshot = peer->sending->newest;
    if (!snapshot || !peer->has || !peer->has_digest)
        return;
    const struct manifest *newest = snapshot_manifest(snapshot);
    if (peer->has_lineage == newest->lineage && peer->has_version == newest->version &&
        !digest_equal(&peer->digest, &newest->digest))
        peer->has = peer->holds = peer->has_digest = false;
}

/* ---- the versions that peers have applied */

static void check_settled(struct publisher *publisher)
{
    bool anybody = false;
    if (!publisher->sending.newest || publisher->settled)
        return;
    for (const struct peer *peer = publisher->sending.peers; peer; peer = peer->next) {
        if (!peer_is_here(peer))
            continue;
        if (!peer_holds_newest(peer))
            return;
        anybody = true;
    }
    if (!anybody)
        return;
    publisher->settled = true;
    if (publisher->options.settled)
        publisher->options.settled(snapshot_manifest(publisher->sending.newest),
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

/* Takes why. Messages that are queued for the peer still go out first. */
static void dismiss(struct publisher *publisher, struct peer *peer, err_t why)
{
    peer->dismissed = true;
    CARRIERS_EACH(publisher->state, send, leave, peer);
    rpc_call_pause(peer->call);
    rpc_call_finish(peer->call, why);
}

/* A process counts once, by the stream that came last. Other processes may have its name. */
static void replace(struct publisher *publisher, const struct peer *with)
{
    for (struct peer *peer = publisher->sending.peers; peer; peer = peer->next)
        if (peer != with && peer_is_here(peer) && peer->incarnation == with->incarnation &&
            strcmp(peer->generator, with->generator) == 0)
            dismiss(publisher, peer,
                    err_new(ERR_ABORTED, "weights: generator '%s' came again", with->generator));
}

/* A carrier may have told it to go elsewhere. */
static bool is_sent_on(struct publisher *publisher, struct peer *peer,
                       const struct subscription *hello)
{
    for (size_t row = 0; row < CARRIERS; row++)
        if (publisher->state[row] && carriers_table[row]->send->hello &&
            carriers_table[row]->send->hello(publisher->state[row], peer, hello))
            return true;
    return false;
}

static void introduce(struct peer *peer, struct subscription *hello)
{
    peer->generator = STEAL(hello->generator);
    peer->incarnation = hello->incarnation;
    peer->has = hello->has;
    peer->has_lineage = hello->has_lineage;
    peer->has_version = hello->has_version;
    peer->has_partial = hello->has_partial;
    peer->partial = hello->partial;
    peer->partial_chunks = hello->partial_chunks;
    peer->has_digest = hello->has_digest;
    peer->digest = hello->digest;
    peer->serves = STEAL(hello->serves);
}

static err_t hear(struct publisher *publisher, struct peer *peer, const uint8_t *data, size_t len)
{
    SCOPED_VALUE(subscription) subscription = {0};
    TRY(subscription_decode(data, len, &subscription));
    if (!peer->generator) {
        TRY(check_hello(publisher, &subscription));
        TRY(rpc_call_claims(peer->call, subscription.run, subscription.generator));
        introduce(peer, &subscription);
        replace(publisher, peer);
        if (is_sent_on(publisher, peer, &subscription)) {
            dismiss(publisher, peer, OK);
            return OK;
        }
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
    peer->sending = &publisher->sending;
    peer->id = ++publisher->ids;
    peer->call = call;
    peer->compressed = is_compressed(publisher, call);
    peer->next = publisher->sending.peers;
    publisher->sending.peers = peer;
    rpc_call_set_context(call, peer);
}

/* True: the message is a carrier's, and that carrier has dealt with it. */
static bool carriers_hear(struct publisher *publisher, struct peer *peer,
                          struct rpc_message *message, err_t *ret)
{
    bool taken = false;
    for (size_t row = 0; row < CARRIERS && !taken; row++)
        if (publisher->state[row] && carriers_table[row]->send->hear)
            *ret = carriers_table[row]->send->hear(publisher->state[row], peer, message, &taken);
    return taken;
}

static void on_message(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = rpc_call_context(call);
    if (peer->dismissed || rpc_call_is_over(call))
        return;
    err_t e = OK;
    const bool taken = carriers_hear(publisher, peer, message, &e);
    if (!taken)
        e = hear(publisher, peer, rpc_message_data(message), rpc_message_len(message));
    if (err_failed(e)) {
        publisher->sending.stats.refused++;
        dismiss(publisher, peer, e);
        return;
    }
    if (taken)
        return;
    CARRIERS_EACH(publisher->state, send, serve, peer);
    if (peer->holds && !peer->dismissed && publisher->options.applied)
        publisher->options.applied(peer->generator, peer->lineage, peer->version,
                                   publisher->options.user);
    check_settled(publisher);
}

static void on_writable(struct rpc_call *call, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = rpc_call_context(call);
    CARRIERS_EACH(publisher->state, send, serve, peer);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = rpc_call_context(call);
    err_free(why); // the subscriber reports it and comes back
    for (struct peer **at = &publisher->sending.peers; *at; at = &(*at)->next)
        if (*at == peer) {
            *at = peer->next;
            break;
        }
    peer->dismissed = true;
    CARRIERS_EACH(publisher->state, send, leave, peer);
    free(peer->generator);
    free(peer->serves);
    free(peer);
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

const struct rpc_method *publisher_methods(bool evaluated)
{
    return evaluated ? evaluated_methods : methods;
}

struct rpc_service publisher_service(struct publisher *publisher)
{
    return (struct rpc_service){publisher_methods(publisher->options.evaluated), publisher};
}

/* ---- the learner's calls */

/* A relay's own source went back. */
static void note_lost(struct publisher *publisher, const struct manifest *next)
{
    const struct manifest *newest = publisher_newest(publisher);
    if (!newest || newest->lineage != next->lineage || newest->version <= next->version)
        return;
    publisher->sending.lost_lineage = newest->lineage;
    publisher->sending.lost_up_to = newest->version;
}

void publisher_publish_listed(struct publisher *publisher, struct snapshot *snapshot,
                              struct delta *delta, struct listed *listed)
{
    const struct manifest *manifest = snapshot_manifest(snapshot);
    assert(manifest->kind == WEIGHTS_FULL);
    assert(manifest->elements == publisher->options.layout->elements);
    const bool given = delta != NULL;
    if (!history_put(publisher->sending.history, manifest, delta))
        publisher->sending.stats.unusable += given;
    note_lost(publisher, manifest);
    snapshot_free(publisher->sending.newest);
    publisher->sending.newest = snapshot;
    for (struct peer *peer = publisher->sending.peers; peer; peer = peer->next)
        compare(peer);
    publisher->published_s = clock_s();
    publisher->settled = false;
    publisher->sending.stats.published++;
    publisher->sending.listed = listed;
    CARRIERS_EACH(publisher->state, send, offer);
    listed_free(STEAL(publisher->sending.listed));
    check_settled(publisher);
}

void publisher_publish(struct publisher *publisher, struct snapshot *snapshot, struct delta *delta)
{
    publisher_publish_listed(publisher, snapshot, delta, NULL);
}

void publisher_beat(struct publisher *publisher, uint64_t beat)
{
    CARRIERS_EACH(publisher->state, send, beat, beat);
}

const void *publisher_carrier(const struct publisher *publisher, const struct carrier *carrier)
{
    return publisher->state[carriers_index(carrier)];
}

const struct manifest *publisher_newest(const struct publisher *publisher)
{
    return publisher->sending.newest ? snapshot_manifest(publisher->sending.newest) : NULL;
}

size_t publisher_holders(const struct publisher *publisher, struct holder *ret, size_t max)
{
    size_t count = 0;
    for (const struct peer *peer = publisher->sending.peers; peer; peer = peer->next) {
        if (!peer_is_here(peer))
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
    struct publisher_stats stats = publisher->sending.stats;
    stats.full_now = streaming_count_full(&publisher->sending);
    return stats;
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    CARRIERS_EACH(publisher->state, send, close);
    snapshot_free(publisher->sending.newest);
    history_free(publisher->sending.history);
    free(publisher->run);
    free(publisher);
}
