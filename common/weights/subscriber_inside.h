/* What subscriber.c does for the files of weights that bring versions by other ways than its stream: intake.c. */
#pragma once
#include "weights/manifest.h"
#include "weights/subscriber.h"

void subscriber_hello(struct subscriber *subscriber); // says who we are, and what lies here
void subscriber_send(struct subscriber *subscriber, struct rpc_message *message);
void subscriber_break(struct subscriber *subscriber, err_t why); // as a peer that sends nonsense

/* The version whose manifest has come and whose chunks are awaited; NULL: none. Its first missing chunk begins what comes. */
const struct manifest *subscriber_coming(const struct subscriber *subscriber);
uint16_t *subscriber_incoming(struct subscriber *subscriber); // where all values go
void subscriber_again(struct subscriber *subscriber); // all of coming, which was wrong, once more

/* The next chunk. message NULL: its values are in place. The last one finishes the version: DATA_LOSS if its digest is wrong. */
err_t subscriber_chunk(struct subscriber *subscriber, struct rpc_message *message,
                       const struct weights_event *chunk);
