#include "weights/broadcast/session.h"
#include "base/mem.h"
#include <stdlib.h>

enum { DOUBLINGS_MAX = 6 };
enum standing { WAITING, INVITED, READY, MEMBER, SILENT };

struct peer {
    uint64_t id;
    enum standing standing;
    int rank;
    bool did;      // CONNECTING: joined; CARRYING: received
    bool answered; // ENDING
    bool carried;  // its version is a session's affair:
    uint64_t carried_session, carried_bytes;
    int strikes;
    int64_t not_before_ms; // WAITING: for an invitation
};

struct session_rules {
    struct session_limits limits;
    enum session_state state;
    uint64_t session;
    struct session_counts counts;
    int64_t deadline_ms, retry_at_ms;
    struct peer *peers; // (count)
    size_t count;
    bool did;                       // our part: as struct peer
    bool aborted;                   // ENDING
    bool failed, culprit;           // why it ends; and whether it is known who made it fail
    int failures;                   // in a row with no one to blame
    struct session_action *actions; // (queued), of which first are taken
    size_t queued, first;
};

struct session_rules *session_rules_new(const struct session_limits *limits)
{
    struct session_rules *rules = mem_new(sizeof *rules);
    rules->limits = *limits;
    rules->retry_at_ms = INT64_MIN;
    return rules;
}

/* ---- small parts */

static void act(struct session_rules *rules, struct session_action action)
{
    rules->actions = mem_grow(rules->actions, rules->queued + 1, sizeof *rules->actions);
    rules->actions[rules->queued++] = action;
}

static struct peer *find(const struct session_rules *rules, uint64_t id)
{
    for (size_t i = 0; i < rules->count; i++)
        if (rules->peers[i].id == id)
            return &rules->peers[i];
    return NULL;
}

static size_t standing(const struct session_rules *rules, enum standing which)
{
    size_t count = 0;
    for (size_t i = 0; i < rules->count; i++)
        count += rules->peers[i].standing == which;
    return count;
}

static void enter(struct session_rules *rules, enum session_state state, int64_t deadline_ms)
{
    rules->state = state;
    rules->deadline_ms = deadline_ms;
}

static int64_t pause_ms(const struct session_rules *rules, int times)
{
    const int doublings = times - 1 < DOUBLINGS_MAX ? times - 1 : DOUBLINGS_MAX;
    return rules->limits.retry_ms << doublings;
}

static void strike(struct session_rules *rules, struct peer *peer, int64_t now)
{
    peer->strikes++;
    peer->not_before_ms = now + pause_ms(rules, peer->strikes);
}

static void release(struct session_rules *rules, struct peer *peer, uint64_t bytes)
{
    if (!peer->carried)
        return;
    peer->carried = false;
    if (bytes > peer->carried_bytes)
        bytes = 0; // a claim that cannot be
    act(rules, (struct session_action){SESSION_DO_RELEASE, peer->id, bytes, 0, 0});
}

/* ---- the end of a session */

/* Those who were in it wait for the next; who to blame waits longer. */
static void judge(struct session_rules *rules, int64_t now)
{
    const bool nobody = rules->failed && !rules->culprit;
    for (size_t i = 0; i < rules->count; i++) {
        struct peer *peer = &rules->peers[i];
        if (peer->standing != MEMBER && peer->standing != READY)
            continue;
        if (peer->not_before_ms <= now)
            peer->not_before_ms = now;
        if (peer->standing == MEMBER && !peer->answered) {
            peer->standing = SILENT;
            strike(rules, peer, now);
            continue;
        }
        if (nobody && peer->standing == MEMBER && !peer->did)
            strike(rules, peer, now);
        peer->standing = WAITING;
    }
    rules->failures = nobody ? rules->failures + 1 : 0;
    rules->retry_at_ms = nobody ? now + pause_ms(rules, rules->failures) : now;
}

/* ENDING is over once all have answered and we have aborted, or by force at its deadline. */
static void try_finish(struct session_rules *rules, int64_t now, bool force)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct peer *peer = &rules->peers[i];
        if (peer->standing != MEMBER || peer->answered)
            continue;
        if (!force)
            return;
        rules->culprit = true;
    }
    if (!rules->aborted && !force)
        return;
    if (!rules->aborted) {
        enter(rules, SESSION_BROKEN, INT64_MAX);
        return;
    }
    judge(rules, now);
    enter(rules, SESSION_IDLE, INT64_MAX);
}

