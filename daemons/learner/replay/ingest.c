#include "learner/replay/ingest.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/replay/appending.h"
#include "learner/replay/refusals.h"
#include "learner/replay/store_figures.h"
#include "svc/cell.h"
#include "svc/mailbox.h"
#include "svc/peer.h"
#include "svc/security.h"
#include "svc/stations.h"
#include "wire/failed_group.h"
#include "wire/hello.h"
#include "wire/waiting.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Waiting groups, and bytes not yet written, that stop the reading of streams; the groups are also
 * the most in one write. JOBS: one writes, one waits to take all that came meanwhile, without
 * asking the loop. */
enum { PENDING_MAX = 256, PENDING_BYTES = 64 << 20, JOBS = 2 };

/* A write under way, owned by the storage thread. */
struct batch {
    struct ingest *ingest;
    size_t count, bytes, stored;
    struct append_item item[PENDING_MAX];
};

/* An open stream: its call's context. */
struct stream {
    struct stream *next, **prev;
    struct rpc_call *call; // its own
    struct ingest_stream says;
    bool begun, refused; // its first message has come; it was refused
};

struct ingest {
    struct ingest_options options;
    struct stream *streams;
    struct mailbox *pending; // struct append_item
    size_t bytes;            // of those waiting and being written
    int jobs;                // write_pending's, of which batch_written has not come
    bool stopped;
    struct refusals refusals;
    struct rpc_call **paused; // references
    size_t paused_count;
    struct hold_peers seen; // of all streams; gone_s: when, not since when
    double refused_s;
    uint64_t offers;        // ingest_offer's, so far
    struct cell departures; // streams that have closed
};

struct ingest *ingest_new(const struct ingest_options *options)
{
    appending_register();
    store_figures_register();
    struct ingest *ingest = mem_new(sizeof *ingest);
    ingest->options = *options;
    ingest->pending = mailbox_new(PENDING_MAX);
    ingest->seen.gone_s = clock_s();
    return ingest;
}

/* ---- storage thread */

static void batch_written(void *arg);

static void take_pending(struct batch *batch)
{
    void *taken;
    while (batch->count < PENDING_MAX && mailbox_take(batch->ingest->pending, 0, &taken)) {
        struct append_item *item = taken;
        batch->bytes += item->encoded.len;
        batch->item[batch->count++] = *item;
        mem_free(item);
    }
}

static err_t write_pending(void *arg, struct store *store)
{
    struct batch *batch = arg;
    take_pending(batch);
    err_t failed =
        append_all(&batch->ingest->options, batch->item, batch->count, store, &batch->stored);
    for (size_t i = 0; i < batch->count; i++)
        append_item_done(&batch->item[i]);
    loop_post(batch->ingest->options.loop, batch_written, batch);
    return failed;
}

/* ---- loop thread */

static void post_job(struct ingest *ingest)
{
    if (ingest->stopped || ingest->jobs == JOBS || !mailbox_count(ingest->pending))
        return;
    struct batch *batch = mem_new(sizeof *batch);
    batch->ingest = ingest;
    ingest->jobs++;
    storage_post(ingest->options.storage, write_pending, batch);
}

static void batch_written(void *arg)
{
    struct batch *batch = arg;
    struct ingest *ingest = batch->ingest;
    ingest->bytes -= batch->bytes;
    ingest->jobs--;
    if (batch->stored)
        ingest->seen.breaks = 0;
    mem_free(batch);
    post_job(ingest);
    for (size_t i = 0; i < ingest->paused_count; i++) {
        rpc_call_resume(ingest->paused[i]);
        rpc_call_unref(ingest->paused[i]);
    }
    ingest->paused_count = 0;
}

static void pause_reading(struct ingest *ingest, struct rpc_call *call)
{
    rpc_call_pause(call);
    ingest->paused = mem_grow(ingest->paused, ingest->paused_count + 1, sizeof *ingest->paused);
    ingest->paused[ingest->paused_count++] = rpc_call_ref(call);
}

/* Ends a stream for what came over it, and remembers whose and why. Takes why. */
static void refuse(struct ingest *ingest, struct rpc_call *call, err_t why)
{
    const struct stream *stream = rpc_call_context(call);
    struct hold_peers *seen = &ingest->seen;
    snprintf(seen->refused, sizeof seen->refused, "%s", stream->says.peer);
    snprintf(seen->refused_why, sizeof seen->refused_why, "%s", err_message(why));
    seen->breaks++;
    ingest->refused_s = clock_s();
    rpc_call_finish(call, why);
}

