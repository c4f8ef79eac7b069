/* The rules of NCCL sessions on the learner's side, without a clock, thread or library: events in,
 * actions out.
 *
 *     SCOPED(session_rules) rules = session_rules_new(&limits);
 *     const struct session_event ready = {SESSION_READY, .peer = 3, .session = 7};
 *     session_rules_step(rules, now_ms, &ready);
 *     while (session_rules_next(rules, &action))
 *         carry_out(&action);
 *     wait until session_rules_wake(rules), then step SESSION_TICK
 *
 * A session is one NCCL communicator. The learner is rank 0; the members are the generators that
 * said READY to its invitation in time. A communicator cannot grow, and is not used once a member
 * is lost. A generator that comes enters the next session; one that leaves ends this one. The
 * unique id is minted when all have answered, so nobody waits for a generator that never comes.
 *
 *     IDLE -> GATHERING -> MINTING -> CONNECTING -> STANDING <-> CARRYING
 *     any of them -> ENDING -> IDLE (-> GATHERING at once, if there is someone)
 *
 * Versions are published while STANDING; in every other state they go over gRPC at once. Only
 * CARRYING can delay a version: by carry_ms, and by end_ms to hear how far each member came. A
 * member that does not answer by then is out until it speaks again, and says then how much it has.
 * A failed member waits retry_ms for its next session, twice as long after each further failure.
 * Where all answer and none is to blame, the members that had not received the version wait as
 * long. Owner: one thread. */
#pragma once
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum session_state {
    SESSION_IDLE,
    SESSION_GATHERING,
    SESSION_MINTING,
    SESSION_CONNECTING,
    SESSION_STANDING,
    SESSION_CARRYING,
    SESSION_ENDING,
    SESSION_BROKEN, // an abort did not return: gRPC from here on
};

struct session_limits {
    int64_t settle_ms;  // the wait for more generators after one came
    int64_t gather_ms;  // the time for answers to an invitation
    int64_t connect_ms; // the time from the last answer to the communicator
    int64_t carry_ms;   // the time for one version
    int64_t end_ms;     // the time to abort, and for the answers to that
    int64_t retry_ms;   // a failed member's wait for its next session; doubles, up to 64 times it
};

enum session_event_kind {
    /* Events of a peer, whose number is `peer`. */
    SESSION_JOIN, // The peer takes part from the next session on.
    SESSION_LEAVE,
    SESSION_READY,
    SESSION_JOINED,
    SESSION_RECEIVED,
    SESSION_REFUSED,   // The peer took part, but its version is wrong.
    SESSION_FAILED,    // The peer's part failed. mine: the fault is the peer's own.
    SESSION_ABANDONED, // The peer has aborted. bytes: length of the part that it received.
    /* Events of the learner's own part. */
    SESSION_MINTED,
    SESSION_UP,
    SESSION_SENT,
    SESSION_LANE_FAILED,
    SESSION_ABORTED,
    SESSION_PUBLISH, // bytes: length of the version
    SESSION_TICK,
};

struct session_event {
    enum session_event_kind kind;
    uint64_t peer;
    /* The session that a peer's message names. A message of another session is a sign of life
     * alone. */
    uint64_t session;
    uint64_t bytes;
    bool mine;
};

enum session_action_kind {
    SESSION_DO_INVITE,   // peer
    SESSION_DO_MINT,     // -> MINTED
    SESSION_DO_BEGIN,    // peer, rank, ranks: with the id
    SESSION_DO_INIT,     // ranks -> UP
    SESSION_DO_ANNOUNCE, // peer, bytes: length of the version
    SESSION_DO_CARRY,    // -> SENT
    SESSION_DO_ABANDON,  // peer
    SESSION_DO_ABORT,    // -> ABORTED, also where there is nothing to abort
    SESSION_DO_RELEASE,  // peer has the first `bytes` bytes of the version: gRPC sends the rest
};

struct session_action {
    enum session_action_kind kind;
    uint64_t peer, bytes;
    int rank, ranks;
};

struct session_rules;
struct session_rules *session_rules_new(const struct session_limits *limits);
void session_rules_step(struct session_rules *rules, int64_t now_ms,
                        const struct session_event *event);
bool session_rules_next(struct session_rules *rules, struct session_action *ret);

/* When the next TICK is due; INT64_MAX: not before another event. */
int64_t session_rules_wake(const struct session_rules *rules);

enum session_state session_rules_state(const struct session_rules *rules);
const char *session_state_name(enum session_state state);
uint64_t session_rules_session(const struct session_rules *rules); // number of the latest session
size_t session_rules_members(const struct session_rules *rules);
struct session_counts {
    uint64_t stood;   // sessions that stood
    uint64_t failed;  // sessions of these that a fault ended
    uint64_t carried; // versions that all members received
};
struct session_counts session_rules_counts(const struct session_rules *rules);

/* Whether this peer is a member of the present session. */
bool session_rules_is_member(const struct session_rules *rules, uint64_t peer);

/* Whether this peer gets the version under way by the session. The stream sends it nothing before
 * its RELEASE. */
bool session_rules_carries(const struct session_rules *rules, uint64_t peer);
void session_rules_free(struct session_rules *rules);
DEFINE_SCOPED(session_rules)
