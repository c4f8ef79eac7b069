/* The sending half of a call: a queue of messages, the status behind them, one batch underway at a
 * time. */
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/call_state.h"
#include "rpc/details.h"
#include "rpc/text.h"
#include <stdlib.h>
#include <string.h>

/* mutex held. accepted lives until the batch has started. */
static size_t put_initial(struct rpc_call *call, grpc_op *op, bool accept, grpc_metadata *accepted)
{
    call->initial_sent = true;
    op->op = GRPC_OP_SEND_INITIAL_METADATA;
    op->flags = call->initial_flags;
    if (accept) {
        *accepted = (grpc_metadata){.key = grpc_slice_from_static_string(ACCEPTED_KEY),
                                    .value = grpc_slice_from_static_string("1")};
        op->data.send_initial_metadata.metadata = accepted;
        op->data.send_initial_metadata.count = 1;
    }
    return 1;
}

/* mutex held. Moves the head of the queue into ops. */
static size_t put_message(struct rpc_call *call, grpc_op *op)
{
    struct rpc_out *out = call->queue;
    if (!out)
        return 0;
    call->queue = out->next;
    if (!call->queue)
        call->queue_end = &call->queue;
    call->outgoing = out->buffer;
    call->sending_len = out->len;
    free(out);
    op->op = GRPC_OP_SEND_MESSAGE;
    op->data.send_message.send_message = call->outgoing;
    op->flags = call->queue ? GRPC_WRITE_BUFFER_HINT : 0;
    return 1;
}

/* What lives until the batch has started. */
struct out_status {
    grpc_slice text;
    grpc_metadata details;
};

/* mutex held. */
static size_t put_status(struct rpc_call *call, grpc_op *op, struct out_status *out)
{
    /* Headers of more than 8 KiB are refused; of the text each byte may become three, and with
     * details it is there twice. */
    enum { LONGEST = 2000, LONGEST_DETAILED = 1000 };
    bool detailed = err_field_name(call->finish) || err_reason_word(call->finish);
    SCOPED_MEM char *text = text_clean(err_failed(call->finish) ? err_message(call->finish) : "",
                                       detailed ? LONGEST_DETAILED : LONGEST);
    SCOPED_VALUE(bytes) details = {0};
    call->status_sent = true;
    out->text = grpc_slice_from_copied_string(text);
    op->op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    op->data.send_status_from_server.status = (grpc_status_code)err_code(call->finish);
    op->data.send_status_from_server.status_details = &out->text;
    if (!detailed || !details_pack(call->finish, text, &details))
        return 1;
    out->details =
        (grpc_metadata){.key = grpc_slice_from_static_string(DETAILS_KEY),
                        .value = grpc_slice_from_copied_buffer((char *)details.data, details.len)};
    op->data.send_status_from_server.trailing_metadata = &out->details;
    op->data.send_status_from_server.trailing_metadata_count = 1;
    return 1;
}

void call_send_next(struct rpc_call *call)
{
    if (call->sending || call->closed)
        return;
    grpc_op ops[3];
    memset(ops, 0, sizeof ops);
    size_t count = 0;
    struct out_status out = {.text = grpc_empty_slice(), .details.value = grpc_empty_slice()};
    const bool last = !call->queue || !call->queue->next;
    const bool status = call->finishing && !call->status_sent && last;
    const bool half_close = call->half_close_wanted && !call->half_close_sent && last;
    const bool initial = !call->initial_sent;
    if (!call->queue && !status && !half_close && !(initial && call->open_now))
        return;
    grpc_metadata accepted;
    if (initial)
        count += put_initial(call, &ops[count], call->side->answers && call->open_now && !status,
                             &accepted);
    count += put_message(call, &ops[count]);
    if (status)
        count += put_status(call, &ops[count], &out);
    if (half_close) {
        call->half_close_sent = true;
        ops[count++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    }
    call->sending = true;
    call_batch(call, ops, count, &call->on_send);
    grpc_slice_unref(out.text);
    grpc_slice_unref(out.details.value);
}

/* mutex held. */
static bool has_room_again(const struct rpc_call *call)
{
    return call->was_full && call->queued < call->queue_limit / 2 && !call->closed;
}

void call_on_writable(struct rpc_tag *tag, bool)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_writable);
    pthread_mutex_lock(&call->mutex);
    call->writable_pushed = false;
    const bool writable = has_room_again(call); // it may have been filled meanwhile
    if (writable)
        call->was_full = false;
    pthread_mutex_unlock(&call->mutex);
    if (writable && call->handlers.writable && !call->close_seen)
        call->handlers.writable(call, call->user);
    rpc_call_unref(call);
}

