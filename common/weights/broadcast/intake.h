/* The receiving side of the NCCL carrier, in a subscriber: has memory for a version that is
 * broadcast, and hands its chunks to the receiver.
 *
 * Lists go to memory of the model's device where there is some, and are checked by the copy of them
 * that comes to the host. One that is wrong is refused and comes over gRPC. All values go to the
 * receiver's own memory and are summed up chunk by chunk as they come. Changes go to memory of the
 * intake first. The receiver is lent out while NCCL writes to either memory. A new stream waits
 * with its hello until then. Owner: the loop's thread. */
#pragma once
#include "weights/broadcast/attend.h"
#include "weights/stream/carrier.h"

extern const struct carrier_receive nccl_receive;
