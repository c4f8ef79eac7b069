/* A subscriber's part in NCCL epochs (attend.h): where a version goes that is broadcast, and how it
 * becomes the subscriber's.
 *
 *     TRY(intake_new(&options, &handlers, subscriber, user, &intake));
 *     intake_up(intake)   after the hello on a new stream;   intake_lost(intake)   when it broke
 *     TRY(intake_hear(intake, message, &is_epoch));
 *
 * All values go to where they are wanted, chunk by chunk summed up as they come; changes to memory
 * of their own first. While NCCL writes to either, a stream that comes back has to wait with its
 * hello. Every call takes NULL, the intake of a subscriber without NCCL, and then does nothing.
 * Owner: the loop's thread. */
#pragma once
#include "weights/broadcast/attend.h"
#include "weights/stream/subscriber.h"

struct intake;

/* options: loop, nccl, device and limits count. handlers: stuck and note. UNAVAILABLE, EXHAUSTED:
 * as attend_new. */
err_t intake_new(const struct attend_options *options, const struct subscriber_handlers *handlers,
                 struct subscriber *subscriber, void *user, struct intake **ret);
void intake_up(struct intake *intake);
void intake_lost(struct intake *intake);

/* INVALID: malformed. */
err_t intake_hear(struct intake *intake, struct rpc_message *message, bool *ret_is_epoch);

/* NCCL writes to memory of the subscriber's: nothing that is said to come beside it may be given
 * room. */
bool intake_is_lent(const struct intake *intake);

/* True: not now; subscriber_hello is called when NCCL has let go. */
bool intake_owes_hello(struct intake *intake);
uint64_t intake_received(const struct intake *intake);
void intake_free(struct intake *intake);
