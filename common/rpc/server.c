#include "rpc/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/call_state.h"
#include "rpc/pace.h"
#include "svc/door.h"
#include "svc/loop.h"
#include "svc/security.h"
#include <grpc/grpc_posix.h>
#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ARMED: calls that can begin at the same moment, per method; core scans what is armed, so more is
 * slower. CALLS_PER_STREAM: a client that has more calls open than streams resets them faster than
 * they end. SPARE: what may be on its way behind the longest message. */
enum {
    ARMED = 8,
    CONNECTIONS = 512,
    IDLE = 128,
    IDLE_MS = 30000,
    ARRIVALS_PER_S = 50,
    CALLS_PER_STREAM = 4,
    SPARE = 8 << 20,
    DENIED_LINES = 20, // a minute
};

/* ---- what the door hears of a call */

static bool has_one_request(const struct rpc_method *method)
{
    return method->kind == RPC_UNARY || method->kind == RPC_SERVER_STREAM;
}

/* Core names the peer of a connection that it was given by its descriptor. False: the connection
 * was closed. */
static bool find_connection(struct rpc_call *call)
{
    struct door *door = call->entry->server->door;
    int fd;
    char *peer = door ? grpc_call_get_peer(call->call) : NULL;
    if (peer && sscanf(peer, "fd:%d", &fd) == 1)
        call->ticket = door_ticket(door, fd);
    gpr_free(peer);
    if (!call->ticket.serial)
        return !door;
    call->peer = door_peer(door, call->ticket);
    return door_call(door, call->ticket);
}

/* Fails closed: without an identity nobody may call. */
static void find_caller(struct rpc_call *call)
{
    const struct rpc_server *server = call->entry->server;
    struct identity who;
    if (!server->checks)
        return;
    if (door_identity(server->door, call->ticket, &who))
        call->identity = mem_copy(&who, sizeof who);
    call->denied =
        !call->identity || (call->method && !(call->identity->role & call->method->callers));
}

static err_t denied(const struct rpc_call *call)
{
    char who[IDENTITY_TEXT] = "a caller without an identity", roles[64] = "";
    if (call->identity)
        identity_print(call->identity, who);
    if (call->method)
        identity_roles_print(call->method->callers, roles, sizeof roles);
    log_limited(LOG_WARNING, DENIED_LINES, "call denied",
                "identity=\"%s\" method=%s callers=\"%s\"", who,
                call->method ? call->method->path : "?", roles);
    return err_new(ERR_DENIED, "%s may not call this; allowed are: %s", who, roles);
}

static void heard(struct rpc_call *call, size_t bytes)
{
    struct door *door = call->entry->server->door;
    if (!call->ticket.serial)
        return;
    door_used(door, call->ticket, bytes);
    if (!call->used)
        door_keep(door, call->ticket, DOOR_BUSY, 1);
    call->used = true;
}

static void leave_door(struct rpc_call *call)
{
    struct door *door = call->entry->server->door;
    if (!call->ticket.serial)
        return;
    if (call->quiet)
        door_keep(door, call->ticket, DOOR_QUIET, -1);
    if (call->used)
        door_keep(door, call->ticket, DOOR_BUSY, -1);
    const bool served = call->used && !call->one_request;
    door_call_over(door, call->ticket, call->cancelled && !call->finishing && !served);
}

static void leave(struct rpc_call *call)
{
    leave_door(call);
    rpc_count(call->rpc, &call->entry->server->pending, -1);
}

/* ---- the server's side of a call */

static void malformed(struct rpc_call *call, err_t why)
{
    rpc_call_finish(call, err_wrap(why, "request of %s", call->method->path));
}

static void ended(struct rpc_call *call)
{
    if (call->one_request)
        rpc_call_finish(call, err_new(ERR_INVALID, "%s: no request message", call->method->path));
    else if (call->handlers.half_close)
        call->handlers.half_close(call, call->user);
    else
        rpc_call_finish(call, OK);
}

static err_t outcome(struct rpc_call *call)
{
    if (!call->cancelled)
        return OK;
    if (rpc_call_time_left_ms(call) <= 0)
        return err_new(ERR_DEADLINE, "%s: the client's deadline has passed", call->method->path);
    return err_new(ERR_CANCELLED, "%s: the client has gone", call->method->path);
}

