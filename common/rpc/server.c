#include "rpc/server.h"
#include "base/mem.h"
#include "rpc/call_state.h"
#include "svc/loop.h"
#include <stdlib.h>
#include <string.h>

/* Calls that can begin at the same moment, per method. Core scans what is armed: more is slower. */
enum { ARMED = 8 };

static void on_open(struct rpc_tag *tag, bool ok);

static bool has_one_request(const struct rpc_method *method)
{
    return method->kind == RPC_UNARY || method->kind == RPC_SERVER_STREAM;
}

/* Prepares the next call of a method: its memory is there before it comes. */
static void arm(struct rpc_entry *entry)
{
    struct rpc_server *server = entry->server;
    const struct rpc_method *method = entry->method;
    struct rpc_call *call = call_new(server->rpc, method, method && method->flags & RPC_INLINE);
    call->entry = entry;
    call->user = entry->user;
    if (method)
        call->handlers = method->handlers;
    call->on_open.fn = on_open;
    rpc_count(server->rpc, &server->pending, 1);
    TSAN_RELEASE(&call->on_open);
    grpc_completion_queue *queue = server->rpc->queue;
    if (method)
        grpc_server_request_registered_call(
            server->core, entry->handle, &call->call, &call->deadline, &call->metadata,
            has_one_request(method) ? &call->received : NULL, queue, queue, &call->on_open);
    else
        grpc_server_request_call(server->core, &call->call, &call->details, &call->metadata, queue,
                                 queue, &call->on_open);
}

void server_call_over(struct rpc_call *call)
{
    rpc_count(call->rpc, &call->entry->server->pending, -1);
}

/* Unary requests come with the call. */
static void deliver_request(struct rpc_call *call)
{
    grpc_byte_buffer *buffer = call->received;
    call->received = NULL;
    call->received_all = true;
    if (buffer)
        call_deliver(call, buffer);
    else
        rpc_call_finish(call, err_new(ERR_INVALID, "%s: no request message", call->method->path));
}

static void open_call(struct rpc_call *call)
{
    call->open_now = call->method->kind != RPC_UNARY;
    if (call->handlers.open)
        call->handlers.open(call, call->user);
    pthread_mutex_lock(&call->mutex);
    call_send_next(
        call); // a stream's client learns now that it is accepted, not with the first answer
    pthread_mutex_unlock(&call->mutex);
    if (has_one_request(call->method)) {
        deliver_request(call);
        return;
    }
    pthread_mutex_lock(&call->mutex);
    call_receive_next(call);
    pthread_mutex_unlock(&call->mutex);
}

static void on_open(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_open);
    struct rpc_server *server = call->entry->server;
    if (!ok) { // the server shuts down: what was armed comes back unused
        server_call_over(call);
        rpc_call_unref(call);
        return;
    }
    if (!atomic_load(&server->stopping))
        arm(call->entry);
    /* At once: core does not tell of cancellations otherwise. */
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->cancelled;
    call_batch(call, &op, 1, &call->on_close);
    if (call->method)
        open_call(call);
    else
        rpc_call_finish(call, err_new(ERR_UNIMPLEMENTED, "unknown method %.*s",
                                      (int)GRPC_SLICE_LENGTH(call->details.method),
                                      GRPC_SLICE_START_PTR(call->details.method)));
}

/* ---- start */

static void add_entries(struct rpc_server *server, const struct rpc_server_options *options)
{
    size_t count = 1;
    for (size_t i = 0; i < options->service_count; i++)
        for (const struct rpc_method *m = options->services[i].methods; m->path; m++)
            count++;
    server->entries = mem_array(count, sizeof *server->entries);
    for (size_t i = 0; i < options->service_count; i++)
        for (const struct rpc_method *m = options->services[i].methods; m->path; m++) {
            void *handle = grpc_server_register_method(
                server->core, m->path, NULL,
                has_one_request(m) ? GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER
                                   : GRPC_SRM_PAYLOAD_NONE,
                0);
            server->entries[server->entry_count++] =
                (struct rpc_entry){m, handle, options->services[i].user, server};
        }
    /* The catch-all: without it a call of an unknown method would hang until its deadline. */
    server->entries[server->entry_count++] = (struct rpc_entry){.server = server};
}

