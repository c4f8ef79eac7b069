#include "generator/prompts.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "generator/decode.h"
#include "svc/held.h"
#include "svc/loop.h"
#include "svc/security.h"
#include "svc/stations.h"
#include "wire/rollout.h"
#include <stdio.h>
#include <string.h>

enum { HEARTBEAT_MS = 250, PAUSE_MIN_MS = 1000, PAUSE_MAX_MS = 60000 };

/* The most leases asked for: of all that are held, and of those finished, a hello lists the ids. */
enum { HELD_MAX = LEASE_IDS_MAX / 2 };

struct ids {
    struct digest *at;
    size_t count;
};

struct prompts {
    struct prompts_options options;
    struct rpc_stream *stream;
    struct loop_timer *heartbeat, *hello;
    uint64_t incarnation; // another number once another process has superseded this one
    bool welcome;         // the learner has answered the hello of this stream
    int64_t hello_at_ms, welcome_ms, pause_ms;
    char unusable_why[NAME_MAX_BYTES + 1]; // of the last; whole characters
    struct ids held, finished, unusable;   // finished: decoded, without a disposition yet
    struct ids ahead;                      // held for weights to come
    uint64_t ahead_version; // the newest of `ahead`. A rollback revokes those, and it falls
    struct ids refused;     // granted beyond what fits: given back
    bool serving, draining, over, stands;
    bool gives_all; // draining: finished ones too
    uint32_t lineage;
    uint64_t version;
    struct ids evaluating, evaluated; // rows of an evaluation: being decoded; without a disposition
    bool evaluates;                   // holds weights for it:
    uint32_t evaluation_lineage;
    uint64_t evaluation_version;
    uint64_t *evaluation_unusable; // slots
    uint32_t evaluation_unusables;
};

static void ids_add(struct ids *ids, const struct digest *id)
{
    ids->at = mem_grow(ids->at, ids->count + 1, sizeof *ids->at);
    ids->at[ids->count++] = *id;
}

static bool ids_remove(struct ids *ids, const struct digest *id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (digest_equal(&ids->at[i], id)) {
            ids->at[i] = ids->at[--ids->count];
            return true;
        }
    return false;
}

/* One and a half times what is decoded at once: the next prompt is there when slots become free. */
static size_t most_held(const struct prompts *prompts)
{
    const size_t groups = decode_groups(prompts->options.decode, TRACK_TRAINING),
                 most = groups + (groups + 1) / 2;
    return most < HELD_MAX ? most : HELD_MAX;
}

/* For the weights in force, or as many again for those to come. */
static uint32_t wanted(const struct prompts *prompts, const struct ids *held)
{
    const size_t most = most_held(prompts), // a hello lists all that is known
        known = prompts->held.count + prompts->ahead.count + prompts->finished.count;
    if (!prompts->serving || prompts->draining || prompts->over || held->count >= most ||
        known >= HELD_MAX)
        return 0;
    const size_t more = most - held->count;
    return (uint32_t)(more < HELD_MAX - known ? more : HELD_MAX - known);
}

/* As many again as are decoded at once: some are always on their way. */
static size_t most_evaluations(const struct prompts *prompts)
{
    return 2 * (size_t)decode_groups(prompts->options.decode, TRACK_EVALUATION);
}

static uint32_t wanted_evaluations(const struct prompts *prompts)
{
    const size_t most = most_evaluations(prompts);
    if (!prompts->evaluates || prompts->draining || prompts->over ||
        prompts->evaluating.count >= most)
        return 0;
    return (uint32_t)(most - prompts->evaluating.count);
}

static void add_known(struct lease_progress *known, uint32_t *count, const struct ids *ids)
{
    for (size_t i = 0; i < ids->count; i++)
        known[(*count)++].id = ids->at[i];
}

/* Every lease we know of: what the learner has granted beside these never arrived. */
static struct lease_progress *known_leases(const struct prompts *prompts, uint32_t *ret_count)
{
    struct lease_progress *known = mem_array(
        prompts->held.count + prompts->ahead.count + prompts->finished.count, sizeof *known);
    *ret_count = 0;
    add_known(known, ret_count, &prompts->held);
    add_known(known, ret_count, &prompts->ahead);
    add_known(known, ret_count, &prompts->finished);
    return known;
}

static void add_back(struct digest *back, uint32_t *count, const struct ids *ids)
{
    if (ids->count)
        memcpy(back + *count, ids->at, ids->count * sizeof *back);
    *count += (uint32_t)ids->count;
}

