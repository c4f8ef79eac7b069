/* Changes that come as a list (codec/changelist.h). */
#include "tensor/digest.h"
#include "tensor/layout.h"
#include "weights/codec/changelist.h"
#include "weights/codec/delta.h"
#include "weights/stream/receiver_inside.h"

static err_t check_list(const struct receiver *receiver, const struct changelist *list)
{
    const struct digest change = staging_change(receiver->staging);
    const struct digest sum = weights_digest_add(receiver->manifest.digest, change);
    if (digest_equal(&sum, &receiver->coming.digest))
        return OK;
    return err_wrap(receiver_wrong_digest(&receiver->coming, &sum), "a list of %llu changes",
                    (unsigned long long)list->changes);
}

/* Relays get chunks, never lists. */
static void pass_on(struct receiver *receiver, const struct changelist *list)
{
    if (!receiver->passed_on)
        return;
    delta_free(receiver->passed_on);
    receiver->passed_on = delta_of_list(receiver->options.layout, receiver->ready, list);
}

err_t receiver_list(struct receiver *receiver, const uint8_t *data, size_t len)
{
    struct changelist list;
    if (receiver->arrival.incoming != INCOMING_RECEIVING || receiver->coming.kind == WEIGHTS_FULL ||
        receiver->coming.kind == WEIGHTS_SAME || receiver->received)
        return err_new(ERR_INVALID, "weights: a list that no manifest announced");
    TRY(changelist_open(receiver->options.layout, data, len, &list));
    staging_add_list(receiver->staging, receiver->ready, &list);
    err_t wrong = check_list(receiver, &list);
    if (err_failed(wrong)) {
        staging_clear(receiver->staging);
        receiver->stats.mismatches++;
        return wrong;
    }
    pass_on(receiver, &list);
    receiver->stats.lists++;
    receiver->stats.on_device += devicelists_came(receiver->lists, &list);
    receiver->received = receiver->coming.chunks;
    receiver->stats.bytes += len;
    return receiver_finish(receiver);
}

size_t receiver_list_max(const struct receiver *receiver)
{
    return changelist_bytes(receiver->options.layout, receiver->elements);
}

bool receiver_has_device(const struct receiver *receiver)
{
    return devicelists_there(receiver->lists);
}

void *receiver_list_room(struct receiver *receiver, size_t bytes)
{
    return devicelists_room(receiver->lists, bytes);
}
