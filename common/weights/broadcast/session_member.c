#include "weights/broadcast/session_member.h"

static void enter(struct session_member *member, enum member_state state, int64_t deadline_ms)
{
    member->state = state;
    member->deadline_ms = deadline_ms;
}

static bool has_comm(const struct session_member *member)
{
    return member->state == MEMBER_CONNECTING || member->state == MEMBER_STANDING ||
           member->state == MEMBER_RECEIVING;
}

/* The lane may be busy in every state but OUT; what it then still reports comes before its
 * ABORTED. */
static unsigned leave(struct session_member *member, int64_t now)
{
    member->receiving = member->state == MEMBER_RECEIVING;
    member->asked = false;
    member->invited = 0;
    member->bytes = 0;
    enter(member, MEMBER_LEAVING, now + member->limits.end_ms);
    return MEMBER_ABORT;
}

static unsigned invite(struct session_member *member, int64_t now, uint64_t session)
{
    if (member->state == MEMBER_BROKEN)
        return 0;
    if (member->state != MEMBER_OUT) { // the learner gave up what we are in
        const unsigned set = member->state == MEMBER_LEAVING ? 0 : leave(member, now);
        member->invited = session;
        return set;
    }
    member->session = session;
    enter(member, MEMBER_PREPARING, now + member->limits.ready_ms);
    return MEMBER_PREPARE;
}

static unsigned abandon(struct session_member *member, int64_t now)
{
    if (member->state == MEMBER_BROKEN)
        return 0;
    if (member->state == MEMBER_OUT)
        return MEMBER_SAY_ABANDONED;
    const unsigned set = member->state == MEMBER_LEAVING ? 0 : leave(member, now);
    member->asked = true;
    return set;
}

static unsigned aborted(struct session_member *member, int64_t now, uint64_t bytes)
{
    if (member->state != MEMBER_LEAVING)
        return 0;
    unsigned set = 0;
    member->bytes = member->receiving ? bytes : 0;
    if (member->receiving)
        set |= MEMBER_END_RECEIVING;
    if (member->asked)
        set |= MEMBER_SAY_ABANDONED;
    member->receiving = member->asked = false;
    enter(member, MEMBER_OUT, 0);
    if (member->invited)
        set |= invite(member, now, member->invited);
    return set;
}

static unsigned failed(struct session_member *member, int64_t now)
{
    if (member->state != MEMBER_PREPARING && !has_comm(member))
        return 0;
    return MEMBER_SAY_FAILED | leave(member, now);
}

static unsigned tick(struct session_member *member, int64_t now)
{
    if (!member->deadline_ms || now < member->deadline_ms)
        return 0;
    if (member->state == MEMBER_LEAVING) { // what is still written to cannot be given back
        enter(member, MEMBER_BROKEN, 0);
        return 0;
    }
    return has_comm(member) ? failed(member, now) : leave(member, now);
}

static unsigned hear(struct session_member *member, int64_t now, const struct member_event *event)
{
    if (event->kind == MEMBER_INVITE)
        return invite(member, now, event->session);
    if (event->kind == MEMBER_ABANDON && event->session == member->session)
        return abandon(member, now);
    if (event->session != member->session)
        return 0;
    if (event->kind == MEMBER_BEGIN && member->state == MEMBER_READY) {
        enter(member, MEMBER_CONNECTING, now + member->limits.connect_ms);
        return MEMBER_INIT;
    }
    if (event->kind == MEMBER_ANNOUNCE && member->state == MEMBER_STANDING) {
        enter(member, MEMBER_RECEIVING, now + member->limits.carry_ms);
        return MEMBER_RECEIVE;
    }
    return 0; // we left meanwhile, and said so
}

static unsigned lane(struct session_member *member, int64_t now, const struct member_event *event)
{
    if (event->kind == MEMBER_PREPARED && member->state == MEMBER_PREPARING) {
        enter(member, MEMBER_READY, now + member->limits.ready_ms);
        return MEMBER_SAY_READY;
    }
    if (event->kind == MEMBER_UP && member->state == MEMBER_CONNECTING) {
        enter(member, MEMBER_STANDING, 0);
        return MEMBER_SAY_JOINED;
    }
    if (event->kind == MEMBER_DONE && member->state == MEMBER_RECEIVING) {
        enter(member, MEMBER_STANDING, 0);
        return event->usable ? MEMBER_SAY_RECEIVED : MEMBER_SAY_REFUSED;
    }
    if (event->kind == MEMBER_LANE_FAILED)
        return failed(member, now);
    if (event->kind == MEMBER_ABORTED)
        return aborted(member, now, event->bytes);
    return 0;
}

static unsigned lost(struct session_member *member, int64_t now)
{
    member->asked = false;
    member->invited = 0;
    if (member->state == MEMBER_OUT || member->state == MEMBER_LEAVING ||
        member->state == MEMBER_BROKEN)
        return 0;
    return leave(member, now);
}

struct member_actions session_member_step(struct session_member *member, int64_t now_ms,
                                          const struct member_event *event)
{
    const uint64_t session = member->session;
    unsigned set;
    if (event->kind <= MEMBER_ABANDON)
        set = hear(member, now_ms, event);
    else if (event->kind == MEMBER_LOST)
        set = lost(member, now_ms);
    else if (event->kind == MEMBER_TICK)
        set = tick(member, now_ms);
    else
        set = lane(member, now_ms, event);
    const bool old = set & (MEMBER_SAY_ABANDONED | MEMBER_SAY_FAILED | MEMBER_END_RECEIVING);
    return (struct member_actions){set, old ? session : member->session, member->bytes,
                                   event->mine};
}

int64_t session_member_wake(const struct session_member *member)
{
    return member->deadline_ms ? member->deadline_ms : INT64_MAX;
}

const char *member_state_name(enum member_state state)
{
    static const char *const names[] = {"out",      "preparing", "ready",   "connecting",
                                        "standing", "receiving", "leaving", "broken"};
    return names[state];
}
