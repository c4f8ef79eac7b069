#include "base/mem.h"
#include "rpc/stream.h"
#include "weights/subscriber_inside.h"
#include <stdlib.h>

void subscriber_send(struct subscriber *subscriber, struct rpc_message *message)
{
    rpc_stream_send_message(subscriber->stream, message);
}

void subscriber_break(struct subscriber *subscriber, err_t why)
{
    subscriber->receiving = subscriber->unfinished = false;
    rpc_stream_break(subscriber->stream, why); // the next hello asks again
}

const struct manifest *subscriber_coming(const struct subscriber *subscriber)
{
    return subscriber->receiving ? &subscriber->coming : NULL;
}

void subscriber_make_room(struct subscriber *subscriber, enum weights_kind kind)
{
    const size_t bytes = subscriber->elements * sizeof *subscriber->ready;
    const bool forwards = subscriber->handlers.forward != NULL;
    if (kind == WEIGHTS_FULL) {
        if (!subscriber->incoming && !subscriber->has && !subscriber->taken && !forwards)
            subscriber->incoming = STEAL(subscriber->ready);
        if (!subscriber->incoming)
            subscriber->incoming = mem_aligned(bytes);
        return;
    }
    free(STEAL(subscriber->incoming));
    if (subscriber->ready || (kind == WEIGHTS_SAME && !forwards))
        return;
    subscriber->ready = mem_aligned(bytes);
    subscriber->options.values(subscriber->options.arg, subscriber->ready);
}

uint16_t *subscriber_incoming(struct subscriber *subscriber)
{
    return subscriber->incoming;
}

void subscriber_again(struct subscriber *subscriber)
{
    subscriber->received = 0;
    subscriber->sum = (struct digest){0};
    subscriber->receiving = true;
}
