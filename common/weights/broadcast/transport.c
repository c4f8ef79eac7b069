#include "weights/broadcast/transport.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "svc/loop.h"
#include "weights/broadcast/lane.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUCKET_BYTES = 32 << 20, POLL_MS = 1 };
static const struct session_limits DEFAULTS = {500, 2000, 30000, 10000, 2000, 5000};

struct weights_transport {
    struct transport_options options;
    struct session_rules *rules;
    struct lane *lane;
    struct loop_timer *timer;
    bool is_working; // what handlers bring in meanwhile is worked off by who is at it
    struct nccl_id id;
    struct transport_cargo cargo; // of the last offer
    bool carries;                 // an offer is under way
    struct transport_stats stats;
};

static void work(struct weights_transport *transport);

static void on_timer(void *arg)
{
    struct weights_transport *transport = arg;
    work(transport);
}

static void limit(int64_t *value, int64_t standard)
{
    if (!*value)
        *value = standard;
}

static void fill_in(struct transport_options *options)
{
    struct session_limits *limits = &options->limits;
    limit(&limits->settle_ms, DEFAULTS.settle_ms);
    limit(&limits->gather_ms, DEFAULTS.gather_ms);
    limit(&limits->connect_ms, DEFAULTS.connect_ms);
    limit(&limits->carry_ms, DEFAULTS.carry_ms);
    limit(&limits->end_ms, DEFAULTS.end_ms);
    limit(&limits->retry_ms, DEFAULTS.retry_ms);
    if (!options->bucket_bytes)
        options->bucket_bytes = BUCKET_BYTES;
}

err_t transport_new(const struct transport_options *options, struct weights_transport **ret)
{
    struct lane *lane = NULL;
    TRY(lane_new(&(struct lane_options){.nccl = options->nccl, .device = options->device}, &lane));
    struct weights_transport *transport = mem_new(sizeof *transport);
    transport->options = *options;
    fill_in(&transport->options);
    transport->lane = lane;
    transport->rules = session_rules_new(&transport->options.limits);
    transport->timer = loop_timer_new(options->loop, on_timer, transport);
    *ret = transport;
    return OK;
}

/* ---- carrying out */

__attribute__((format(printf, 2, 3))) static void note(struct weights_transport *transport,
                                                       const char *format, ...)
{
    char text[512];
    va_list args;
    if (!transport->options.note)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    transport->options.note(text, transport->options.user);
}

static void say(struct weights_transport *transport, uint64_t peer, struct session_message message)
{
    message.session = session_rules_session(transport->rules);
    SCOPED(rpc_message) packed = session_message_down(&message);
    transport->options.send(peer, packed, transport->options.user);
}

static void give_back(struct weights_transport *transport)
{
    if (!transport->carries)
        return;
    transport->carries = false;
    transport->cargo.release(transport->cargo.arg);
}

static void begin(struct weights_transport *transport, const struct session_action *action)
{
    struct session_message message = {.step = SESSION_STEP_BEGIN,
                                      .rank = action->rank,
                                      .ranks = action->ranks,
                                      .id = transport->id};
    say(transport, action->peer, message);
}

static void carry_out(struct weights_transport *transport, const struct session_action *action)
{
    const struct lane_init init = {transport->id, action->ranks, 0};
    const struct transport_cargo *cargo = &transport->cargo;
    const struct lane_move move = {.from = cargo->data, .device = cargo->device, .len = cargo->len};
    const struct session_message invite = {.step = SESSION_STEP_INVITE,
                                           .bucket = transport->options.bucket_bytes};
    const struct session_message announce = {.step = SESSION_STEP_ANNOUNCE,
                                             .lineage = cargo->lineage,
                                             .version = cargo->version,
                                             .bytes = cargo->len,
                                             .list = cargo->list};
    switch (action->kind) {
    case SESSION_DO_INVITE:
        say(transport, action->peer, invite);
        break;
    case SESSION_DO_MINT: // once the staging is there
        lane_prepare(transport->lane, transport->options.bucket_bytes);
        break;
    case SESSION_DO_BEGIN:
        begin(transport, action);
        break;
    case SESSION_DO_INIT:
        lane_init(transport->lane, &init);
        break;
    case SESSION_DO_ANNOUNCE:
        transport->options.announce(action->peer, transport->options.user);
        say(transport, action->peer, announce);
        break;
    case SESSION_DO_CARRY:
        lane_move(transport->lane, &move);
        break;
    case SESSION_DO_ABANDON:
        say(transport, action->peer, (struct session_message){.step = SESSION_STEP_ABANDON});
        break;
    case SESSION_DO_ABORT:
        lane_abort(transport->lane);
        break;
    case SESSION_DO_RELEASE:
        transport->options.released(action->peer, action->bytes, transport->options.user);
        break;
    }
}

/* ---- what happens */

/* Says what has changed between two states of the rules. */
static void tell(struct weights_transport *transport, enum session_state before,
                 struct session_counts counts)
{
    const struct session_counts now = session_rules_counts(transport->rules);
    const unsigned long long session = session_rules_session(transport->rules);
    if (now.stood > counts.stood)
        note(transport, "NCCL session %llu stands with %zu members", session,
             session_rules_members(transport->rules));
    if (now.failed > counts.failed)
        note(transport, "NCCL session %llu failed while it was %s", session,
             session_state_name(before));
    if (before != SESSION_BROKEN && session_rules_state(transport->rules) == SESSION_BROKEN)
        note(transport, "NCCL did not return from an abort: versions go over gRPC from here on");
    transport->stats.bytes += (now.carried - counts.carried) * transport->cargo.len;
}

