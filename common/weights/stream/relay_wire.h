/* What is said on Weights.Subscribe about generators that pass versions on, as a plain struct.
 *
 *     SCOPED(rpc_message) message = relay_message_pack(&(struct relay_message){.beat = 7});
 *     TRY(relay_message_decode(message, &heard));          -- NOT_FOUND: it is about something else
 *
 * Any thread. */
#pragma once
#include "base/err.h"
#include <stdint.h>

struct rpc_message;
enum { RELAY_ADDRESS = 256 };
struct relay_message {
    char address[RELAY_ADDRESS]; // subscribe there; "": a beat
    uint64_t beat;
};
struct rpc_message *relay_message_pack(const struct relay_message *message);
err_t relay_message_decode(struct rpc_message *message, struct relay_message *ret);