static const struct call_side server_side = {.answers = true,
                                             .heard = heard,
                                             .ended = ended,
                                             .malformed = malformed,
                                             .outcome = outcome,
                                             .over = leave};

/* ---- a call begins */

static void on_open(struct rpc_tag *tag, bool ok);

/* Prepares the next call of a method: its memory is there before it comes. A request is read like
 * any other message, not by core with the call: a half of one, or a reset, would stay unseen. */
static void arm(struct rpc_entry *entry)
{
    struct rpc_server *server = entry->server;
    const struct rpc_method *method = entry->method;
    struct rpc_call *call = call_new(server->rpc, &server_side, method);
    call->entry = entry;
    call->user = entry->user;
    call->expected = method ? method->request : NULL;
    call->on_open = (struct rpc_tag){.fn = on_open, .is_inline = true};
    rpc_count(server->rpc, &server->pending, 1);
    TSAN_RELEASE(&call->on_open);
    grpc_completion_queue *queue = server->rpc->queue;
    if (method)
        grpc_server_request_registered_call(server->core, entry->handle, &call->call,
                                            &call->deadline, &call->metadata, NULL, queue, queue,
                                            &call->on_open);
    else
        grpc_server_request_call(server->core, &call->call, &call->details, &call->metadata, queue,
                                 queue, &call->on_open);
}

static void open_call(struct rpc_call *call)
{
    call->handlers = call->method->handlers;
    call->open_now = call->method->kind != RPC_UNARY;
    call->quiet = call->ticket.serial && !call->one_request && !(call->method->flags & RPC_HELLO);
    if (call->quiet)
        door_keep(call->entry->server->door, call->ticket, DOOR_QUIET, 1);
    if (call->handlers.open)
        call->handlers.open(call, call->user);
    pthread_mutex_lock(&call->mutex);
    /* The client of a stream learns now that it is accepted, not with the first answer. */
    call_send_next(call);
    call_receive_next(call);
    pthread_mutex_unlock(&call->mutex);
}

/* Takes the reference that waited. Until now nobody knows of the call, so none of its handlers is
 * called. */
static void admit(struct rpc_call *call)
{
    pthread_mutex_lock(&call->mutex);
    const bool over = call->close_seen;
    pthread_mutex_unlock(&call->mutex);
    if (over) {
        rpc_call_unref(call);
        return;
    }
    if (call->denied)
        rpc_call_finish(call, denied(call));
    else if (call->method)
        open_call(call);
    else
        rpc_call_finish(call, err_new(ERR_UNIMPLEMENTED, "unknown method %.*s",
                                      (int)GRPC_SLICE_LENGTH(call->details.method),
                                      GRPC_SLICE_START_PTR(call->details.method)));
    rpc_call_unref(call);
}

static void on_admit(struct rpc_tag *tag, bool)
{
    admit(CONTAINER(tag, struct rpc_call, on_open));
}

/* On the queue's thread, which also reads from the network: it reads no more calls than it has
 * taken. */
static void on_open(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, on_open);
    struct rpc_server *server = call->entry->server;
    if (!ok) { // the server shuts down: what was armed comes back unused
        leave(call);
        rpc_call_unref(call);
        return;
    }
    if (!atomic_load(&server->stopping))
        arm(call->entry);
    const bool connected = find_connection(call);
    find_caller(call);
    call->one_request = call->method && has_one_request(call->method);
    rpc_call_ref(call); // until it is admitted
    /* At once: core does not tell of cancellations otherwise. */
    grpc_op op = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    op.data.recv_close_on_server.cancelled = &call->cancelled;
    call_batch(call, &op, 1, &call->on_close);
    const bool is_inline = call->method && call->method->flags & RPC_INLINE;
    if (!connected || (!is_inline && !pace_admits(server->pace, call))) {
        rpc_call_unref(call);
        return;
    }
    if (call->one_request &&
        !call->denied) { // its request is read while the loop learns of the call
        pthread_mutex_lock(&call->mutex);
        call_receive_next(call);
        pthread_mutex_unlock(&call->mutex);
    }
    if (is_inline) {
        admit(call);
        return;
    }
    call->on_open.fn = on_admit;
    rpc_push(call->rpc, &call->on_open);
}

/* ---- start */

