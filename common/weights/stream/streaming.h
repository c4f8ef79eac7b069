/* The carrier that is always there: versions as messages on Weights.Subscribe, the subscriber's own
 * gRPC stream. The stream sends each version that no other carrier takes, and the chunks that
 * another carrier leaves over.
 *
 * At most about RPC_QUEUE_BYTES wait for each peer, so a slow peer delays no other and memory stays
 * bounded. Only full_at_once peers get all values at the same time; the others wait in turn. Owner:
 * the loop's thread. */
#pragma once
#include "weights/stream/carrier.h"

extern const struct carrier carrier_stream;

/* The peer has the first `chunks` chunks of a version; the stream sends the rest. 0: the stream
 * sends whatever version the peer needs by now. */
void streaming_send_rest(struct peer *peer, struct snapshot *what, uint64_t chunks);

/* Peers that are being sent all values. */
int streaming_count_full(const struct sending *sending);
