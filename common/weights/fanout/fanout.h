/* The carrier that hands subscribers on (publish.fanout): a publisher serves so many itself, and
 * sends the others on to these, which serve Weights.Subscribe, too. fanout.c is the sending side
 * and the row; upstream.c is the receiving side. Owner: the loop's thread. */
#pragma once
#include "weights/stream/carrier.h"

extern const struct carrier carrier_fanout;
