#include "rpc/client.h"
#include "base/mem.h"
#include "rpc/call_state.h"
#include "rpc/credentials.h"
#include "rpc/details.h"
#include "svc/security.h"
#include <stdlib.h>
#include <string.h>

struct rpc_channel {
    struct rpc *rpc;
    char *target;
    struct channel_args args;
    struct security security;
    unsigned servers;
    pthread_mutex_t mutex; // of what follows: calls start on any thread
    grpc_channel *core;
    uint64_t generation; // of the keys that core has
};

/* Core's channels keep the keys they were made with. The calls of the one before go on. */
static void make_core(struct rpc_channel *channel, struct tls_set *set)
{
    if (channel->core)
        grpc_channel_destroy(channel->core);
    grpc_channel_credentials *credentials =
        credentials_new(set, channel->security.run, channel->servers);
    channel->core =
        grpc_channel_create(channel->target, credentials,
                            &(grpc_channel_args){channel->args.count, channel->args.list});
    grpc_channel_credentials_release(credentials);
    channel->generation = set ? tls_set_generation(set) : 0;
}

/* Makes core's channel by the keys in force, if it is not. mutex held. */
static void renew_core(struct rpc_channel *channel)
{
    struct tls_set *set = security_set(&channel->security);
    if (!channel->core || (set && tls_set_generation(set) != channel->generation))
        make_core(channel, set);
    tls_set_unref(set);
}

err_t rpc_channel_new(struct rpc *rpc, const struct rpc_channel_options *options,
                      struct rpc_channel **ret)
{
    TRY(address_check(options->target, options->security));
    struct rpc_channel *channel = mem_new(sizeof *channel);
    pthread_mutex_init(&channel->mutex, NULL);
    client_args(options, &channel->args);
    channel->rpc = rpc;
    channel->target = mem_string(options->target);
    if (options->security)
        channel->security = *options->security;
    channel->servers = options->servers;
    renew_core(channel);
    *ret = channel;
    return OK;
}

void rpc_channel_free(struct rpc_channel *channel)
{
    if (!channel)
        return;
    grpc_channel_destroy(channel->core);
    pthread_mutex_destroy(&channel->mutex);
    free(channel->target);
    free(channel);
}

static bool is_accepted(const grpc_metadata_array *metadata)
{
    for (size_t i = 0; i < metadata->count; i++)
        if (grpc_slice_str_cmp(metadata->metadata[i].key, ACCEPTED_KEY) == 0)
            return true;
    return false;
}

static void tell_open(struct rpc_call *call)
{
    if (call->opened || call->close_seen)
        return;
    call->opened = true;
    if (call->handlers.open)
        call->handlers.open(call, call->user);
}

/* The server's initial metadata have come. */
static void on_open(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_open);
    if (ok && is_accepted(&call->metadata))
        tell_open(call);
    rpc_call_unref(call);
}

/* Replaces the OK of a server whose answer is none. */
static void override_status(struct rpc_call *call, const char *text)
{
    call->status = GRPC_STATUS_INTERNAL;
    grpc_slice_unref(call->status_text);
    call->status_text = grpc_slice_from_static_string(text);
}

static void malformed(struct rpc_call *call, err_t why)
{
    static const char text[] = "malformed message from the server";
    err_free(why);
    if (call->unary_client)
        override_status(call, text);
    else
        grpc_call_cancel_with_status(call->call, GRPC_STATUS_INTERNAL, text, NULL);
}

/* A server of another make says by its first message that it has accepted. */
static void heard(struct rpc_call *call, size_t)
{
    tell_open(call);
}

