#include "weights/broadcast/attend.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "svc/loop.h"
#include "weights/broadcast/lane.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 1 };
/* Each longer than the learner's, who is to find out first. */
static const struct member_limits DEFAULTS = {60000, 60000, 30000, 5000};

struct attend {
    struct attend_options options;
    struct session_member member;
    struct lane *lane;
    struct loop_timer *timer;
    bool is_working;
    bool is_up;                   // the stream
    struct session_message begin; // the last ones heard
    struct session_message announce;
    uint64_t bucket;
    uint8_t *buffer; // of the version under way; NULL: dropped
    bool has_buffer;
    char why[SESSION_WHY]; // of the last failure
};

static void work(struct attend *attend);

static void on_timer(void *arg)
{
    struct attend *attend = arg;
    work(attend);
}

static void limit(int64_t *value, int64_t standard)
{
    if (!*value)
        *value = standard;
}

err_t attend_new(const struct attend_options *options, struct attend **ret)
{
    struct lane *lane = NULL;
    TRY(nccl_check_device(options->nccl, options->device));
    TRY(lane_new(&(struct lane_options){.nccl = options->nccl, .device = options->device}, &lane));
    struct attend *attend = mem_new(sizeof *attend);
    attend->options = *options;
    attend->member.limits = options->limits;
    limit(&attend->member.limits.ready_ms, DEFAULTS.ready_ms);
    limit(&attend->member.limits.connect_ms, DEFAULTS.connect_ms);
    limit(&attend->member.limits.carry_ms, DEFAULTS.carry_ms);
    limit(&attend->member.limits.end_ms, DEFAULTS.end_ms);
    attend->lane = lane;
    attend->timer = loop_timer_new(options->loop, on_timer, attend);
    *ret = attend;
    return OK;
}

/* ---- carrying out */

static void note(struct attend *attend, const char *text)
{
    if (attend->options.note)
        attend->options.note(text, attend->options.user);
}

static void say(struct attend *attend, struct session_message message)
{
    if (!attend->is_up)
        return;
    SCOPED(rpc_message) packed = session_message_up(&message);
    attend->options.send(packed, attend->options.user);
}

static void say_why(struct attend *attend, enum session_step step,
                    const struct member_actions *actions)
{
    struct session_message message = {
        .step = step, .session = actions->session, .mine = actions->mine};
    snprintf(message.why, sizeof message.why, "%s", attend->why);
    say(attend, message);
}

static void say_step(struct attend *attend, enum session_step step,
                     const struct member_actions *actions)
{
    say(attend, (struct session_message){
                    .step = step, .session = actions->session, .bytes = actions->bytes});
}

static void receive(struct attend *attend)
{
    attend->buffer = attend->options.buffer(&attend->announce, attend->options.user);
    attend->has_buffer = attend->buffer != NULL;
    struct lane_move move = {.to = attend->buffer, .len = attend->announce.bytes};
    if (attend->buffer && attend->options.on_device)
        move.device = attend->options.on_device(&attend->announce, attend->options.user);
    lane_move(attend->lane, &move);
}

static void end_receiving(struct attend *attend, uint64_t have)
{
    if (attend->has_buffer)
        attend->options.ended(have, attend->options.user);
    attend->has_buffer = false;
}

static void carry_out(struct attend *attend, struct member_actions actions)
{
    const struct lane_init init = {attend->begin.id, attend->begin.ranks, attend->begin.rank};
    const bool kept = attend->has_buffer;
    if (actions.set & MEMBER_SAY_FAILED)
        say_why(attend, SESSION_STEP_FAILED, &actions);
    if (actions.set & MEMBER_ABORT)
        lane_abort(attend->lane);
    if (actions.set & MEMBER_END_RECEIVING) {
        if (!kept)
            actions.bytes = attend->member.bytes = 0; // it was dropped
        end_receiving(attend, actions.bytes);
    }
    if (actions.set & MEMBER_SAY_ABANDONED)
        say_step(attend, SESSION_STEP_ABANDONED, &actions);
    if (actions.set & MEMBER_PREPARE)
        lane_prepare(attend->lane, attend->bucket);
    if (actions.set & MEMBER_SAY_READY)
        say_step(attend, SESSION_STEP_READY, &actions);
    if (actions.set & MEMBER_INIT)
        lane_init(attend->lane, &init);
    if (actions.set & MEMBER_SAY_JOINED)
        say_step(attend, SESSION_STEP_JOINED, &actions);
    if (actions.set & MEMBER_RECEIVE)
        receive(attend);
    if (actions.set & MEMBER_SAY_RECEIVED)
        say_step(attend, SESSION_STEP_RECEIVED, &actions);
    if (actions.set & MEMBER_SAY_REFUSED)
        say_why(attend, SESSION_STEP_UNUSABLE, &actions);
}

