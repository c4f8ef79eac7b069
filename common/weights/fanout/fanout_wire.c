#include "weights/fanout/fanout_wire.h"
#include "rpc/message.h"
#include "weights.pb-c.h"
#include "wire/unpack.h"
#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX_BYTES = 2048, FIELDS_MAX = 48 };

struct rpc_message *fanout_message_pack(const struct fanout_message *message)
{
    Rlhfd__V1__Relay pb;
    Rlhfd__V1__WeightsMessage outer;
    rlhfd__v1__relay__init(&pb);
    rlhfd__v1__weights_message__init(&outer);
    pb.address = (char *)message->address;
    pb.beat = message->beat;
    outer.relay = &pb;
    return rpc_message_pack(&outer.base);
}

err_t fanout_message_decode(struct rpc_message *message, struct fanout_message *ret)
{
    SCOPED_PB ProtobufCMessage *base = NULL;
    const struct wire_bounds bounds = {MESSAGE_MAX_BYTES, FIELDS_MAX};
    if (rpc_message_len(message) > MESSAGE_MAX_BYTES)
        return err_new(ERR_NOT_FOUND, "not about the fanout");
    TRY(wire_unpack(&rlhfd__v1__weights_message__descriptor, rpc_message_data(message),
                    rpc_message_len(message), &bounds, &base));
    const Rlhfd__V1__Relay *pb = ((const Rlhfd__V1__WeightsMessage *)(const void *)base)->relay;
    if (!pb)
        return err_new(ERR_NOT_FOUND, "not about the fanout");
    if (strlen(pb->address) >= FANOUT_ADDRESS)
        return err_new(ERR_INVALID, "fanout: an address of %zu bytes; at most %d are allowed",
                       strlen(pb->address), FANOUT_ADDRESS - 1);
    *ret = (struct fanout_message){.beat = pb->beat};
    snprintf(ret->address, sizeof ret->address, "%s", pb->address);
    return OK;
}
