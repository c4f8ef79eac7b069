/* The rules of NCCL epochs on the learner's side, without a clock, thread or library: events in,
 * actions out.
 *
 *     SCOPED(epoch_rules) rules = epoch_rules_new(&limits);
 *     epoch_rules_step(rules, now_ms, &(struct epoch_event){EPOCH_READY, .peer = 3, .epoch = 7});
 *     while (epoch_rules_next(rules, &action))
 *         carry_out(&action);
 *     wait until epoch_rules_wake(rules), then step EPOCH_TICK
 *
 * An epoch is one communicator: the learner is rank 0, its members the generators that said READY
 * to its invitation in time. A NCCL communicator cannot grow and must not be used once a member is
 * lost; so whoever comes enters the next epoch, and whoever leaves ends this one. The unique id is
 * minted when all have answered: nobody then waits for one who never comes.
 *
 *     IDLE -> GATHERING -> MINTING -> CONNECTING -> STANDING <-> CARRYING
 *                                          any of them -> ENDING -> IDLE (-> GATHERING at once, if there is someone)
 *
 * Versions are published while STANDING; in every other state they go over gRPC at once, so only
 * CARRYING can delay one: by carry_ms and, to hear how far each member came, end_ms. A member that
 * does not answer by then is out until it speaks again (and says then what it has of the version),
 * and waits retry_ms, twice as long each time. Where all answer and none is to blame, those that
 * had not received wait so. Owner: one thread. */
#pragma once
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum epoch_state {
    EPOCH_IDLE,
    EPOCH_GATHERING,
    EPOCH_MINTING,
    EPOCH_CONNECTING,
    EPOCH_STANDING,
    EPOCH_CARRYING,
    EPOCH_ENDING,
    EPOCH_BROKEN, // an abort did not return: gRPC from here on
};

struct epoch_limits {
    int64_t settle_ms;  // after someone came, for others to come
    int64_t gather_ms;  // to answer an invitation
    int64_t connect_ms; // from the last answer to the communicator
    int64_t carry_ms;   // for one version
    int64_t end_ms;     // to abort, and to answer that
    int64_t retry_ms;   // before the next attempt with who failed; doubles up to 64 times
};

enum epoch_event_kind {
    /* A peer: peer is its number. */
    EPOCH_JOIN, // takes part from the next epoch on
    EPOCH_LEAVE,
    EPOCH_READY,
    EPOCH_JOINED,
    EPOCH_RECEIVED,
    EPOCH_REFUSED,   // it took part, and cannot use what came
    EPOCH_FAILED,    // mine: at its own place
    EPOCH_ABANDONED, // it has aborted; bytes: how much of the version it has, from the beginning
    /* Our own part. */
    EPOCH_MINTED,
    EPOCH_UP,
    EPOCH_SENT,
    EPOCH_LANE_FAILED,
    EPOCH_ABORTED,
    EPOCH_PUBLISH, // bytes: of the version
    EPOCH_TICK,
};

struct epoch_event {
    enum epoch_event_kind kind;
    uint64_t peer, epoch,
        bytes; // epoch: what a peer's message names; those of another are signs of life alone
    bool mine;
};

enum epoch_action_kind {
    EPOCH_DO_INVITE,   // peer
    EPOCH_DO_MINT,     // -> MINTED
    EPOCH_DO_BEGIN,    // peer, rank, ranks: with the id
    EPOCH_DO_INIT,     // ranks -> UP
    EPOCH_DO_ANNOUNCE, // peer: a version of bytes
    EPOCH_DO_CARRY,    // -> SENT
    EPOCH_DO_ABANDON,  // peer
    EPOCH_DO_ABORT,    // -> ABORTED, also where there is nothing to abort
    EPOCH_DO_RELEASE,  // peer has so many bytes of the version: the rest goes over gRPC
};

struct epoch_action {
    enum epoch_action_kind kind;
    uint64_t peer, bytes;
    int rank, ranks;
};

struct epoch_rules;
struct epoch_rules *epoch_rules_new(const struct epoch_limits *limits);
void epoch_rules_step(struct epoch_rules *rules, int64_t now_ms, const struct epoch_event *event);
bool epoch_rules_next(struct epoch_rules *rules, struct epoch_action *ret);

/* When the next TICK is due; INT64_MAX: not before another event. */
int64_t epoch_rules_wake(const struct epoch_rules *rules);

enum epoch_state epoch_rules_state(const struct epoch_rules *rules);
const char *epoch_state_name(enum epoch_state state);
uint64_t epoch_rules_epoch(const struct epoch_rules *rules); // its number: the latest one's
size_t epoch_rules_members(const struct epoch_rules *rules);
struct epoch_counts {
    uint64_t stood, failed,
        carried; // epochs; of these, ended by a fault; versions that all members got
};
struct epoch_counts epoch_rules_counts(const struct epoch_rules *rules);

bool epoch_rules_is_member(const struct epoch_rules *rules, uint64_t peer); // of the epoch there is

/* Whether this peer gets the version under way by the epoch: nothing of it is to be sent until its
 * RELEASE. */
bool epoch_rules_carries(const struct epoch_rules *rules, uint64_t peer);
void epoch_rules_free(struct epoch_rules *rules);
DEFINE_SCOPED(epoch_rules)