/* On the queue's thread whatever the method: the next batch does not wait for the loop. */
void call_on_send(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_send);
    pthread_mutex_lock(&call->mutex);
    grpc_byte_buffer *sent = call->outgoing;
    call->outgoing = NULL;
    call->sending = false;
    call->queued -= call->sending_len;
    call->sending_len = 0;
    if (!ok)
        call->closed = true; // the close handler follows
    else
        call_send_next(call);
    if (ok && call->choked && call->queued < call->queue_limit)
        call_receive_next(call);
    const bool push = has_room_again(call) && !call->writable_pushed;
    if (push) {
        call->writable_pushed = true;
        rpc_call_ref(call);
    }
    pthread_mutex_unlock(&call->mutex);
    grpc_byte_buffer_destroy(sent);
    if (push && call->on_writable.is_inline)
        call_on_writable(&call->on_writable, true);
    else if (push)
        rpc_push(call->rpc, &call->on_writable);
    rpc_call_unref(call);
}

/* Takes buffer. */
static bool enqueue(struct rpc_call *call, grpc_byte_buffer *buffer)
{
    pthread_mutex_lock(&call->mutex);
    const bool open = !call->closed && !call->finishing && !call->half_close_wanted;
    if (open) {
        struct rpc_out *out = mem_new(sizeof *out);
        out->buffer = buffer;
        out->len = grpc_byte_buffer_length(buffer);
        *call->queue_end = out;
        call->queue_end = &out->next;
        call->queued += out->len;
        call->was_full |= call->queued >= call->queue_limit;
        call_send_next(call);
    }
    pthread_mutex_unlock(&call->mutex);
    if (!open)
        grpc_byte_buffer_destroy(buffer);
    return open;
}

bool rpc_call_send_message(struct rpc_call *call, struct rpc_message *message)
{
    return enqueue(call, message_buffer(message));
}

bool rpc_call_send(struct rpc_call *call, const struct ProtobufCMessage *pb)
{
    SCOPED(rpc_message) message = rpc_message_pack(pb);
    return rpc_call_send_message(call, message);
}

size_t rpc_call_queued(struct rpc_call *call)
{
    pthread_mutex_lock(&call->mutex);
    const size_t queued = call->queued;
    pthread_mutex_unlock(&call->mutex);
    return queued;
}

bool rpc_call_full(struct rpc_call *call)
{
    return rpc_call_queued(call) >= call->queue_limit;
}

void rpc_call_half_close(struct rpc_call *call)
{
    pthread_mutex_lock(&call->mutex);
    call->half_close_wanted |= !call->side->answers;
    call_send_next(call);
    pthread_mutex_unlock(&call->mutex);
}

void rpc_call_finish(struct rpc_call *call, err_t why)
{
    pthread_mutex_lock(&call->mutex);
    const bool first = call->side->answers && !call->finishing;
    if (first) {
        call->finishing = true;
        call->finish = why;
        call->ended_as = err_code(why);
        call_send_next(call);
    }
    pthread_mutex_unlock(&call->mutex);
    if (!first)
        err_free(why);
}

bool rpc_call_reply(struct rpc_call *call, const struct ProtobufCMessage *pb)
{
    const bool sent = rpc_call_send(call, pb);
    rpc_call_finish(call, OK);
    return sent;
}
