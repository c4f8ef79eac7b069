#include "rpc/stream.h"
#include "weights/subscriber_inside.h"

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
