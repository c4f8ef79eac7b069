#include "base/mem.h"
#include "rpc/stream.h"
#include "weights/codec/delta.h"
#include "weights/codec/scrub.h"
#include "weights/codec/staging.h"
#include "weights/stream/follow.h"
#include "weights/stream/intake.h"
#include "weights/stream/subscriber_inside.h"
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

err_t subscriber_make_room(struct subscriber *subscriber, enum weights_kind kind)
{
    const size_t bytes = subscriber->elements * sizeof *subscriber->ready;
    const bool forwards = subscriber->handlers.forward != NULL;
    if (kind == WEIGHTS_FULL) {
        if (!subscriber->incoming && !subscriber->has && !subscriber->taken && !forwards)
            subscriber->incoming = STEAL(subscriber->ready);
        if (!subscriber->incoming)
            subscriber->incoming = mem_aligned(bytes);
        return OK;
    }
    free(STEAL(subscriber->incoming));
    if (subscriber->ready || (kind == WEIGHTS_SAME && !forwards))
        return OK;
    SCOPED_MEM uint16_t *loaded = mem_aligned(bytes);
    TRY(err_wrap(subscriber->options.values(subscriber->options.arg, loaded),
                 "the loaded weights"));
    subscriber->ready = STEAL(loaded);
    return OK;
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

/* ---- the generator's */

const bool *subscriber_changed(const struct subscriber *subscriber)
{
    return subscriber->changed;
}

struct subscriber_stats subscriber_stats(const struct subscriber *subscriber)
{
    struct subscriber_stats stats = subscriber->stats;
    stats.by_nccl = intake_received(subscriber->intake);
    stats.up = subscriber->stream && rpc_stream_is_up(subscriber->stream);
    return stats;
}

void subscriber_free(struct subscriber *subscriber)
{
    if (!subscriber)
        return;
    intake_free(subscriber->intake);
    follow_free(subscriber->follow);
    delta_free(subscriber->passed_on);
    free(subscriber->serves);
    rpc_stream_free(subscriber->stream);
    scrub_free(subscriber->scrub);
    staging_free(subscriber->staging);
    free(subscriber->changed);
    if (!nccl_is_stuck()) // else it may still be written to
        free(subscriber->incoming);
    free(subscriber->ready);
    free(subscriber->run);
    free(subscriber->generator);
    free(subscriber);
}