static void count_group(struct rpc_call *call, const struct group *group)
{
    struct stream *stream = rpc_call_context(call);
    stream->says.groups++;
    for (uint32_t i = 0; i < group->completions; i++)
        stream->says.tokens += group->completion[i].tokens;
}

static err_t nothing(void *arg, struct store *store)
{
    (void)arg;
    (void)store;
    return OK;
}

/* Whoever waits for a change of the store looks again. */
static void count_held(struct ingest *ingest)
{
    double held = 0;
    for (const struct stream *s = ingest->streams; s; s = s->next)
        held += *s->says.held != 0;
    if (!ingest->options.held || held == cell_get(ingest->options.held))
        return;
    cell_set(ingest->options.held, held);
    if (!ingest->stopped)
        storage_post(ingest->options.storage, nothing, NULL);
}

/* Whether the message is no group but a word about the rewarder's stages. */
static bool is_standing(struct ingest *ingest, struct rpc_call *call, struct rpc_message *message)
{
    struct stream *stream = rpc_call_context(call);
    if (!waiting_decode(rpc_message_data(message), rpc_message_len(message), stream->says.held))
        return false;
    log_limited(LOG_INFO, 8, *stream->says.held ? "rewarder waits" : "rewarder goes on",
                "rewarder=%s why=\"%s\"", stream->says.peer, stream->says.held);
    count_held(ingest);
    return true;
}

/* A stream may begin with a hello, which is answered; groups of one that does not are judged by
 * themselves alone. What comes after a refusal is dropped. */
static bool is_hello(struct ingest *ingest, struct rpc_call *call, struct rpc_message *message)
{
    struct stream *stream = rpc_call_context(call);
    SCOPED_VALUE(hello) theirs = {0};
    SCOPED_VALUE(bytes) out = {0};
    if (stream->begun)
        return stream->refused;
    stream->begun = true;
    err_t e = hello_decode(rpc_message_data(message), rpc_message_len(message), &theirs);
    if (err_code(e) == ERR_NOT_FOUND) {
        err_free(e);
        return false;
    }
    if (!err_failed(e))
        e = hello_check(ingest->options.hello, &theirs, "rewarder");
    stream->refused = err_failed(e);
    if (stream->refused) {
        refusals_note(&ingest->refusals, "rewarder", NULL, stream->says.peer, e);
        refuse(ingest, call, e);
        return true;
    }
    snprintf(stream->says.forward, sizeof stream->says.forward, "%s",
             theirs.forward ? theirs.forward : "");
    stream->says.scores_again = theirs.scores_again;
    refusals_older("rewarder", stream->says.peer, &theirs);
    welcome_encode(theirs.protocol, &out);
    struct rpc_message *answer = rpc_message_copy(out.data, out.len);
    rpc_call_send_message(call, answer);
    rpc_message_free(answer);
    return true;
}

/* The caller's; NULL: the group can be trained, or is of an evaluation. */
static char *why_not(const struct ingest *ingest, const struct group *group)
{
    char why[MISFIT_WHY];
    if (group->evaluation)
        return NULL;
    if (group->failure)
        return mem_string(group->failure);
    return misfit(&ingest->options.rules, group, why) ? mem_string(why) : NULL;
}

/* What is no group is answered as a failed one. Without an id there is nothing to answer: the
 * stream ends with the reason. */
static err_t take_group(const struct ingest *ingest, struct rpc_message *message,
                        struct append_item *ret)
{
    const uint8_t *data = rpc_message_data(message);
    const size_t len = rpc_message_len(message);
    err_t failed = group_decode(data, len, &GROUP_LIMITS, &ret->group);
    ret->judge = "the learner";
    if (!err_failed(failed) && ret->group->failure)
        ret->judge = "the rewarder";
    if (err_failed(failed))
        TRY(failed_group_decode(data, len, failed, &ret->group));
    station_came(&ret->group->id, ret->group->traceparent);
    station_note(&ret->group->id, &(struct station){.name = "came"});
    ret->encoded = (struct encoded){data, len};
    ret->misfit = why_not(ingest, ret->group);
    return OK;
}

