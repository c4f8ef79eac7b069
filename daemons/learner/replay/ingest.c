#include "learner/replay/ingest.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/replay/refusals.h"
#include "learner/replay/store_figures.h"
#include "learner/store/lag.h"
#include "learner/store/rounds.h"
#include "svc/mailbox.h"
#include "svc/metrics.h"
#include "svc/peer.h"
#include "svc/security.h"
#include "svc/stations.h"
#include "wire/failed_group.h"
#include "wire/hello.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Waiting groups, and bytes not yet written, that stop the reading of streams; the groups are also
 * the most in one write. JOBS: one writes, one waits to take all that came meanwhile, without
 * asking the loop. */
enum { PENDING_MAX = 256, PENDING_BYTES = 64 << 20, JOBS = 2 };

struct item {
    struct rpc_call *call; // a reference: where the disposition goes
    struct group *group;
    struct rpc_message *message; // a reference: what the group was decoded from, and is stored as
    struct encoded encoded;      // its bytes
    const char *judge;           // who says that it cannot be trained
    char *misfit;                // why; NULL: it can
};

/* A write under way, owned by the storage thread. */
struct batch {
    struct ingest *ingest;
    size_t count, bytes, stored;
    struct item item[PENDING_MAX];
};

/* An open stream: its call's context. */
struct stream {
    struct stream *next, **prev;
    struct ingest_stream says;
    bool begun, refused; // its first message has come; it was refused
};

struct ingest {
    struct ingest_options options;
    struct stream *streams;
    struct mailbox *pending; // struct item
    size_t bytes;            // of those waiting and being written
    int jobs;                // write_pending's, of which batch_written has not come
    bool stopped;
    struct refusals refusals;
    struct rpc_call **paused; // references
    size_t paused_count;
    struct hold_peers seen; // of all streams; gone_s: when, not since when
    double refused_s;
};

#define APPENDED(what)                                                                             \
    METRIC_LABELLED(METRIC_KIND_COUNTER, "rlhfd_groups_appended_total",                            \
                    "groups by what became of them", "outcome=\"" what "\"")
static struct metric outcomes[] = {
    [OUTCOME_STORED] = APPENDED("stored"),         [OUTCOME_DUPLICATE] = APPENDED("duplicate"),
    [OUTCOME_SUPERSEDED] = APPENDED("superseded"), [OUTCOME_STALE] = APPENDED("stale"),
    [OUTCOME_REJECTED] = APPENDED("rejected"),
};
static struct metric seconds = METRIC_HISTOGRAM(
    "rlhfd_append_seconds", "one durable write of groups", 0.001, 0.005, 0.02, 0.1, 0.5, 2);
static struct metric *const rows[] = {&outcomes[OUTCOME_STORED],     &outcomes[OUTCOME_DUPLICATE],
                                      &outcomes[OUTCOME_SUPERSEDED], &outcomes[OUTCOME_STALE],
                                      &outcomes[OUTCOME_REJECTED],   &seconds};

struct ingest *ingest_new(const struct ingest_options *options)
{
    metrics_register(rows, sizeof rows / sizeof *rows);
    store_figures_register();
    struct ingest *ingest = mem_new(sizeof *ingest);
    ingest->options = *options;
    ingest->pending = mailbox_new(PENDING_MAX);
    ingest->seen.gone_s = clock_s();
    return ingest;
}

static void send_disposition(struct rpc_call *call, const struct digest *id, enum outcome outcome,
                             const char *reason)
{
    station_note(id, &(struct station){.name = outcome == OUTCOME_STORED ? "stored" : "answered",
                                       .detail = outcome_name(outcome)});
    SCOPED_VALUE(bytes) out = {0};
    struct disposition disposition = {.id = *id, .outcome = outcome, .reason = (char *)reason};
    disposition_encode(&disposition, &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    rpc_call_send_message(call, message); // a rewarder that is gone asks again: DUPLICATE then
    rpc_message_free(message);
    metric_add(&outcomes[outcome], 1);
}

/* ---- storage thread */

static err_t take_evaluations(struct batch *batch)
{
    const struct ingest_options *o = &batch->ingest->options;
    for (size_t i = 0; i < batch->count; i++) {
        const struct item *item = &batch->item[i];
        enum outcome outcome;
        char why[MISFIT_WHY];
        if (!item->group->evaluation)
            continue;
        TRY(o->evaluated(o->evaluating, item->group, &outcome, why));
        send_disposition(item->call, &item->group->id, outcome, *why ? why : NULL);
    }
    return OK;
}

static void tell_rejected(const struct ingest *ingest, const char *who, const char *why)
{
    if (ingest->options.rejected)
        ingest->options.rejected(ingest->options.breaker, who, why);
}

/* Misfits are recorded one by one: they are rare. */
static err_t reject_misfits(struct batch *batch, struct store *store)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct item *item = &batch->item[i];
        struct verdict verdict;
        if (!item->misfit)
            continue;
        tell_rejected(batch->ingest, item->judge, item->misfit);
        TRY(store_reject(store, item->group, clock_ms(), &verdict));
        send_disposition(item->call, &item->group->id, verdict.outcome, item->misfit);
    }
    return OK;
}

