/* The life of a call. Batches may start on any thread, under the call's mutex; their completions
 * arrive on the callbacks' thread, one by one. Every batch underway holds a reference; one more
 * belongs to the call being open. */
#include "base/mem.h"
#include "rpc/call_state.h"
#include "rpc/details.h"
#include <assert.h>
#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

/* Of a full queue; who sends what nobody asked for stops at one. */
enum { CHOKED_LIMITS = 2 };

static void on_recv(struct rpc_tag *tag, bool ok);
static void on_close(struct rpc_tag *tag, bool ok);

struct rpc_call *call_new(struct rpc *rpc, const struct rpc_method *method, bool is_inline)
{
    struct rpc_call *call = mem_new(sizeof *call);
    atomic_init(&call->refs, 1);
    pthread_mutex_init(&call->mutex, NULL);
    call->rpc = rpc;
    call->method = method;
    call->queue_end = &call->queue;
    call->queue_limit = RPC_QUEUE_BYTES;
    call->on_open = (struct rpc_tag){.is_inline = is_inline};
    call->on_recv = (struct rpc_tag){.fn = on_recv, .is_inline = is_inline};
    call->on_send = (struct rpc_tag){.fn = call_on_send, .is_inline = true};
    call->on_writable = (struct rpc_tag){.fn = call_on_writable, .is_inline = is_inline};
    call->on_close = (struct rpc_tag){.fn = on_close, .is_inline = is_inline};
    call->deadline = gpr_inf_future(GPR_CLOCK_REALTIME);
    call->status_text = grpc_empty_slice();
    grpc_metadata_array_init(&call->metadata);
    grpc_metadata_array_init(&call->trailers);
    grpc_call_details_init(&call->details);
    return call;
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
    free(call);
}

void call_batch(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag)
{
    rpc_call_ref(call);
    TSAN_RELEASE(tag);
    const grpc_call_error error = grpc_call_start_batch(call->call, ops, count, tag, NULL);
    assert(error == GRPC_CALL_OK); // anything else is a bug of this file
    (void)error;
}

void call_receive_next(struct rpc_call *call)
{
    if (call->receiving || call->received_all || call->paused || call->close_seen)
        return;
    call->choked = call->entry && call->queued >= CHOKED_LIMITS * call->queue_limit;
    if (call->choked) // its client reads no answers: it gets no more
        return;
    call->receiving = true;
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};
    op.data.recv_message.recv_message = &call->received;
    call_batch(call, &op, 1, &call->on_recv);
}

/* Client: what we make of an answer that came with OK. */
static void override_status(struct rpc_call *call, const char *text)
{
    call->status = GRPC_STATUS_INTERNAL;
    grpc_slice_unref(call->status_text);
    call->status_text = grpc_slice_from_static_string(text);
}

static void refuse_malformed(struct rpc_call *call, err_t why)
{
    static const char text[] = "malformed message from the server";
    pthread_mutex_lock(&call->mutex);
    call->deaf = true;
    pthread_mutex_unlock(&call->mutex);
    if (call->entry) {
        rpc_call_finish(call, err_wrap(why, "request of %s", call->method->path));
        return;
    }
    err_free(why);
    if (call->unary_client)
        override_status(call, text);
    else
        grpc_call_cancel_with_status(call->call, GRPC_STATUS_INTERNAL, text, NULL);
}

void call_tell_open(struct rpc_call *call)
{
    if (call->entry || call->opened || call->close_seen)
        return;
    call->opened = true;
    if (call->handlers.open)
        call->handlers.open(call, call->user);
}

void call_deliver(struct rpc_call *call, grpc_byte_buffer *buffer)
{
    SCOPED(rpc_message) message = message_of(buffer);
    const struct ProtobufCMessageDescriptor *descriptor =
        call->entry ? call->method->request : call->method->reply;
    struct ProtobufCMessage *pb = NULL;
    if (descriptor) {
        const err_t e = rpc_message_unpack(message, descriptor, &pb);
        if (err_failed(e)) {
            refuse_malformed(call, e);
            return;
        }
    }
    if (!call->unary_client)
        call_tell_open(call); // a server that did not say so before
    if (call->handlers.message)
        call->handlers.message(call, message, pb, call->user);
    protobuf_c_message_free_unpacked(pb, NULL); // NULL is allowed
}

static void tell_half_close(struct rpc_call *call)
{
    if (call->one_request)
        rpc_call_finish(call, err_new(ERR_INVALID, "%s: no request message", call->method->path));
    else if (call->handlers.half_close)
        call->handlers.half_close(call, call->user);
    else
        rpc_call_finish(call, OK);
}

static err_t with_details(const struct rpc_call *call, err_t e)
{
    for (size_t i = 0; i < call->trailers.count; i++) {
        const grpc_metadata *row = &call->trailers.metadata[i];
        if (grpc_slice_str_cmp(row->key, DETAILS_KEY) == 0)
            e = details_attach(e, GRPC_SLICE_START_PTR(row->value), GRPC_SLICE_LENGTH(row->value));
    }
    return e;
}

