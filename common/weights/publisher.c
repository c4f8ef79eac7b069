#include "weights/publisher.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/call.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One stream. Without a name until its first message. */
struct peer {
    struct publisher *publisher;
    struct peer *next;
    struct rpc_call *call; // borrowed: the peer ends in its close handler
    bool dismissed;        // finished; its close handler comes
    char *generator;
    uint64_t incarnation;
    bool holds;
    uint32_t lineage;
    uint64_t version;
    struct snapshot *sending; // NULL: none
    size_t next_message;      // of it
    bool was_sent;            // whole, over this stream:
    uint32_t sent_lineage;
    uint64_t sent_version;
};

struct publisher {
    struct publisher_options options;
    char *run;
    struct snapshot *newest;
    double published_s;
    bool settled;
    struct peer *peers;
    struct publisher_stats stats;
};

err_t publisher_new(const struct publisher_options *options, struct publisher **ret)
{
    if (!options->run || !options->run[0] || options->elements == 0)
        return err_new(ERR_INVALID, "publisher: a run's name and a model's size are needed");
    struct publisher *publisher = mem_new(sizeof *publisher);
    publisher->options = *options;
    publisher->run = mem_string(options->run);
    publisher->options.run = publisher->run;
    *ret = publisher;
    return OK;
}

static bool has_newest(const struct publisher *publisher, bool any, uint32_t lineage,
                       uint64_t version)
{
    const struct manifest *newest = snapshot_manifest(publisher->newest);
    return any && lineage == newest->lineage &&
           (publisher->options.evaluated ? version == newest->version : version >= newest->version);
}

/* ---- sending */

/* Chooses what goes to a peer next; false: it has the newest, or is getting it. */
static bool begin(struct peer *peer)
{
    struct publisher *publisher = peer->publisher;
    if (!publisher->newest || !peer->generator || peer->dismissed ||
        has_newest(publisher, peer->holds, peer->lineage, peer->version) ||
        has_newest(publisher, peer->was_sent, peer->sent_lineage, peer->sent_version))
        return false;
    peer->sending = snapshot_ref(publisher->newest);
    peer->next_message = 0;
    return true;
}

static void end(struct peer *peer)
{
    const struct manifest *manifest = snapshot_manifest(peer->sending);
    peer->was_sent = true;
    peer->sent_lineage = manifest->lineage;
    peer->sent_version = manifest->version;
    peer->publisher->stats.sent++;
    peer->publisher->stats.bytes += snapshot_bytes(peer->sending);
    snapshot_free(STEAL(peer->sending));
}

/* Fills the peer's queue up to its limit; its writable handler goes on. */
static void pump(struct peer *peer)
{
    struct publisher_stats *stats = &peer->publisher->stats;
    while ((peer->sending || begin(peer)) && !rpc_call_full(peer->call)) {
        struct rpc_message *message = snapshot_message(peer->sending, peer->next_message);
        if (!rpc_call_send_message(peer->call, message))
            return; // it is over: close comes
        const size_t queued = rpc_call_queued(peer->call);
        if (queued > stats->queued_max_bytes)
            stats->queued_max_bytes = queued;
        if (++peer->next_message == snapshot_messages(peer->sending))
            end(peer);
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
        if (!has_newest(publisher, peer->holds, peer->lineage, peer->version))
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
    if (!digest_equal(&hello->layout, &publisher->options.layout))
        return err_new(ERR_PRECONDITION,
                       "weights: generator '%s' has a model of layout %s, this "
                       "learner one of %s: names, shapes or order of the parameters differ",
                       hello->generator, digest_text(&hello->layout, theirs),
                       digest_text(&publisher->options.layout, ours));
    for (const struct peer *peer = publisher->peers; peer; peer = peer->next)
        if (is_here(peer) && strcmp(peer->generator, hello->generator) == 0 &&
            peer->incarnation > hello->incarnation)
            return err_new(ERR_ABORTED, "weights: a later generator '%s' is here",
                           hello->generator);
    return OK;
}

/* Takes why. What is queued for it still goes out first. */
static void dismiss(struct peer *peer, err_t why)
{
    peer->dismissed = true;
    snapshot_free(STEAL(peer->sending));
    rpc_call_pause(peer->call);
    rpc_call_finish(peer->call, why);
}

/* A generator's name is here once: the stream that came last is it. */
static void replace(struct publisher *publisher, const struct peer *with)
{
    for (struct peer *peer = publisher->peers; peer; peer = peer->next)
        if (peer != with && is_here(peer) && strcmp(peer->generator, with->generator) == 0)
            dismiss(peer,
                    err_new(ERR_ABORTED, "weights: generator '%s' came again", with->generator));
}

static err_t hear(struct peer *peer, const struct rpc_message *message, const uint8_t *data)
{
    SCOPED_VALUE(subscription) subscription = {0};
    TRY(subscription_decode(data, rpc_message_len(message), &subscription));
    if (!peer->generator) {
        TRY(check_hello(peer->publisher, &subscription));
        peer->generator = STEAL(subscription.generator);
        peer->incarnation = subscription.incarnation;
        replace(peer->publisher, peer);
    }
    peer->holds = subscription.holds;
    peer->lineage = subscription.lineage;
    peer->version = subscription.version;
    return OK;
}

/* ---- handlers */

static void on_open(struct rpc_call *call, void *user)
{
    struct publisher *publisher = user;
    struct peer *peer = mem_new(sizeof *peer);
    peer->publisher = publisher;
    peer->call = call;
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
    err_t e = hear(peer, message, rpc_message_data(message));
    if (err_failed(e)) {
        publisher->stats.refused++;
        dismiss(peer, e);
        return;
    }
    pump(peer);
    if (peer->holds && publisher->options.applied)
        publisher->options.applied(peer->generator, peer->lineage, peer->version,
                                   publisher->options.user);
    check_settled(publisher);
}

static void on_writable(struct rpc_call *call, void *)
{
    pump(rpc_call_context(call));
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
    snapshot_free(peer->sending);
    free(peer->generator);
    free(peer);
    check_settled(publisher);
}

#define HANDLERS                                                                                   \
    {                                                                                              \
        .open = on_open, .message = on_message, .writable = on_writable, .close = on_close         \
    }
static const struct rpc_method methods[] = {
    {"/rlhfd.v1.Weights/Subscribe", NULL, NULL, RPC_BIDI, HANDLERS, 0},
    {0},
};
static const struct rpc_method evaluated_methods[] = {
    {"/rlhfd.v1.Weights/SubscribeEvaluated", NULL, NULL, RPC_BIDI, HANDLERS, 0},
    {0},
};

struct rpc_service publisher_service(struct publisher *publisher)
{
    return (struct rpc_service){publisher->options.evaluated ? evaluated_methods : methods,
                                publisher};
}

/* ---- the learner's calls */

void publisher_publish(struct publisher *publisher, struct snapshot *snapshot)
{
    assert(snapshot_manifest(snapshot)->elements == publisher->options.elements);
    snapshot_free(publisher->newest);
    publisher->newest = snapshot;
    publisher->published_s = clock_s();
    publisher->settled = false;
    publisher->stats.published++;
    for (struct peer *peer = publisher->peers; peer; peer = peer->next)
        pump(peer);
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
    return publisher->stats;
}

void publisher_free(struct publisher *publisher)
{
    if (!publisher)
        return;
    snapshot_free(publisher->newest);
    free(publisher->run);
    free(publisher);
}
