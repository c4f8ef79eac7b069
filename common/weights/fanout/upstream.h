/* The publisher that a subscriber's stream goes to: the learner, or a generator that passes
 * versions on (the receiving side of the fanout).
 *
 * Streams are moved by the learner's or a generator's message. A stopped generator keeps its
 * streams, and two that were sent on to each other have nothing new to say. All therefore pass on
 * the learner's signs of life. A subscriber that hears none, and no weights, for silence_ms goes
 * back to the learner. Its hello then names the generator that failed it, and nobody is sent there
 * for a while. Owner: the loop's thread. */
#pragma once
#include "weights/stream/carrier.h"

extern const struct carrier_receive fanout_receive;
