/* The rules of NCCL sessions on a generator's side, without a clock, thread or library
 * (weights/broadcast/session.h has the learner's).
 *
 *     struct session_member member = {.limits = limits};
 *     struct member_actions actions = session_member_step(&member, now_ms, &event);
 *
 *     OUT -> PREPARING -> READY -> CONNECTING -> STANDING <-> RECEIVING
 *     any but OUT -> LEAVING -> OUT
 *
 * The learner decides. A generator's own deadlines are for a learner that is stopped or gone, and
 * are longer than the learner's. Any value is a plain one: no init, nothing to free. Owner: one
 * thread. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum member_state {
    MEMBER_OUT,
    MEMBER_PREPARING,
    MEMBER_READY,
    MEMBER_CONNECTING,
    MEMBER_STANDING,
    MEMBER_RECEIVING,
    MEMBER_LEAVING,
    MEMBER_BROKEN, // an abort did not return: gRPC from here on
};

struct member_limits {
    int64_t ready_ms;   // the time from READY to BEGIN
    int64_t connect_ms; // the time from BEGIN to the communicator
    int64_t carry_ms;   // the time for one version
    int64_t end_ms;     // the time to abort
};

enum member_event_kind {
    MEMBER_INVITE, // The learner's four messages. session: the one that the message names.
    MEMBER_BEGIN,
    MEMBER_ANNOUNCE,
    MEMBER_ABANDON,
    MEMBER_LOST, // The stream to the learner broke.
    MEMBER_PREPARED,
    MEMBER_UP,
    MEMBER_DONE, // The whole version came. usable: its digest is right.
    MEMBER_LANE_FAILED,
    MEMBER_ABORTED, // bytes: length of the part of the version that came.
    MEMBER_TICK,
};

struct member_event {
    enum member_event_kind kind;
    uint64_t session, bytes;
    bool usable, mine;
};

/* A set, in the order in which they are carried out. */
enum member_action {
    MEMBER_SAY_FAILED = 1 << 0,
    MEMBER_ABORT = 1 << 1,         // -> ABORTED, also where there is nothing to abort
    MEMBER_END_RECEIVING = 1 << 2, // the buffer is free; `bytes` of it are right
    MEMBER_SAY_ABANDONED = 1 << 3,
    MEMBER_PREPARE = 1 << 4,
    MEMBER_SAY_READY = 1 << 5,
    MEMBER_INIT = 1 << 6,
    MEMBER_SAY_JOINED = 1 << 7,
    MEMBER_RECEIVE = 1 << 8,
    MEMBER_SAY_RECEIVED = 1 << 9,
    MEMBER_SAY_REFUSED = 1 << 10,
};

struct member_actions {
    unsigned set;
    uint64_t session, bytes; // named in the messages to the learner
    bool mine;               // SAY_FAILED: the fault is here
};

struct session_member {
    struct member_limits limits;
    enum member_state state;
    uint64_t session, bytes;
    int64_t deadline_ms; // 0: none
    bool receiving;      // LEAVING: a version was under way
    bool asked;          // LEAVING: the learner waits for SAY_ABANDONED
    uint64_t invited;    // LEAVING: prepare for this session afterwards; 0: none
};

struct member_actions session_member_step(struct session_member *member, int64_t now_ms,
                                          const struct member_event *event);
int64_t session_member_wake(const struct session_member *member); // the next TICK; INT64_MAX: none
const char *member_state_name(enum member_state state);