static void end(struct session_rules *rules, int64_t now, bool failed)
{
    rules->failed = failed;
    rules->counts.failed += failed;
    rules->aborted = false;
    for (size_t i = 0; i < rules->count; i++) {
        rules->peers[i].answered = false;
        if (rules->peers[i].standing == MEMBER)
            act(rules, (struct session_action){SESSION_DO_ABANDON, rules->peers[i].id, 0, 0, 0});
    }
    act(rules, (struct session_action){SESSION_DO_ABORT, 0, 0, 0, 0});
    enter(rules, SESSION_ENDING, now + rules->limits.end_ms);
}

/* ---- its beginning */

static bool due(const struct session_rules *rules, int64_t now)
{
    for (size_t i = 0; i < rules->count; i++)
        if (rules->peers[i].standing == WAITING && rules->peers[i].not_before_ms <= now)
            return now >= rules->retry_at_ms;
    return false;
}

/* Who comes soon after the one that is due is invited with it. */
static void gather(struct session_rules *rules, int64_t now)
{
    rules->session++;
    rules->failed = rules->culprit = false;
    enter(rules, SESSION_GATHERING, now + rules->limits.gather_ms);
    for (size_t i = 0; i < rules->count; i++) {
        struct peer *peer = &rules->peers[i];
        if (peer->standing != WAITING || peer->not_before_ms > now + rules->limits.settle_ms)
            continue;
        peer->standing = INVITED;
        act(rules, (struct session_action){SESSION_DO_INVITE, peer->id, 0, 0, 0});
    }
}

static void try_gathered(struct session_rules *rules, int64_t now)
{
    if (standing(rules, INVITED))
        return;
    if (!standing(rules, READY)) {
        enter(rules, SESSION_IDLE, INT64_MAX);
        return;
    }
    enter(rules, SESSION_MINTING, now + rules->limits.connect_ms);
    act(rules, (struct session_action){SESSION_DO_MINT, 0, 0, 0, 0});
}

/* The id is used in every case, by us at least: an unused one keeps its listening thread. */
static void begin(struct session_rules *rules, int64_t now)
{
    const int ranks = 1 + (int)standing(rules, READY);
    int rank = 0;
    rules->did = false;
    enter(rules, SESSION_CONNECTING, now + rules->limits.connect_ms);
    for (size_t i = 0; i < rules->count; i++) {
        struct peer *peer = &rules->peers[i];
        if (peer->standing != READY)
            continue;
        peer->standing = MEMBER;
        peer->did = false;
        peer->rank = ++rank;
        act(rules, (struct session_action){SESSION_DO_BEGIN, peer->id, 0, rank, ranks});
    }
    act(rules, (struct session_action){SESSION_DO_INIT, 0, 0, 0, ranks});
    if (ranks == 1)
        end(rules, now, false);
}

/* All have joined, or received: the session stands. */
static void try_stand(struct session_rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        if (rules->peers[i].standing == MEMBER && !rules->peers[i].did)
            return;
    if (!rules->did)
        return;
    rules->counts.stood += rules->state == SESSION_CONNECTING;
    if (rules->state == SESSION_CARRYING) {
        rules->counts.carried++;
        rules->failures = 0;
        for (size_t i = 0; i < rules->count; i++)
            if (rules->peers[i].standing == MEMBER)
                rules->peers[i].strikes = 0;
    }
    enter(rules, SESSION_STANDING, INT64_MAX);
}

static void publish(struct session_rules *rules, int64_t now, uint64_t bytes)
{
    if (rules->state != SESSION_STANDING)
        return;
    rules->did = false;
    for (size_t i = 0; i < rules->count; i++) {
        struct peer *peer = &rules->peers[i];
        if (peer->standing != MEMBER)
            continue;
        peer->did = false;
        peer->carried = true;
        peer->carried_session = rules->session;
        peer->carried_bytes = bytes;
        act(rules, (struct session_action){SESSION_DO_ANNOUNCE, peer->id, bytes, 0, 0});
    }
    act(rules, (struct session_action){SESSION_DO_CARRY, 0, bytes, 0, 0});
    enter(rules, SESSION_CARRYING, now + rules->limits.carry_ms);
}

