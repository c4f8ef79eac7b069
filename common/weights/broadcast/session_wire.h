/* Messages between learner and generators about NCCL sessions, as a plain struct. Messages travel
 * on Weights.Subscribe, where the wire calls a session epoch.
 *
 *     const struct session_message abandon = {.step = SESSION_STEP_ABANDON, .session = 7};
 *     SCOPED(rpc_message) message = session_message_down(&abandon);
 *     TRY(session_message_decode_down(data, len, &heard));       -- NOT_FOUND: not about a session
 *
 * down: learner to generator (WeightsMessage.epoch); up: SubscribeRequest.epoch. Any thread. */
#pragma once
#include "base/err.h"
#include "gpu/nccl.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_message;

enum session_step {
    SESSION_STEP_HELLO = 1,
    SESSION_STEP_REFUSED,
    SESSION_STEP_INVITE,
    SESSION_STEP_READY,
    SESSION_STEP_BEGIN,
    SESSION_STEP_JOINED,
    SESSION_STEP_ANNOUNCE,
    SESSION_STEP_RECEIVED,
    SESSION_STEP_UNUSABLE,
    SESSION_STEP_FAILED,
    SESSION_STEP_ABANDON,
    SESSION_STEP_ABANDONED,
};

/* How far a generator takes lists of changes (codec/changelist.h). */
enum { SESSION_LISTS_NONE, SESSION_LISTS_READ, SESSION_LISTS_DEVICE };

/* Longer messages are about something else. */
enum { SESSION_MESSAGE_MAX = 2048 };
enum { SESSION_WHY = 256, SESSION_RANKS_MAX = 4096, SESSION_BUCKET_MAX = 1 << 30 };

/* Which fields a step has: proto/weights.proto. The others are 0. */
struct session_message {
    enum session_step step;
    uint64_t session;
    uint32_t library;
    unsigned lists;  // HELLO: 0 to SESSION_LISTS_DEVICE
    bool list;       // ANNOUNCE
    uint64_t bucket; // INVITE: 1 to SESSION_BUCKET_MAX
    int rank, ranks; // BEGIN: 0 < rank < ranks <= SESSION_RANKS_MAX
    struct nccl_id id;
    uint32_t lineage;
    uint64_t version, bytes;
    bool mine;
    char why[SESSION_WHY];
};

struct rpc_message *session_message_down(const struct session_message *message);
struct rpc_message *session_message_up(const struct session_message *message);

/* INVALID: malformed, a step of the other direction, a number out of its range; NOT_FOUND: not
 * about a session. */
err_t session_message_decode_down(const uint8_t *data, size_t len, struct session_message *ret);
err_t session_message_decode_up(const uint8_t *data, size_t len, struct session_message *ret);