static err_t check_methods(const struct rpc_server_options *options)
{
    for (size_t i = 0; i < options->service_count; i++)
        for (const struct rpc_method *m = options->services[i].methods; m->path; m++)
            if (!m->callers)
                return err_new(ERR_INTERNAL, "method %s: its row does not say who may call it",
                               m->path);
    return OK;
}

static void add_entries(struct rpc_server *server, const struct rpc_server_options *options)
{
    size_t count = 1;
    for (size_t i = 0; i < options->service_count; i++)
        for (const struct rpc_method *m = options->services[i].methods; m->path; m++)
            count++;
    server->entries = mem_array(count, sizeof *server->entries);
    for (size_t i = 0; i < options->service_count; i++)
        for (const struct rpc_method *m = options->services[i].methods; m->path; m++) {
            void *handle =
                grpc_server_register_method(server->core, m->path, NULL, GRPC_SRM_PAYLOAD_NONE, 0);
            server->entries[server->entry_count++] =
                (struct rpc_entry){m, handle, options->services[i].user, server};
        }
    /* The catch-all: without it a call of an unknown method would hang until its deadline. */
    server->entries[server->entry_count++] = (struct rpc_entry){.server = server};
}

/* On the door's thread. */
static void take_connection(void *arg, int fd)
{
    struct rpc_server *server = arg;
    grpc_server_add_channel_from_fd(server->core, fd, server->credentials);
}

static int or_default(int value, int fallback)
{
    return value ? value : fallback;
}

/* Core accepts without a limit, and not again after it has met EMFILE once: the door accepts for
 * it. */
static err_t open_door(struct rpc_server *server, const struct rpc_server_options *options)
{
    const int connections = or_default(options->connections, CONNECTIONS);
    const int streams = or_default(options->max_streams, RPC_MAX_STREAMS);
    TRY(err_wrap(door_open(&(struct door_options){.address = options->address,
                                                  .connections = connections,
                                                  .idle = connections < IDLE ? 0 : IDLE,
                                                  .per_s = ARRIVALS_PER_S,
                                                  .idle_ms = or_default(options->idle_ms, IDLE_MS),
                                                  .greeting = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                                  .tls = {options->security, "h2", true},
                                                  .calls = CALLS_PER_STREAM * streams,
                                                  .unused_bytes =
                                                      recv_limit(options->max_recv_bytes) + SPARE,
                                                  .hand = take_connection,
                                                  .arg = server},
                           &server->door),
                 "cannot listen on '%s'", options->address));
    server->port = door_port(server->door);
    return OK;
}

static bool is_local(const char *address)
{
    return strncmp(address, "unix:", 5) == 0;
}

/* A socket in a directory has that directory's permissions for a door. */
static err_t bind_local(struct rpc_server *server, const char *address)
{
    char reason[2048];
    rpc_log_capture(reason, sizeof reason);
    const bool bound = grpc_server_add_http2_port(server->core, address, server->credentials);
    rpc_log_capture(NULL, 0);
    return bound ? OK : err_new(ERR_UNAVAILABLE, "cannot listen on '%s': %s", address, reason);
}

err_t rpc_server_start(struct rpc *rpc, const struct rpc_server_options *options,
                       struct rpc_server **ret)
{
    TRY(address_check(options->address, options->security));
    TRY(check_methods(options));
    struct channel_args args;
    server_args(options, &args);
    SCOPED(rpc_server) server = mem_new(sizeof *server);
    server->rpc = rpc;
    server->core = grpc_server_create(&(grpc_channel_args){args.count, args.list}, NULL);
    grpc_server_register_completion_queue(server->core, rpc->queue, NULL);
    grpc_server_register_completion_queue(server->core, rpc->poll, NULL);
    server->checks = options->security && options->security->keys;
    server->credentials = grpc_insecure_server_credentials_create();
    server->pace = pace_new(rpc, options->calls_per_s, admit);
    add_entries(server, options);
    err_t e = is_local(options->address) ? bind_local(server, options->address) : OK;
    /* Also before an immediate end: core cannot destroy a server that has not started. */
    grpc_server_start(server->core);
    TRY(e);
    if (!is_local(options->address))
        TRY(open_door(server, options));
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
    door_close(server->door);
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
    pace_free(server->pace);
    grpc_server_destroy(server->core);
    grpc_server_credentials_release(server->credentials);
    door_free(server->door);
    free(server->entries);
    free(server);
}
