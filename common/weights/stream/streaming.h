/* The carrier that is always there: versions as messages on Weights.Subscribe, the subscriber's own
 * gRPC stream. It brings what no other carrier does, and ends what another one began.
 *
 * At most about RPC_QUEUE_BYTES wait for each peer, so nobody is waited for and memory stays
 * bounded. Only so many peers get all values at once; the others wait in turn. Owner: the loop's
 * thread. */
#pragma once
#include "weights/stream/carrier.h"

extern const struct carrier carrier_stream;

/* The first `chunks` chunks of a version are there: the rest goes over the stream. 0: the peer is
 * sent whatever it needs by now. */
void streaming_send_rest(struct peer *peer, struct snapshot *what, uint64_t chunks);

/* Peers that are being sent all values. */
int streaming_count_full(const struct sending *sending);
