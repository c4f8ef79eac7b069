/* The sending side of the NCCL carrier, in a publisher. Each version is offered to the members of a
 * session. The stream sends the chunks that a broadcast leaves over.
 *
 *     const struct carry *carry = publisher_carrier(publisher, &carrier_nccl);
 *     struct broadcast_stats stats = carry_stats(carry);
 *
 * Owner: the loop's thread. */
#pragma once
#include "weights/broadcast/broadcast.h"
#include "weights/stream/carrier.h"

struct carry;
extern const struct carrier_send nccl_send;
struct broadcast_stats carry_stats(const struct carry *carry);
