/* The life of a call, and its receiving half. Batches may start on any thread, under the call's
 * mutex; their completions arrive on the callbacks' thread, one by one. The call's side holds the
 * differences between a server's call and a client's. */
#include "base/mem.h"
#include "rpc/call_state.h"
#include "rpc/outcomes.h"
#include <grpc/support/alloc.h>
#include <stdlib.h>
#include <string.h>

static void on_recv(struct rpc_tag *tag, bool ok);

struct rpc_call *call_new(struct rpc *rpc, const struct call_side *side,
                          const struct rpc_method *method)
{
    const bool is_inline = method && method->flags & RPC_INLINE;
    struct rpc_call *call = mem_new(sizeof *call);
    atomic_init(&call->refs, 1);
    pthread_mutex_init(&call->mutex, NULL);
    call->rpc = rpc;
    call->side = side;
    call->method = method;
    call->queue_end = &call->queue;
    call->queue_limit = RPC_QUEUE_BYTES;
    call->on_open = (struct rpc_tag){.is_inline = is_inline};
    call->on_recv = (struct rpc_tag){.fn = on_recv, .is_inline = is_inline};
    call->on_send = (struct rpc_tag){.fn = call_on_send, .is_inline = true};
    call->on_writable = (struct rpc_tag){.fn = call_on_writable, .is_inline = is_inline};
    call->on_close = (struct rpc_tag){.fn = call_on_close, .is_inline = is_inline};
    call->deadline = gpr_inf_future(GPR_CLOCK_REALTIME);
    call->status_text = grpc_empty_slice();
    grpc_metadata_array_init(&call->metadata);
    grpc_metadata_array_init(&call->trailers);
    grpc_call_details_init(&call->details);
    return call;
}

void call_deliver(struct rpc_call *call, grpc_byte_buffer *buffer)
{
    SCOPED(rpc_message) message = message_of(buffer);
    struct ProtobufCMessage *pb = NULL;
    if (call->expected) {
        const err_t e = rpc_message_unpack(message, call->expected, &pb);
        if (err_failed(e)) {
            pthread_mutex_lock(&call->mutex);
            call->deaf = true;
            pthread_mutex_unlock(&call->mutex);
            call->side->malformed(call, e);
            return;
        }
    }
    if (call->handlers.message)
        call->handlers.message(call, message, pb, call->user);
    protobuf_c_message_free_unpacked(pb, NULL); // NULL is allowed
}

/* Of a call that was dropped, too, whose method is gone. */
static enum err_code ended_as(struct rpc_call *call)
{
    if (!call->side->answers)
        return call->status == GRPC_STATUS_UNAUTHENTICATED ? ERR_DENIED
                                                           : (enum err_code)call->status;
    if (call->cancelled)
        return rpc_call_time_left_ms(call) <= 0 ? ERR_DEADLINE : ERR_CANCELLED;
    pthread_mutex_lock(&call->mutex);
    const enum err_code code = call->ended_as;
    pthread_mutex_unlock(&call->mutex);
    return code;
}

static void final_close(struct rpc_call *call)
{
    outcomes_count(call->side->answers, ended_as(call));
    if (call->handlers.close)
        call->handlers.close(call, call->side->outcome(call), call->user);
    call->side->over(call);
    rpc_call_unref(call); // the reference of being open
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
    if (buffer)
        call->side->heard(call, grpc_byte_buffer_length(buffer));
    if (buffer && !deaf)
        call_deliver(call, buffer);
    else
        grpc_byte_buffer_destroy(buffer);
    if (end && ok && !call->close_seen && !deaf)
        call->side->ended(call);
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
    if (!call->held || (!call->side->answers && call->status == GRPC_STATUS_OK))
        return false;
    call->held = call->receiving = false;
    grpc_byte_buffer_destroy(call->received);
    call->received = NULL;
    return true;
}

/* Exactly once: RECV_CLOSE_ON_SERVER, or RECV_STATUS_ON_CLIENT. */
void call_on_close(struct rpc_tag *tag, bool)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_close);
    pthread_mutex_lock(&call->mutex);
    call->closed = call->close_seen = true;
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
    call->deaf = true; // later messages are dropped unread: the method may be gone by then
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

const struct identity *rpc_call_identity(const struct rpc_call *call)
{
    return call->identity;
}

err_t rpc_call_claims(const struct rpc_call *call, const char *run, const char *name)
{
    const struct identity *who = call->identity;
    char text[IDENTITY_TEXT];
    if (!who || (strcmp(who->run, run) == 0 && strcmp(who->name, name) == 0))
        return OK;
    identity_print(who, text);
    return err_new(ERR_DENIED, "a caller that is %s may not speak for '%s' of run '%s'", text, name,
                   run);
}

void *rpc_call_context(struct rpc_call *call)
{
    return call->context;
}

void rpc_call_set_context(struct rpc_call *call, void *context)
{
    call->context = context;
}