/* Core's reason is a line of nested key:value pairs; the system's message is in it. */
static err_t listen_error(const char *address, const char *reason)
{
    static const char key[] = "os_error:\"";
    const char *text = strstr(reason, key);
    const char *end = text ? strchr(text + strlen(key), '"') : NULL;
    if (!end)
        return err_new(ERR_UNAVAILABLE, "cannot listen on '%s': %s", address,
                       *reason ? reason : "unknown reason");
    text += strlen(key);
    return err_new(ERR_UNAVAILABLE, "cannot listen on '%s': %.*s", address, (int)(end - text),
                   text);
}

static err_t bind_to(struct rpc_server *server, const char *address)
{
    char reason[2048];
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    rpc_log_capture(reason, sizeof reason);
    server->port = grpc_server_add_http2_port(server->core, address, credentials);
    rpc_log_capture(NULL, 0);
    grpc_server_credentials_release(credentials);
    if (!server->port)
        return listen_error(address, reason);
    if (strncmp(address, "unix:", 5) == 0)
        server->port = 0;
    return OK;
}

err_t rpc_server_start(struct rpc *rpc, const struct rpc_server_options *options,
                       struct rpc_server **ret)
{
    TRY(address_check(options->address, options->insecure));
    struct channel_args args;
    server_args(options, &args);
    SCOPED(rpc_server) server = mem_new(sizeof *server);
    server->rpc = rpc;
    server->core = grpc_server_create(&(grpc_channel_args){args.count, args.list}, NULL);
    grpc_server_register_completion_queue(server->core, rpc->queue, NULL);
    add_entries(server, options);
    const err_t e = bind_to(server, options->address);
    grpc_server_start(
        server->core); // also when it is freed at once: core cannot destroy it otherwise
    TRY(e);
    for (size_t i = 0; i < server->entry_count; i++)
        for (int j = 0; j < (server->entries[i].method ? ARMED : 1); j++)
            arm(&server->entries[i]);
    *ret = STEAL(server);
    return OK;
}

int rpc_server_port(const struct rpc_server *server)
{
    return server->port;
}

/* ---- stop */

static void on_down(struct rpc_tag *tag, bool)
{
    struct rpc_server *server = CONTAINER(tag, struct rpc_server, on_down);
    loop_timer_free(STEAL(server->grace));
    rpc_count(server->rpc, &server->pending, -1);
    server->is_down = true;
    if (server->down)
        server->down(server->down_arg);
}

static void on_grace_over(void *arg)
{
    struct rpc_server *server = arg;
    grpc_server_cancel_all_calls(server->core);
}

void rpc_server_stop(struct rpc_server *server, int grace_ms, void (*down)(void *arg), void *arg)
{
    if (!atomic_exchange(&server->stopping, true)) {
        server->down = down;
        server->down_arg = arg;
        server->on_down = (struct rpc_tag){.fn = on_down};
        rpc_count(server->rpc, &server->pending, 1);
        TSAN_RELEASE(&server->on_down);
        grpc_server_shutdown_and_notify(server->core, server->rpc->queue, &server->on_down);
    }
    if (server->is_down)
        return;
    if (grace_ms <= 0) {
        grpc_server_cancel_all_calls(server->core);
        return;
    }
    if (!server->grace)
        server->grace = loop_timer_new(server->rpc->loop, on_grace_over, server);
    loop_timer_start(server->grace, grace_ms, 0);
}

void rpc_server_free(struct rpc_server *server)
{
    if (!server)
        return;
    if (!server->is_down)
        rpc_server_stop(server, 0, NULL, NULL);
    rpc_wait(server->rpc, &server->pending);
    loop_timer_free(server->grace);
    grpc_server_destroy(server->core);
    free(server->entries);
    free(server);
}
