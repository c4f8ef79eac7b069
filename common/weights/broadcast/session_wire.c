#include "weights/broadcast/session_wire.h"
#include "rpc/message.h"
#include "weights.pb-c.h"
#include "wire/unpack.h"
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 48 };

/* Steps that the learner says; the others are the generators'. */
static const unsigned DOWN = 1u << SESSION_STEP_REFUSED | 1u << SESSION_STEP_INVITE |
                             1u << SESSION_STEP_BEGIN | 1u << SESSION_STEP_ANNOUNCE |
                             1u << SESSION_STEP_ABANDON;

static void fill(const struct session_message *message, Rlhfd__V1__Epoch *ret)
{
    rlhfd__v1__epoch__init(ret);
    ret->step = (Rlhfd__V1__EpochStep)message->step;
    ret->epoch = message->session;
    ret->library = message->library;
    ret->lists = message->lists;
    ret->list = message->list;
    ret->bucket = message->bucket;
    ret->rank = (uint32_t)message->rank;
    ret->ranks = (uint32_t)message->ranks;
    if (message->step == SESSION_STEP_BEGIN)
        ret->id = (ProtobufCBinaryData){NCCL_ID_BYTES, (uint8_t *)message->id.byte};
    ret->lineage = message->lineage;
    ret->version = message->version;
    ret->bytes = message->bytes;
    ret->mine = message->mine;
    if (wire_text_ok(message->why, strlen(message->why))) // a character may have been cut in two
        ret->why = (char *)message->why;
}

struct rpc_message *session_message_down(const struct session_message *message)
{
    Rlhfd__V1__Epoch pb;
    Rlhfd__V1__WeightsMessage outer;
    rlhfd__v1__weights_message__init(&outer);
    fill(message, &pb);
    outer.epoch = &pb;
    return rpc_message_pack(&outer.base);
}

struct rpc_message *session_message_up(const struct session_message *message)
{
    Rlhfd__V1__Epoch pb;
    Rlhfd__V1__SubscribeRequest outer;
    rlhfd__v1__subscribe_request__init(&outer);
    fill(message, &pb);
    outer.epoch = &pb;
    return rpc_message_pack(&outer.base);
}

static err_t check_begin(const Rlhfd__V1__Epoch *pb)
{
    if (pb->ranks < 2 || pb->ranks > SESSION_RANKS_MAX || pb->rank < 1 || pb->rank >= pb->ranks)
        return err_new(ERR_INVALID,
                       "session: rank %u of %u; allowed: 1 to ranks - 1, of 2 to %d ranks",
                       pb->rank, pb->ranks, SESSION_RANKS_MAX);
    if (pb->id.len != NCCL_ID_BYTES)
        return err_new(ERR_INVALID, "session: an id of %zu bytes; it must have %d", pb->id.len,
                       NCCL_ID_BYTES);
    return OK;
}

static err_t take(const Rlhfd__V1__Epoch *pb, bool down, struct session_message *ret)
{
    if (!pb)
        return err_new(ERR_NOT_FOUND, "not about a session");
    const enum session_step step = (enum session_step)pb->step;
    if (step < SESSION_STEP_HELLO || step > SESSION_STEP_ABANDONED ||
        ((DOWN >> step & 1) != 0) != down)
        return err_new(ERR_INVALID, "session: step %d is not one of the sender's", (int)pb->step);
    if (step == SESSION_STEP_INVITE && (pb->bucket < 1 || pb->bucket > SESSION_BUCKET_MAX))
        return err_new(ERR_INVALID, "session: buckets of %llu bytes; allowed: 1 to %d",
                       (unsigned long long)pb->bucket, SESSION_BUCKET_MAX);
    if (step == SESSION_STEP_BEGIN)
        TRY(check_begin(pb));
    *ret = (struct session_message){.step = step,
                                    .session = pb->epoch,
                                    .library = pb->library,
                                    .lists = pb->lists < SESSION_LISTS_DEVICE
                                                 ? pb->lists
                                                 : SESSION_LISTS_DEVICE, // newer ones do more
                                    .list = pb->list,
                                    .bucket = pb->bucket,
                                    .rank = (int)(pb->rank & INT32_MAX),
                                    .ranks = (int)(pb->ranks & INT32_MAX),
                                    .lineage = pb->lineage,
                                    .version = pb->version,
                                    .bytes = pb->bytes,
                                    .mine = pb->mine};
    if (step == SESSION_STEP_BEGIN)
        memcpy(ret->id.byte, pb->id.data, NCCL_ID_BYTES);
    snprintf(ret->why, sizeof ret->why, "%s", pb->why);
    return OK;
}

/* Manifests and chunks are long, but need not be unpacked to see that they are not sessions: these
 * are short. */
static err_t unpack(const ProtobufCMessageDescriptor *type, const uint8_t *data, size_t len,
                    ProtobufCMessage **ret)
{
    const struct wire_bounds bounds = {SESSION_MESSAGE_MAX, FIELDS_MAX};
    if (len > SESSION_MESSAGE_MAX)
        return err_new(ERR_NOT_FOUND, "not about a session");
    return wire_unpack(type, data, len, &bounds, ret);
}

err_t session_message_decode_down(const uint8_t *data, size_t len, struct session_message *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    TRY(unpack(&rlhfd__v1__weights_message__descriptor, data, len, &base));
    return take(((const Rlhfd__V1__WeightsMessage *)(const void *)base)->epoch, true, ret);
}

err_t session_message_decode_up(const uint8_t *data, size_t len, struct session_message *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    TRY(unpack(&rlhfd__v1__subscribe_request__descriptor, data, len, &base));
    return take(((const Rlhfd__V1__SubscribeRequest *)(const void *)base)->epoch, false, ret);
}