/* The status of a client's call, or how a server's ended. */
static err_t final_error(struct rpc_call *call)
{
    if (call->entry) {
        if (!call->cancelled)
            return OK;
        if (rpc_call_time_left_ms(call) <= 0)
            return err_new(ERR_DEADLINE, "%s: the client's deadline has passed",
                           call->method->path);
        return err_new(ERR_CANCELLED, "%s: the client has gone", call->method->path);
    }
    if (call->status == GRPC_STATUS_OK)
        return OK;
    enum err_code code = ERR_UNKNOWN;
    if (call->status == GRPC_STATUS_UNAUTHENTICATED)
        code = ERR_DENIED;
    else if (call->status > 0 && (int)call->status <= ERR_DATA_LOSS)
        code = (enum err_code)call->status;
    return with_details(call, err_new(code, "%s of %s: %.*s", call->method->path, call->target,
                                      (int)GRPC_SLICE_LENGTH(call->status_text),
                                      GRPC_SLICE_START_PTR(call->status_text)));
}

static void final_close(struct rpc_call *call)
{
    if (call->handlers.close)
        call->handlers.close(call, final_error(call), call->user);
    if (call->entry)
        server_call_over(call);
    else
        client_call_over(call);
    rpc_call_unref(call); // it was open
}

static void on_recv(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_recv);
    pthread_mutex_lock(&call->mutex);
    if (ok && call->received && call->paused && !call->close_seen && !tag->is_inline) {
        call->held = true; // resume pushes this tag again, which keeps its reference
        pthread_mutex_unlock(&call->mutex);
        return;
    }
    grpc_byte_buffer *buffer = call->received;
    call->received = NULL;
    const bool end = !ok || !buffer;
    call->received_all |= end || call->one_request;
    const bool deaf = call->finishing || call->deaf;
    pthread_mutex_unlock(&call->mutex);
    if (buffer && call->entry)
        server_call_used(call, grpc_byte_buffer_length(buffer));
    if (buffer && !deaf)
        call_deliver(call, buffer);
    else
        grpc_byte_buffer_destroy(buffer);
    if (end && ok && call->entry && !call->close_seen && !deaf)
        tell_half_close(call);
    pthread_mutex_lock(&call->mutex);
    call->receiving = false;
    call_receive_next(call);
    const bool over = call->close_seen && !call->receiving;
    pthread_mutex_unlock(&call->mutex);
    if (over)
        final_close(call);
    rpc_call_unref(call);
}

/* mutex held. A held message of a call that went wrong will never be asked for. */
static bool drop_held(struct rpc_call *call)
{
    if (!call->held || (!call->entry && call->status == GRPC_STATUS_OK))
        return false;
    call->held = call->receiving = false;
    grpc_byte_buffer_destroy(call->received);
    call->received = NULL;
    return true;
}

static void deliver_reply(struct rpc_call *call)
{
    grpc_byte_buffer *buffer = call->received;
    call->received = NULL;
    if (buffer)
        call_deliver(call, buffer);
    else if (call->status == GRPC_STATUS_OK)
        override_status(call, "the server sent OK without a reply");
}

/* Exactly once: RECV_CLOSE_ON_SERVER, or RECV_STATUS_ON_CLIENT. */
static void on_close(struct rpc_tag *tag, bool)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_close);
    if (call->unary_client)
        deliver_reply(call);
    pthread_mutex_lock(&call->mutex);
    call->closed = call->close_seen = true;
    if (call->entry && !call->admitted) // it was still waiting for its turn: nobody knows of it
        call->handlers = (struct rpc_handlers){0};
    call_free_queue(call);
    const bool dropped = drop_held(call);
    const bool over = !call->receiving;
    pthread_mutex_unlock(&call->mutex);
    if (dropped)
        rpc_call_unref(call); // the held tag's
    if (over)
        final_close(call);
    rpc_call_unref(call);
}

void rpc_call_cancel(struct rpc_call *call)
{
    grpc_call_cancel(call->call, NULL);
}

void rpc_call_drop(struct rpc_call *call)
{
    pthread_mutex_lock(&call->mutex);
    call->deaf = true; // what is still delivered is not looked at: its method may be gone by then
    pthread_mutex_unlock(&call->mutex);
    call->handlers = (struct rpc_handlers){0};
    rpc_call_resume(call); // else a held message would keep it
    rpc_call_cancel(call);
}

void rpc_call_pause(struct rpc_call *call)
{
    pthread_mutex_lock(&call->mutex);
    call->paused = true;
    pthread_mutex_unlock(&call->mutex);
}

void rpc_call_resume(struct rpc_call *call)
{
    pthread_mutex_lock(&call->mutex);
    call->paused = false;
    const bool deliver = call->held;
    call->held = false;
    if (!deliver)
        call_receive_next(call);
    pthread_mutex_unlock(&call->mutex);
    if (deliver)
        rpc_push(call->rpc, &call->on_recv);
}

bool rpc_call_is_over(struct rpc_call *call)
{
    pthread_mutex_lock(&call->mutex);
    const bool over = call->closed || call->finishing;
    pthread_mutex_unlock(&call->mutex);
    return over;
}

int64_t rpc_call_time_left_ms(struct rpc_call *call)
{
    const gpr_timespec deadline = call->deadline;
    if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0)
        return INT64_MAX;
    const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
    return left.tv_sec * 1000 + left.tv_nsec / 1000000;
}

char *rpc_call_peer(struct rpc_call *call)
{
    if (call->peer)
        return mem_string(call->peer);
    char *peer = grpc_call_get_peer(call->call);
    char *text = mem_string(peer);
    gpr_free(peer);
    return text;
}

void *rpc_call_context(struct rpc_call *call)
{
    return call->context;
}

void rpc_call_set_context(struct rpc_call *call, void *context)
{
    call->context = context;
}