static void on_message(struct rpc_call *call, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct ingest *ingest = user;
    struct append_item item = {0};
    if (is_hello(ingest, call, message) || is_standing(ingest, call, message))
        return;
    err_t failed = take_group(ingest, message, &item);
    if (err_failed(failed)) {
        log_limited(LOG_WARNING, 1, "malformed group", "why=\"%s\"", err_message(failed));
        refuse(ingest, call, failed);
        return;
    }
    count_group(call, item.group);
    if (item.misfit)
        log_limited(LOG_WARNING, 1, "group rejected", "slot=%" PRIu64 " why=\"%s\"",
                    item.group->slot, item.misfit);
    item.call = rpc_call_ref(call);
    item.message = rpc_message_ref(message);
    struct append_item *kept = mem_copy(&item, sizeof item);
    if (!mailbox_post(ingest->pending, kept)) { // more streams than that: its rewarder sends again
        mem_free(kept);
        append_item_done(&item);
        refuse(ingest, call, err_new(ERR_EXHAUSTED, "%d groups wait for the disk", PENDING_MAX));
        return;
    }
    ingest->bytes += item.encoded.len;
    post_job(ingest);
    if (mailbox_count(ingest->pending) >= PENDING_MAX / 2 || ingest->bytes >= PENDING_BYTES)
        pause_reading(ingest, call); // each other stream may still deliver one
}

static void on_open(struct rpc_call *call, void *user)
{
    struct ingest *ingest = user;
    struct stream *stream = mem_new(sizeof *stream);
    SCOPED_MEM char *peer = rpc_call_peer(call);
    snprintf(stream->says.peer, sizeof stream->says.peer, "%s", peer);
    stream->says.since_s = clock_s();
    stream->call = call;
    stream->next = ingest->streams;
    stream->prev = &ingest->streams;
    if (stream->next)
        stream->next->prev = &stream->next;
    ingest->streams = stream;
    ingest->seen.were = true;
    ingest->seen.connected++;
    rpc_call_set_context(call, stream);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    struct ingest *ingest = user;
    struct stream *stream = rpc_call_context(call);
    err_free(why);
    ingest->seen.connected--;
    ingest->seen.gone_s = clock_s();
    snprintf(ingest->seen.last, sizeof ingest->seen.last, "%s", stream->says.peer);
    *stream->prev = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    mem_free(stream);
    cell_set(&ingest->departures, cell_get(&ingest->departures) + 1);
    count_held(ingest);
}

void ingest_facts(const struct ingest *ingest, struct hold_peers *ret)
{
    const double now_s = clock_s();
    *ret = ingest->seen;
    ret->gone_s = now_s - ingest->seen.gone_s;
    for (const struct stream *s = ingest->streams; s; s = s->next)
        if (*s->says.held) {
            snprintf(ret->held_by, sizeof ret->held_by, "%s", s->says.peer);
            snprintf(ret->held, sizeof ret->held, "%s", s->says.held);
        }
    if (now_s - ingest->refused_s < PEER_CALM_S)
        return;
    *ret->refused = *ret->refused_why = 0;
    ret->breaks = 0;
}

size_t ingest_streams(const struct ingest *ingest, struct ingest_stream *ret, size_t most)
{
    size_t count = 0;
    for (const struct stream *s = ingest->streams; s; s = s->next, count++)
        if (count < most)
            ret[count] = s->says;
    return count;
}

double ingest_departures(const struct ingest *ingest)
{
    return cell_get(&ingest->departures);
}

bool ingest_offer(struct ingest *ingest, struct rpc_message *message)
{
    if (ingest->stopped)
        return true;
    size_t count = 0;
    for (const struct stream *s = ingest->streams; s; s = s->next)
        count += s->says.scores_again;
    size_t turn = count ? ingest->offers++ % count : 0;
    for (const struct stream *s = count ? ingest->streams : NULL; s; s = s->next)
        if (s->says.scores_again && !turn--)
            return !rpc_call_full(s->call) && rpc_call_send_message(s->call, message);
    return false;
}

static void on_half_close(struct rpc_call *call, void *user)
{
    (void)user;
    rpc_call_finish(call, OK);
}

struct rpc_service ingest_service(struct ingest *ingest)
{
    static const struct rpc_method methods[] = {
        {"/rlhfd.v1.Replay/Append",
         NULL,
         NULL,
         RPC_BIDI,
         CALLER_REWARDER,
         {.open = on_open, .message = on_message, .half_close = on_half_close, .close = on_close},
         0},
        {0},
    };
    return (struct rpc_service){methods, ingest};
}

void ingest_stop(struct ingest *ingest)
{
    if (ingest)
        ingest->stopped = true;
}

void ingest_free(struct ingest *ingest)
{
    if (!ingest)
        return;
    for (void *left; mailbox_take(ingest->pending, 0, &left); mem_free(left))
        append_item_done(left);
    mailbox_free(ingest->pending);
    for (size_t i = 0; i < ingest->paused_count; i++)
        rpc_call_unref(ingest->paused[i]);
    mem_free(ingest->paused);
    mem_free(ingest);
}