/* By the oldest version among its tokens, as rounds will count it. */
static void count_stored(struct batch *batch, const struct store *store, const struct group *group)
{
    uint64_t round;
    batch->stored++;
    err_t unknown = store_round_of(store, group_oldest_version(group), &round);
    if (!err_failed(unknown))
        store_figures_lag(LAG_STORED, lag_of(store_next_round(store), round));
    err_free(unknown);
}

static err_t append_others(struct batch *batch, struct store *store)
{
    SCOPED_MEM const struct group **groups = mem_array(batch->count, sizeof *groups);
    SCOPED_MEM struct verdict *verdicts = mem_array(batch->count, sizeof *verdicts);
    SCOPED_MEM struct encoded *encoded = mem_array(batch->count, sizeof *encoded);
    SCOPED_MEM struct rpc_call **calls = mem_array(batch->count, sizeof *calls);
    size_t n = 0;
    for (size_t i = 0; i < batch->count; i++)
        if (!batch->item[i].misfit && !batch->item[i].group->evaluation) {
            calls[n] = batch->item[i].call;
            encoded[n] = batch->item[i].encoded;
            groups[n++] = batch->item[i].group;
        }
    if (!n)
        return OK;
    double begun = clock_s();
    TRY(store_append(store, groups, encoded, n, clock_ms(), verdicts));
    metric_observe(&seconds, clock_s() - begun);
    for (size_t i = 0; i < n; i++) {
        send_disposition(calls[i], &groups[i]->id, verdicts[i].outcome, verdicts[i].why);
        if (verdicts[i].outcome == OUTCOME_STORED)
            count_stored(batch, store, groups[i]);
        if (verdicts[i].outcome == OUTCOME_REJECTED)
            tell_rejected(batch->ingest, "the learner", verdicts[i].why);
    }
    return OK;
}

static void item_done(struct item *item)
{
    group_free(item->group);
    rpc_message_free(item->message);
    rpc_call_unref(item->call);
    mem_free(item->misfit);
}

static void batch_written(void *arg);

static void take_pending(struct batch *batch)
{
    void *taken;
    while (batch->count < PENDING_MAX && mailbox_take(batch->ingest->pending, 0, &taken)) {
        struct item *item = taken;
        batch->bytes += item->encoded.len;
        batch->item[batch->count++] = *item;
        mem_free(item);
    }
}

static err_t write_pending(void *arg, struct store *store)
{
    struct batch *batch = arg;
    take_pending(batch);
    err_t failed = append_others(batch, store);
    if (!err_failed(failed))
        failed = reject_misfits(batch, store);
    if (!err_failed(failed))
        failed = take_evaluations(batch);
    for (size_t i = 0; i < batch->count; i++)
        item_done(&batch->item[i]);
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
static err_t take_group(const struct ingest *ingest, struct rpc_message *message, struct item *ret)
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
    struct item item = {0};
    if (is_hello(ingest, call, message))
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
    struct item *kept = mem_copy(&item, sizeof item);
    if (!mailbox_post(ingest->pending, kept)) { // more streams than that: its rewarder sends again
        mem_free(kept);
        item_done(&item);
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
}

void ingest_facts(const struct ingest *ingest, struct hold_peers *ret)
{
    const double now_s = clock_s();
    *ret = ingest->seen;
    ret->gone_s = now_s - ingest->seen.gone_s;
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
        item_done(left);
    mailbox_free(ingest->pending);
    for (size_t i = 0; i < ingest->paused_count; i++)
        rpc_call_unref(ingest->paused[i]);
    mem_free(ingest->paused);
    mem_free(ingest);
}