/* ---- peers */

static void join(struct session_rules *rules, int64_t now, uint64_t id)
{
    if (find(rules, id))
        return;
    rules->peers = mem_grow(rules->peers, rules->count + 1, sizeof *rules->peers);
    rules->peers[rules->count++] =
        (struct peer){.id = id, .not_before_ms = now + rules->limits.settle_ms};
}

static bool is_running(const struct session_rules *rules)
{
    return rules->state == SESSION_CONNECTING || rules->state == SESSION_STANDING ||
           rules->state == SESSION_CARRYING;
}

static void leave(struct session_rules *rules, int64_t now, struct peer *peer)
{
    const bool was_member = peer->standing == MEMBER;
    *peer = rules->peers[--rules->count];
    if (was_member)
        rules->culprit = true;
    if (rules->state == SESSION_GATHERING)
        try_gathered(rules, now);
    else if (rules->state == SESSION_ENDING)
        try_finish(rules, now, false);
    else if (was_member && is_running(rules))
        end(rules, now, true);
}

static void peer_failed(struct session_rules *rules, int64_t now, struct peer *peer, bool mine)
{
    if (peer->standing == INVITED) { // it cannot take part
        peer->standing = WAITING;
        strike(rules, peer, now);
        try_gathered(rules, now);
        return;
    }
    if (peer->standing != MEMBER)
        return;
    if (mine) {
        rules->culprit = true;
        strike(rules, peer, now);
    }
    if (is_running(rules))
        end(rules, now, true);
}

static void peer_received(struct session_rules *rules, struct peer *peer, bool usable)
{
    const bool was = peer->carried;
    release(rules, peer, usable ? peer->carried_bytes : 0);
    if (!was || peer->standing != MEMBER || rules->state != SESSION_CARRYING)
        return;
    peer->did = true;
    try_stand(rules);
}

/* It would not answer to a new session if it were still at an old one's version. */
static void peer_ready(struct session_rules *rules, int64_t now, struct peer *peer)
{
    if (peer->standing != INVITED || rules->state != SESSION_GATHERING)
        return;
    release(rules, peer, 0);
    peer->standing = READY;
    try_gathered(rules, now);
}

static void peer_joined(struct session_rules *rules, struct peer *peer)
{
    if (peer->standing != MEMBER || rules->state != SESSION_CONNECTING)
        return;
    peer->did = true;
    try_stand(rules);
}

static void peer_abandoned(struct session_rules *rules, int64_t now, struct peer *peer)
{
    if (peer->standing != MEMBER || rules->state != SESSION_ENDING)
        return;
    peer->answered = true;
    try_finish(rules, now, false);
}

/* What ends a version for a peer counts whenever it comes: until then its buffer may be written to
 * over there. */
static void hear_of_version(struct session_rules *rules, struct peer *peer,
                            const struct session_event *event)
{
    if (!peer->carried || event->session != peer->carried_session)
        return;
    if (event->kind == SESSION_ABANDONED)
        release(rules, peer, event->bytes);
    else if (event->kind == SESSION_RECEIVED || event->kind == SESSION_REFUSED)
        peer_received(rules, peer, event->kind == SESSION_RECEIVED);
}

static void hear(struct session_rules *rules, int64_t now, const struct session_event *event)
{
    struct peer *peer = find(rules, event->peer);
    if (!peer)
        return;
    if (peer->standing == SILENT)
        peer->standing = WAITING; // it speaks again
    hear_of_version(rules, peer, event);
    if (event->kind == SESSION_LEAVE)
        leave(rules, now, peer);
    else if (event->session != rules->session)
        return;
    else if (event->kind == SESSION_READY)
        peer_ready(rules, now, peer);
    else if (event->kind == SESSION_JOINED)
        peer_joined(rules, peer);
    else if (event->kind == SESSION_ABANDONED)
        peer_abandoned(rules, now, peer);
    else if (event->kind == SESSION_FAILED)
        peer_failed(rules, now, peer, event->mine);
}

