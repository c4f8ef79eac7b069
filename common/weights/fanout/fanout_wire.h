/* Messages on Weights.Subscribe about generators that pass versions on, as a plain struct.
 *
 *     SCOPED(rpc_message) message = fanout_message_pack(&(struct fanout_message){.beat = 7});
 *     TRY(fanout_message_decode(message, &heard));         -- NOT_FOUND: it is about something else
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include <stdint.h>

struct rpc_message;
enum { FANOUT_ADDRESS = 256 };
struct fanout_message {
    char address[FANOUT_ADDRESS]; // the receiver is to subscribe there; "": the message is a beat
    uint64_t beat;
};
struct rpc_message *fanout_message_pack(const struct fanout_message *message);

/* INVALID: malformed. */
err_t fanout_message_decode(struct rpc_message *message, struct fanout_message *ret);
