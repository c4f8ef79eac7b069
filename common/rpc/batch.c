/* References and batches of a call, which its two halves share. A batch underway holds a reference,
 * and so does being open. */
#include "base/mem.h"
#include "rpc/call_state.h"
#include <assert.h>
#include <stdlib.h>

/* Full queues of answers after which a call's requests are no longer read. A sender that watches
 * rpc_call_full stops at one. */
enum { CHOKED_LIMITS = 2 };

void call_free_queue(struct rpc_call *call)
{
    for (struct rpc_out *out = call->queue, *next; out; out = next) {
        next = out->next;
        call->queued -= out->len;
        grpc_byte_buffer_destroy(out->buffer);
        free(out);
    }
    call->queue = NULL;
    call->queue_end = &call->queue;
}

struct rpc_call *rpc_call_ref(struct rpc_call *call)
{
    atomic_fetch_add(&call->refs, 1);
    return call;
}

void rpc_call_unref(struct rpc_call *call)
{
    if (!call || atomic_fetch_sub(&call->refs, 1) != 1)
        return;
    call_free_queue(call);
    grpc_byte_buffer_destroy(call->received); // NULL is allowed
    grpc_byte_buffer_destroy(call->outgoing);
    grpc_slice_unref(call->status_text);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_metadata_array_destroy(&call->trailers);
    grpc_call_details_destroy(&call->details);
    if (call->call)
        grpc_call_unref(call->call);
    err_free(call->finish);
    pthread_mutex_destroy(&call->mutex);
    free(call->target);
    free(call->peer);
    free(call->identity);
    free(call);
}

void call_batch(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag)
{
    rpc_call_ref(call);
    TSAN_RELEASE(tag);
    const grpc_call_error error = grpc_call_start_batch(call->call, ops, count, tag, NULL);
    assert(error == GRPC_CALL_OK); // anything else is a bug of common/rpc
    (void)error;
}

void call_receive_next(struct rpc_call *call)
{
    if (call->receiving || call->received_all || call->paused || call->close_seen)
        return;
    call->choked = call->side->answers && call->queued >= CHOKED_LIMITS * call->queue_limit;
    if (call->choked) // its client reads no answers: it gets no more
        return;
    call->receiving = true;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->received;
    call_batch(call, &op, 1, &call->on_recv);
}