static void step(struct weights_transport *transport, struct session_event event)
{
    const enum session_state before = session_rules_state(transport->rules);
    const struct session_counts counts = session_rules_counts(transport->rules);
    session_rules_step(transport->rules, clock_ms(), &event);
    tell(transport, before, counts);
}

static void happened(struct weights_transport *transport, const struct lane_event *event)
{
    switch (event->kind) {
    case LANE_PREPARED:
        if (session_rules_state(transport->rules) == SESSION_MINTING)
            lane_mint(transport->lane);
        break;
    case LANE_MINTED:
        transport->id = event->id;
        step(transport, (struct session_event){SESSION_MINTED});
        break;
    case LANE_UP:
        step(transport, (struct session_event){SESSION_UP});
        break;
    case LANE_PART:
        break; // rank 0 reports none
    case LANE_DONE:
        give_back(transport);
        step(transport, (struct session_event){SESSION_SENT});
        break;
    case LANE_FAILED:
        note(transport, "NCCL: %s", event->why);
        step(transport, (struct session_event){SESSION_LANE_FAILED, .mine = event->mine});
        break;
    case LANE_ABORTED:
        give_back(transport);
        step(transport, (struct session_event){SESSION_ABORTED});
        break;
    }
}

static bool work_once(struct weights_transport *transport)
{
    struct session_action action;
    struct lane_event event;
    if (session_rules_next(transport->rules, &action)) {
        carry_out(transport, &action);
        return true;
    }
    if (lane_poll(transport->lane, &event)) {
        happened(transport, &event);
        return true;
    }
    return false;
}

static void plan(struct weights_transport *transport)
{
    const int64_t now = clock_ms(), wake = session_rules_wake(transport->rules);
    int64_t after = wake == INT64_MAX ? -1 : wake > now ? wake - now : 1;
    if (lane_busy(transport->lane))
        after = POLL_MS;
    if (after < 0)
        loop_timer_stop(transport->timer);
    else
        loop_timer_start(transport->timer, after, 0);
}

static void work(struct weights_transport *transport)
{
    if (transport->is_working)
        return;
    transport->is_working = true;
    step(transport, (struct session_event){SESSION_TICK});
    while (work_once(transport))
        continue;
    transport->is_working = false;
    plan(transport);
}

/* ---- the publisher's calls */

static void hello(struct weights_transport *transport, uint64_t peer, uint32_t library)
{
    const uint32_t ours = (uint32_t)transport->options.nccl->version;
    if (library == ours) {
        step(transport, (struct session_event){SESSION_JOIN, .peer = peer});
        return;
    }
    struct session_message message = {.step = SESSION_STEP_REFUSED};
    snprintf(message.why, sizeof message.why,
             "NCCL is of version %u there and %u at the learner: they must be the same; versions "
             "go over gRPC",
             library, ours);
    transport->stats.refused++;
    note(transport, "%s", message.why);
    say(transport, peer, message);
}

void transport_hear(struct weights_transport *transport, uint64_t peer,
                    const struct session_message *message)
{
    static const enum session_event_kind kinds[] = {
        [SESSION_STEP_READY] = SESSION_READY,       [SESSION_STEP_JOINED] = SESSION_JOINED,
        [SESSION_STEP_RECEIVED] = SESSION_RECEIVED, [SESSION_STEP_UNUSABLE] = SESSION_REFUSED,
        [SESSION_STEP_FAILED] = SESSION_FAILED,     [SESSION_STEP_ABANDONED] = SESSION_ABANDONED,
    };
    if (message->step == SESSION_STEP_HELLO) {
        hello(transport, peer, message->library);
    } else {
        if (message->step == SESSION_STEP_FAILED || message->step == SESSION_STEP_UNUSABLE)
            note(transport, "NCCL session %llu: a member says: %s",
                 (unsigned long long)message->session, message->why);
        step(transport, (struct session_event){.kind = kinds[message->step],
                                               .peer = peer,
                                               .session = message->session,
                                               .bytes = message->bytes,
                                               .mine = message->mine});
    }
    work(transport);
}

void transport_leave(struct weights_transport *transport, uint64_t peer)
{
    step(transport, (struct session_event){SESSION_LEAVE, .peer = peer});
    work(transport);
}

bool transport_offer(struct weights_transport *transport, const struct transport_cargo *cargo)
{
    if (session_rules_state(transport->rules) != SESSION_STANDING || transport->carries ||
        !cargo->len)
        return false;
    transport->cargo = *cargo;
    transport->carries = true;
    step(transport, (struct session_event){SESSION_PUBLISH, .bytes = cargo->len});
    work(transport);
    return true;
}

bool transport_reaches(const struct weights_transport *transport, uint64_t peer)
{
    return session_rules_state(transport->rules) == SESSION_STANDING && !transport->carries &&
           session_rules_is_member(transport->rules, peer);
}

bool transport_carries(const struct weights_transport *transport, uint64_t peer)
{
    return session_rules_carries(transport->rules, peer);
}

struct transport_stats transport_stats(const struct weights_transport *transport)
{
    struct transport_stats stats = transport->stats;
    stats.counts = session_rules_counts(transport->rules);
    stats.state = session_rules_state(transport->rules);
    stats.session = session_rules_session(transport->rules);
    stats.members = session_rules_members(transport->rules);
    return stats;
}

bool transport_free(struct weights_transport *transport)
{
    if (!transport)
        return true;
    loop_timer_free(transport->timer);
    const bool freed = lane_free(transport->lane);
    if (freed)
        give_back(transport);
    session_rules_free(transport->rules);
    free(transport);
    return freed;
}
