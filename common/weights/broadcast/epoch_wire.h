/* What learner and generators say to each other about NCCL epochs, as a plain struct; it travels on
 * Weights.Subscribe.
 *
 *     SCOPED(rpc_message) message = epoch_message_down(&(struct epoch_message){.step = EPOCH_STEP_ABANDON, .epoch = 7});
 *     TRY(epoch_message_decode_down(data, len, &heard));       -- NOT_FOUND: it is about something else
 *
 * down: learner to generator (WeightsMessage.epoch); up: SubscribeRequest.epoch. Any thread. */
#pragma once
#include "base/err.h"
#include "gpu/nccl.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_message;

enum epoch_step {
    EPOCH_STEP_HELLO = 1,
    EPOCH_STEP_REFUSED,
    EPOCH_STEP_INVITE,
    EPOCH_STEP_READY,
    EPOCH_STEP_BEGIN,
    EPOCH_STEP_JOINED,
    EPOCH_STEP_ANNOUNCE,
    EPOCH_STEP_RECEIVED,
    EPOCH_STEP_UNUSABLE,
    EPOCH_STEP_FAILED,
    EPOCH_STEP_ABANDON,
    EPOCH_STEP_ABANDONED,
};

/* Longer messages are about something else. */
enum { EPOCH_MESSAGE_MAX = 2048 };
enum { EPOCH_WHY = 256, EPOCH_RANKS_MAX = 4096, EPOCH_BUCKET_MAX = 1 << 30 };

/* Which fields a step has: proto/weights.proto. The others are 0. */
struct epoch_message {
    enum epoch_step step;
    uint64_t epoch;
    uint32_t library;
    uint64_t bucket; // INVITE: 1 to EPOCH_BUCKET_MAX
    int rank, ranks; // BEGIN: 0 < rank < ranks <= EPOCH_RANKS_MAX
    struct nccl_id id;
    uint32_t lineage;
    uint64_t version, bytes;
    bool mine;
    char why[EPOCH_WHY];
};

struct rpc_message *epoch_message_down(const struct epoch_message *message);
struct rpc_message *epoch_message_up(const struct epoch_message *message);

/* INVALID: malformed, a step of the other direction, a number out of its range; NOT_FOUND: not
 * about an epoch. */
err_t epoch_message_decode_down(const uint8_t *data, size_t len, struct epoch_message *ret);
err_t epoch_message_decode_up(const uint8_t *data, size_t len, struct epoch_message *ret);