static void ended(struct rpc_call *)
{
    // the status follows
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

/* Why our judge refuses a server (rpc/credentials.c) stands behind 150 bytes of core's own words:
 * without those it fits where a reason is kept. */
static const char *status_text(const struct rpc_call *call, int *ret_len)
{
    static const char judged[] = "Custom verification check failed with error: UNAUTHENTICATED: ";
    const char *text = (const char *)GRPC_SLICE_START_PTR(call->status_text);
    const size_t len = GRPC_SLICE_LENGTH(call->status_text);
    const char *at = len ? memmem(text, len, judged, sizeof judged - 1) : NULL;
    const char *begin = at ? at + sizeof judged - 1 : text;
    *ret_len = (int)(len - (size_t)(begin - text));
    return begin;
}

/* A server in plaintext closes at the first byte of TLS, and core says no more than that. */
static const char *hint(const struct rpc_call *call, const char *text, int len)
{
    static const char reset[] = "Connection reset by peer";
    const bool was_reset = len > 0 && memmem(text, (size_t)len, reset, sizeof reset - 1);
    return call->secure && call->status == GRPC_STATUS_UNAVAILABLE && was_reset
               ? " (we speak TLS: does the server have net.tls?)"
               : "";
}

/* The status that the server sent, or the transport for it. */
static err_t outcome(struct rpc_call *call)
{
    int len;
    enum err_code code = ERR_UNKNOWN;
    if (call->status == GRPC_STATUS_OK)
        return OK;
    if (call->status == GRPC_STATUS_UNAUTHENTICATED)
        code = ERR_DENIED;
    else if (call->status > 0 && (int)call->status <= ERR_DATA_LOSS)
        code = (enum err_code)call->status;
    const char *text = status_text(call, &len);
    return with_details(call, err_new(code, "%s of %s: %.*s%s", call->method->path, call->target,
                                      len, text, hint(call, text, len)));
}

static void leave(struct rpc_call *call)
{
    struct rpc *rpc = call->rpc;
    pthread_mutex_lock(&rpc->mutex);
    *call->prev_open = call->next_open;
    if (call->next_open)
        call->next_open->prev_open = call->prev_open;
    rpc->open_calls--;
    pthread_cond_signal(&rpc->arrived);
    pthread_mutex_unlock(&rpc->mutex);
}

static const struct call_side client_side = {
    .heard = heard, .ended = ended, .malformed = malformed, .outcome = outcome, .over = leave};

static void deliver_reply(struct rpc_call *call)
{
    grpc_byte_buffer *buffer = call->received;
    call->received = NULL;
    if (buffer)
        call_deliver(call, buffer);
    else if (call->status == GRPC_STATUS_OK)
        override_status(call, "the server sent OK without a reply");
}

/* A unary call has one batch: reply and status come together. */
static void on_reply(struct rpc_tag *tag, bool ok)
{
    deliver_reply(CONTAINER(tag, struct rpc_call, on_close));
    call_on_close(tag, ok);
}

static struct rpc_call *client_call(struct rpc_channel *channel, const struct rpc_method *method,
                                    const struct rpc_call_options *options,
                                    const struct rpc_handlers *handlers, void *user)
{
    static const struct rpc_call_options none;
    if (!options)
        options = &none;
    struct rpc *rpc = channel->rpc;
    struct rpc_call *call = call_new(rpc, &client_side, method);
    call->expected = method->reply;
    call->handlers = *handlers;
    call->user = user;
    call->target = mem_string(channel->target);
    call->secure = channel->security.keys != NULL;
    call->paused = options->paused;
    call->on_open.fn = on_open;
    if (options->queue_bytes)
        call->queue_limit = options->queue_bytes;
    if (options->deadline_ms)
        call->deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                      gpr_time_from_millis(options->deadline_ms, GPR_TIMESPAN));
    if (options->wait_for_ready)
        call->initial_flags = GRPC_INITIAL_METADATA_WAIT_FOR_READY |
                              GRPC_INITIAL_METADATA_WAIT_FOR_READY_EXPLICITLY_SET;
    pthread_mutex_lock(&channel->mutex);
    renew_core(channel);
    call->call = grpc_channel_create_call(channel->core, NULL, GRPC_PROPAGATE_DEFAULTS, rpc->poll,
                                          grpc_slice_from_static_string(method->path), NULL,
                                          call->deadline, NULL);
    pthread_mutex_unlock(&channel->mutex);
    pthread_mutex_lock(&rpc->mutex);
    call->prev_open = &rpc->calls;
    call->next_open = rpc->calls;
    if (call->next_open)
        call->next_open->prev_open = &call->next_open;
    rpc->calls = call;
    rpc->open_calls++;
    pthread_mutex_unlock(&rpc->mutex);
    return call;
}

static grpc_op receive_status(struct rpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_STATUS_ON_CLIENT};
    op.data.recv_status_on_client.trailing_metadata = &call->trailers;
    op.data.recv_status_on_client.status = &call->status;
    op.data.recv_status_on_client.status_details = &call->status_text;
    return op;
}

static grpc_op receive_initial(struct rpc_call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_INITIAL_METADATA};
    op.data.recv_initial_metadata.recv_initial_metadata = &call->metadata;
    return op;
}

struct rpc_call *rpc_call_unary(struct rpc_channel *channel, const struct rpc_method *method,
                                const struct ProtobufCMessage *request,
                                const struct rpc_call_options *options,
                                const struct rpc_handlers *handlers, void *user)
{
    struct rpc_call *call = client_call(channel, method, options, handlers, user);
    call->unary_client = true;
    call->on_close.fn = on_reply;
    call->initial_sent = call->half_close_wanted = call->half_close_sent = call->received_all =
        true;
    SCOPED(rpc_message) message = rpc_message_pack(request);
    call->outgoing = message_buffer(message);
    grpc_op ops[6];
    memset(ops, 0, sizeof ops);
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].flags = call->initial_flags;
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = call->outgoing;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3] = receive_initial(call);
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &call->received;
    ops[5] = receive_status(call);
    call_batch(call, ops, 6, &call->on_close);
    return call;
}

struct rpc_call *rpc_call_stream(struct rpc_channel *channel, const struct rpc_method *method,
                                 const struct rpc_call_options *options,
                                 const struct rpc_handlers *handlers, void *user)
{
    struct rpc_call *call = client_call(channel, method, options, handlers, user);
    const grpc_op initial = receive_initial(call), status = receive_status(call);
    pthread_mutex_lock(&call->mutex);
    call->open_now = true;
    call_send_next(call); // the initial metadata
    call_batch(call, &initial, 1, &call->on_open);
    call_batch(call, &status, 1, &call->on_close);
    call_receive_next(call);
    pthread_mutex_unlock(&call->mutex);
    return call;
}