/* ---- time, and our own part */

static void tick(struct session_rules *rules, int64_t now)
{
    if (now >= rules->deadline_ms && rules->state == SESSION_GATHERING) {
        for (size_t i = 0; i < rules->count; i++)
            if (rules->peers[i].standing == INVITED) {
                rules->peers[i].standing = SILENT;
                strike(rules, &rules->peers[i], now);
            }
        try_gathered(rules, now);
    } else if (now >= rules->deadline_ms && rules->state == SESSION_ENDING) {
        try_finish(rules, now, true);
    } else if (now >= rules->deadline_ms &&
               (is_running(rules) || rules->state == SESSION_MINTING)) {
        end(rules, now, true);
    }
    if (rules->state == SESSION_IDLE && due(rules, now))
        gather(rules, now);
    else if (rules->state == SESSION_STANDING && due(rules, now))
        end(rules, now, false);
}

static void own(struct session_rules *rules, int64_t now, enum session_event_kind kind)
{
    if (kind == SESSION_MINTED && rules->state == SESSION_MINTING) {
        begin(rules, now);
    } else if ((kind == SESSION_UP && rules->state == SESSION_CONNECTING) ||
               (kind == SESSION_SENT && rules->state == SESSION_CARRYING)) {
        rules->did = true;
        try_stand(rules);
    } else if (kind == SESSION_LANE_FAILED &&
               (is_running(rules) || rules->state == SESSION_MINTING)) {
        end(rules, now, true);
    } else if (kind == SESSION_ABORTED && rules->state == SESSION_ENDING) {
        rules->aborted = true;
        try_finish(rules, now, false);
    }
}

void session_rules_step(struct session_rules *rules, int64_t now_ms,
                        const struct session_event *event)
{
    if (event->kind == SESSION_JOIN)
        join(rules, now_ms, event->peer);
    else if (event->kind <= SESSION_ABANDONED)
        hear(rules, now_ms, event);
    else if (event->kind == SESSION_PUBLISH)
        publish(rules, now_ms, event->bytes);
    else if (event->kind != SESSION_TICK)
        own(rules, now_ms, event->kind);
    tick(rules, now_ms);
}

/* ---- what others ask */

bool session_rules_next(struct session_rules *rules, struct session_action *ret)
{
    if (rules->first == rules->queued) {
        rules->first = rules->queued = 0;
        return false;
    }
    *ret = rules->actions[rules->first++];
    return true;
}

int64_t session_rules_wake(const struct session_rules *rules)
{
    if (rules->state != SESSION_IDLE && rules->state != SESSION_STANDING)
        return rules->deadline_ms;
    int64_t wake = INT64_MAX;
    for (size_t i = 0; i < rules->count; i++)
        if (rules->peers[i].standing == WAITING && rules->peers[i].not_before_ms < wake)
            wake = rules->peers[i].not_before_ms;
    return wake > rules->retry_at_ms ? wake : rules->retry_at_ms;
}

enum session_state session_rules_state(const struct session_rules *rules)
{
    return rules->state;
}

const char *session_state_name(enum session_state state)
{
    static const char *const names[] = {"idle",     "gathering", "minting", "connecting",
                                        "standing", "carrying",  "ending",  "broken"};
    return names[state];
}

uint64_t session_rules_session(const struct session_rules *rules)
{
    return rules->session;
}

struct session_counts session_rules_counts(const struct session_rules *rules)
{
    return rules->counts;
}

size_t session_rules_members(const struct session_rules *rules)
{
    return standing(rules, MEMBER);
}

bool session_rules_is_member(const struct session_rules *rules, uint64_t peer)
{
    const struct peer *found = find(rules, peer);
    return found && found->standing == MEMBER;
}

bool session_rules_carries(const struct session_rules *rules, uint64_t peer)
{
    const struct peer *found = find(rules, peer);
    return found && found->carried;
}

void session_rules_free(struct session_rules *rules)
{
    if (!rules)
        return;
    free(rules->peers);
    free(rules->actions);
    free(rules);
}