/* ---- what happens */

static void step(struct attend *attend, struct member_event event)
{
    const enum member_state before = attend->member.state;
    const struct member_actions actions = session_member_step(&attend->member, clock_ms(), &event);
    const enum member_state now = attend->member.state;
    if (now != before && attend->options.entered)
        attend->options.entered(now, attend->options.user);
    if (now != before && now == MEMBER_BROKEN)
        note(attend, "NCCL did not return from an abort: versions come over gRPC from here on");
    carry_out(attend, actions);
}

static void done(struct attend *attend)
{
    bool usable = false;
    snprintf(attend->why, sizeof attend->why, "there was no room for version %llu",
             (unsigned long long)attend->announce.version);
    if (attend->has_buffer) {
        attend->has_buffer = false;
        usable = attend->options.received(&attend->announce, attend->options.user);
        snprintf(attend->why, sizeof attend->why, "version %llu came damaged",
                 (unsigned long long)attend->announce.version);
    }
    step(attend, (struct member_event){MEMBER_DONE, .usable = usable});
}

static void happened(struct attend *attend, const struct lane_event *event)
{
    switch (event->kind) {
    case LANE_PREPARED:
        step(attend, (struct member_event){MEMBER_PREPARED});
        break;
    case LANE_UP:
        step(attend, (struct member_event){MEMBER_UP});
        break;
    case LANE_PART:
        if (attend->member.state == MEMBER_RECEIVING && attend->has_buffer &&
            attend->options.arrived)
            attend->options.arrived(event->bytes, attend->options.user);
        break;
    case LANE_DONE:
        if (attend->member.state == MEMBER_RECEIVING)
            done(attend);
        break;
    case LANE_FAILED:
        note(attend, event->why);
        snprintf(attend->why, sizeof attend->why, "%s", event->why);
        step(attend, (struct member_event){MEMBER_LANE_FAILED, .mine = event->mine});
        break;
    case LANE_ABORTED:
        step(attend, (struct member_event){MEMBER_ABORTED, .bytes = event->bytes});
        break;
    case LANE_MINTED:
        break; // generators mint none
    }
}

static void plan(struct attend *attend)
{
    const int64_t now = clock_ms(), wake = session_member_wake(&attend->member);
    int64_t after = wake == INT64_MAX ? -1 : wake > now ? wake - now : 1;
    if (lane_busy(attend->lane))
        after = POLL_MS;
    if (after < 0)
        loop_timer_stop(attend->timer);
    else
        loop_timer_start(attend->timer, after, 0);
}

static void work(struct attend *attend)
{
    struct lane_event event;
    if (attend->is_working)
        return;
    attend->is_working = true;
    snprintf(attend->why, sizeof attend->why, "not in time");
    step(attend, (struct member_event){MEMBER_TICK});
    while (lane_poll(attend->lane, &event))
        happened(attend, &event);
    attend->is_working = false;
    plan(attend);
}

/* ---- the subscriber's calls */

void attend_up(struct attend *attend)
{
    attend->is_up = true;
    if (attend->member.state == MEMBER_BROKEN)
        return;
    say(attend, (struct session_message){.step = SESSION_STEP_HELLO,
                                         .library = (uint32_t)attend->options.nccl->version,
                                         .lists = attend->options.lists});
}

void attend_hear(struct attend *attend, const struct session_message *message)
{
    struct member_event event = {.session = message->session};
    switch (message->step) {
    case SESSION_STEP_INVITE:
        attend->bucket = message->bucket;
        event.kind = MEMBER_INVITE;
        break;
    case SESSION_STEP_BEGIN:
        attend->begin = *message;
        event.kind = MEMBER_BEGIN;
        break;
    case SESSION_STEP_ANNOUNCE:
        if (attend->member.state == MEMBER_STANDING) // a late one must not replace what is coming
            attend->announce = *message;
        event.kind = MEMBER_ANNOUNCE;
        break;
    case SESSION_STEP_ABANDON:
        event.kind = MEMBER_ABANDON;
        break;
    default: // REFUSED
        note(attend, message->why);
        return;
    }
    step(attend, event);
    work(attend);
}

void attend_lost(struct attend *attend)
{
    attend->is_up = false;
    step(attend, (struct member_event){MEMBER_LOST});
    work(attend);
}

bool attend_free(struct attend *attend)
{
    if (!attend)
        return true;
    loop_timer_free(attend->timer);
    const bool freed = lane_free(attend->lane);
    free(attend);
    return freed;
}