/* Leases that are given back: what was refused; when draining all. Each time anew: grants may have
 * been on their way. */
static struct digest *given_back(const struct prompts *prompts, uint32_t *ret_count)
{
    struct digest *back = mem_array(prompts->refused.count + prompts->held.count +
                                        prompts->ahead.count + prompts->finished.count,
                                    sizeof *back);
    *ret_count = 0;
    if (prompts->draining) {
        add_back(back, ret_count, &prompts->held);
        add_back(back, ret_count, &prompts->ahead);
    }
    if (prompts->gives_all)
        add_back(back, ret_count, &prompts->finished);
    add_back(back, ret_count, &prompts->refused);
    return back;
}

static void say(struct prompts *prompts, bool hello)
{
    SCOPED_MEM struct lease_progress *known = NULL;
    SCOPED_MEM struct digest *back = NULL;
    const struct decode_figures totals = decode_figures(prompts->options.decode);
    struct lease_request request = {.version = prompts->version,
                                    .lineage = prompts->lineage,
                                    .want = wanted(prompts, &prompts->held),
                                    .want_ahead = wanted(prompts, &prompts->ahead),
                                    .idle_s = totals.idle_s,
                                    .busy_s = totals.busy_s,
                                    .tokens = totals.tokens,
                                    .unusables = (uint32_t)prompts->unusable.count,
                                    .unusable = prompts->unusable.at,
                                    .unusable_why =
                                        prompts->unusable.count ? prompts->unusable_why : NULL,
                                    .evaluation_lineage = prompts->evaluation_lineage,
                                    .evaluation_version = prompts->evaluation_version,
                                    .evaluation_want = wanted_evaluations(prompts),
                                    .evaluation_unusables = prompts->evaluation_unusables,
                                    .evaluation_unusable = prompts->evaluation_unusable,
                                    .held = prompts->stands};
    if (hello) {
        request.run = (char *)prompts->options.run;
        request.generator = (char *)prompts->options.generator;
        request.incarnation = prompts->incarnation;
        request.hello = *prompts->options.hello;
        request.progress = known = known_leases(prompts, &request.progresses);
    }
    request.returned = back = given_back(prompts, &request.returns);
    SCOPED_VALUE(bytes) out = {0};
    lease_request_encode(&request, &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    if (rpc_stream_send_message(prompts->stream, message))
        prompts->unusable.count = prompts->refused.count = prompts->evaluation_unusables = 0;
    rpc_message_free(message);
}

static void on_heartbeat(void *arg)
{
    struct prompts *prompts = arg;
    if (prompts->welcome)
        say(prompts, false);
}

static void on_hello(void *arg)
{
    struct prompts *prompts = arg;
    if (rpc_stream_is_up(prompts->stream))
        say(prompts, true);
}

/* Soon, but once for many: a hundred groups that finish together make one request. */
static void say_soon(struct prompts *prompts)
{
    loop_timer_start(prompts->heartbeat, 0, HEARTBEAT_MS);
}

static void on_up(struct rpc_stream *stream, void *user)
{
    (void)stream;
    struct prompts *prompts = user;
    prompts->refused.count = 0; // the hello names what is held: the rest is given back by that
    const int64_t wait_ms = prompts->hello_at_ms - clock_ms();
    if (wait_ms > 0)
        loop_timer_start(prompts->hello, wait_ms, 0);
    else
        say(prompts, true);
}

/* The first reply answers the hello. */
static err_t take_welcome(struct prompts *prompts, const struct lease_reply *reply)
{
    if (prompts->welcome)
        return OK;
    if (!reply->term)
        return err_new(ERR_PRECONDITION, "the learner does not answer our hello: it speaks another "
                                         "protocol; start daemons of one build");
    TRY(hello_same_protocol(reply->protocol, "the learner"));
    prompts->welcome = true;
    prompts->welcome_ms = clock_ms();
    prompts->options.up(prompts->options.arg);
    return OK;
}

static bool has(const struct ids *ids, const struct digest *id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (digest_equal(&ids->at[i], id))
            return true;
    return false;
}

/* A row that we have already may be leased to us again, after a lost stream or a deadline: its id
 * is the same, and so would be its tokens. And one may come late, for weights that are no longer
 * held. */
static bool is_welcome(const struct prompts *prompts, const struct lease_grant *grant)
{
    return prompts->evaluates && grant->version == prompts->evaluation_version &&
           grant->lineage == prompts->evaluation_lineage &&
           prompts->evaluating.count < most_evaluations(prompts) + LEASE_GRANTS_MAX &&
           !has(&prompts->evaluating, &grant->id) && !has(&prompts->evaluated, &grant->id);
}

/* Leases have room if they were asked for, or asked for again before the answer came. */
static bool is_too_much(const struct prompts *prompts)
{
    return prompts->held.count + prompts->ahead.count >= 2 * most_held(prompts) + LEASE_GRANTS_MAX;
}

static void take_grant(struct prompts *prompts, struct lease_grant *granted)
{
    if (granted->evaluation && !is_welcome(prompts, granted))
        return;
    if (!granted->evaluation && is_too_much(prompts)) {
        ids_add(&prompts->refused, &granted->id);
        if (prompts->refused.count >= LEASE_GRANTS_MAX)
            say(prompts, false); // a message has room for so many ids
        else
            say_soon(prompts);
        return;
    }
    station_came(&granted->id, granted->traceparent);
    station_note(&granted->id, &(struct station){.name = "granted", .number = granted->attempt});
    struct lease_grant *grant = mem_copy(granted, sizeof *grant);
    granted->row = NULL; // the copy's now
    const bool early = !grant->evaluation && grant->version > prompts->version;
    if (early && (!prompts->ahead.count || grant->version > prompts->ahead_version))
        prompts->ahead_version = grant->version;
    ids_add(grant->evaluation ? &prompts->evaluating
            : early           ? &prompts->ahead
                              : &prompts->held,
            &grant->id);
    prompts->options.granted(prompts->options.arg);
    decode_admit(prompts->options.decode, grant);
}

static void take_reply(struct prompts *prompts, struct lease_reply *reply)
{
    for (uint32_t i = 0; i < reply->grants; i++)
        take_grant(prompts, &reply->grant[i]);
    for (uint32_t i = 0; i < reply->revokes; i++)
        if (ids_remove(&prompts->held, &reply->revoked[i]) ||
            ids_remove(&prompts->ahead, &reply->revoked[i]))
            decode_cancel(prompts->options.decode, &reply->revoked[i]);
    if (reply->revokes)
        say_soon(prompts); // there is room for others
    if (reply->hold || reply->go_on)
        prompts->options.hold(prompts->options.arg, reply->hold);
    if (prompts->over)
        return;
    prompts->over = reply->ended || reply->leave;
    if (reply->leave)
        prompts->options.over(prompts->options.arg, OVER_LEAVE);
    else if (reply->ended || reply->draining)
        prompts->options.over(prompts->options.arg, reply->ended ? OVER_ENDED : OVER_DRAINING);
}

static void on_message(struct rpc_stream *stream, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct prompts *prompts = user;
    struct lease_reply reply = {0};
    err_t failed = lease_reply_decode(rpc_message_data(message), rpc_message_len(message), &reply);
    if (!err_failed(failed))
        failed = take_welcome(prompts, &reply);
    if (err_failed(failed)) {
        lease_reply_done(&reply);
        rpc_stream_break(stream, failed);
        return;
    }
    take_reply(prompts, &reply);
    lease_reply_done(&reply);
}

/* Superseded: as another process from now on. The learner has freed all our leases, and will say
 * so. */
static void come_anew(struct prompts *prompts)
{
    const int64_t now = clock_ms();
    const bool kept = prompts->welcome && now - prompts->welcome_ms > PAUSE_MAX_MS;
    prompts->pause_ms = kept || !prompts->pause_ms             ? PAUSE_MIN_MS
                        : prompts->pause_ms * 2 < PAUSE_MAX_MS ? prompts->pause_ms * 2
                                                               : PAUSE_MAX_MS;
    prompts->incarnation = hash64(&prompts->incarnation, sizeof prompts->incarnation, 0);
    prompts->hello_at_ms = now + prompts->pause_ms;
}

static void on_down(struct rpc_stream *stream, err_t why, void *user)
{
    (void)stream;
    struct prompts *prompts = user;
    if (err_code(why) == ERR_ABORTED)
        come_anew(prompts);
    prompts->welcome = false;
    loop_timer_stop(prompts->hello);
    prompts->options.down(prompts->options.arg, why);
}

err_t prompts_open(const struct prompts_options *options, struct prompts **ret)
{
    static const struct rpc_method lease = {.path = "/rlhfd.v1.Prompts/Lease", .kind = RPC_BIDI};
    SCOPED(prompts) prompts = mem_new(sizeof *prompts);
    prompts->options = *options;
    TRY(rng_nonce(&prompts->incarnation));
    prompts->heartbeat = loop_timer_new(options->loop, on_heartbeat, prompts);
    prompts->hello = loop_timer_new(options->loop, on_hello, prompts);
    struct rpc_stream_options stream = {.channel = {.target = options->learner,
                                                    .security = options->security,
                                                    .servers = CALLER_LEARNER,
                                                    .max_recv_bytes = LEASE_REPLY_MAX_BYTES},
                                        .method = &lease};
    struct rpc_stream_handlers handlers = {.up = on_up, .message = on_message, .down = on_down};
    TRY(rpc_stream_open(options->rpc, &stream, &handlers, prompts, &prompts->stream));
    loop_timer_start(prompts->heartbeat, HEARTBEAT_MS, HEARTBEAT_MS);
    *ret = STEAL(prompts);
    return OK;
}

void prompts_version(struct prompts *prompts, uint32_t lineage, uint64_t version)
{
    prompts->lineage = lineage;
    prompts->version = version;
    prompts->serving = true;
    for (size_t i = 0; version >= prompts->ahead_version && i < prompts->ahead.count; i++)
        ids_add(&prompts->held, &prompts->ahead.at[i]);
    if (version >= prompts->ahead_version)
        prompts->ahead.count = prompts->ahead_version = 0;
    say_soon(prompts);
}

void prompts_finished(struct prompts *prompts, const struct digest *id)
{
    if (ids_remove(&prompts->held, id) || ids_remove(&prompts->ahead, id))
        ids_add(&prompts->finished, id);
    else if (ids_remove(&prompts->evaluating, id))
        ids_add(&prompts->evaluated, id);
    else
        return; // revoked meanwhile
    say_soon(prompts);
}

void prompts_settled(struct prompts *prompts, const struct digest *id)
{
    if (!ids_remove(&prompts->finished, id))
        ids_remove(&prompts->evaluated, id);
}

void prompts_evaluates(struct prompts *prompts, uint32_t lineage, uint64_t version)
{
    prompts->evaluates = true;
    prompts->evaluation_lineage = lineage;
    prompts->evaluation_version = version;
    prompts->evaluating.count = 0;
    say_soon(prompts);
}

static void add_unusable(struct prompts *prompts, const struct group *group, const char *why)
{
    struct hold said = hold_make(HOLD_UNUSABLE, "%s", why);
    snprintf(prompts->unusable_why, sizeof prompts->unusable_why, "%.*s", NAME_MAX_BYTES,
             said.text);
    ids_add(&prompts->unusable, &group->id);
    if (!ids_remove(&prompts->held, &group->id))
        ids_remove(&prompts->ahead, &group->id);
}

static void add_evaluation_unusable(struct prompts *prompts, const struct group *group)
{
    if (!ids_remove(&prompts->evaluating, &group->id))
        return;
    prompts->evaluation_unusable = mem_grow(prompts->evaluation_unusable,
                                            prompts->evaluation_unusables + 1, sizeof group->slot);
    prompts->evaluation_unusable[prompts->evaluation_unusables++] = group->slot;
}

void prompts_unusable(struct prompts *prompts, const struct group *group, const char *why)
{
    if (group->evaluation)
        add_evaluation_unusable(prompts, group);
    else
        add_unusable(prompts, group, why);
    say_soon(prompts);
}

void prompts_stands(struct prompts *prompts, bool stands)
{
    prompts->stands = stands;
    say_soon(prompts);
}

void prompts_drain(struct prompts *prompts, bool all)
{
    prompts->draining = true;
    prompts->gives_all |= all;
    if (prompts->welcome)
        say(prompts, false);
}

int64_t prompts_pause_ms(const struct prompts *prompts)
{
    return prompts->pause_ms;
}

size_t prompts_held(const struct prompts *prompts)
{
    return prompts->held.count + prompts->ahead.count;
}

void prompts_free(struct prompts *prompts)
{
    if (!prompts)
        return;
    rpc_stream_free(prompts->stream);
    loop_timer_free(prompts->heartbeat);
    loop_timer_free(prompts->hello);
    mem_free(prompts->held.at);
    mem_free(prompts->ahead.at);
    mem_free(prompts->finished.at);
    mem_free(prompts->unusable.at);
    mem_free(prompts->refused.at);
    mem_free(prompts->evaluating.at);
    mem_free(prompts->evaluated.at);
    mem_free(prompts->evaluation_unusable);
    mem_free(prompts);
}
