/* A subscriber's part in NCCL broadcasts (the receiving side of the carrier): memory for a version
 * that is broadcast, and its chunks for the receiver.
 *
 * All values go to the receiver's own memory and are summed up chunk by chunk as they come. Changes
 * go to memory of the intake first. The receiver is lent out while NCCL writes to either; a stream
 * that comes back waits with its hello. Owner: the loop's thread. */
#pragma once
#include "weights/broadcast/attend.h"
#include "weights/stream/carrier.h"

extern const struct carrier_receive nccl_receive;
