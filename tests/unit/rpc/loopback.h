/* A loop, a runtime, a server on a free port of 127.0.0.1 and a channel to it, in one process. The
 * services are the real ones, with handlers that a test steers. */
#pragma once
#include "testing/testing.h"
// clang-format off
#include "admin.pb-c.h"
#include "replay.pb-c.h"
#include "rollout.pb-c.h"
#include "weights.pb-c.h"
// clang-format on
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/client.h"
#include "rpc/health.h"
#include "rpc/reflect.h"
#include "rpc/server.h"
#include "rpc/stream.h"
#include "svc/loop.h"
#include "svc/security.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loopback {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_server *server;
    struct rpc_channel *channel;
    char target[64];
    /* NULL: plaintext; the roles that the channel takes for its server */
    const struct security *security, *client_security;
    unsigned servers;
    int idle_ms;                      // of the server's connections; 0: the default
    const struct rpc_method *methods; // NULL: loopback_methods
    char caller[512];                 // GetStatus: the identity of who asked last; "": none
    /* Orders to the server's handlers, and their findings. */
    enum err_code fail;    // GetStatus: answers with this error
    const char *claims;    // GetStatus: answers by what rpc_call_claims says of this name
    bool silent;           // GetStatus: never answers; Append: takes without a disposition
    bool hold;             // Append: pauses each call as it opens
    bool half_close_ok;    // Append: ends with OK when the client has sent its last
    struct rpc_call *held; // the last Append call, while it is open
    int opened, received, half_closed, closed;
    enum err_code closed_code;
    uint64_t received_bytes, next_slot;
    /* until() */
    bool (*done)(void *arg);
    void *done_arg;
    int64_t give_up_ms;
};

/* ---- running the loop until something holds */
static inline void poll_done(void *arg)
{
    struct loopback *lo = arg;
    if (lo->done(lo->done_arg))
        loop_stop(lo->loop);
    else if (clock_ms() > lo->give_up_ms)
        fail_msg("waited in vain");
}

static inline void until(struct loopback *lo, bool (*done)(void *arg), void *arg)
{
    lo->done = done;
    lo->done_arg = arg;
    lo->give_up_ms = clock_ms() + 60000; // sanitizers on a loaded machine
    SCOPED(loop_timer) timer = loop_timer_new(lo->loop, poll_done, lo);
    loop_timer_start(timer, 0, 1);
    assert_ok(loop_run(lo->loop));
}

static inline bool past(void *arg)
{
    return clock_ms() >= *(int64_t *)arg;
}

static inline void run_for(struct loopback *lo, int ms)
{
    int64_t end = clock_ms() + ms;
    until(lo, past, &end);
}

static inline bool is_set(void *arg)
{
    return *(bool *)arg;
}

/* ---- the server's handlers */
static inline void get_status(struct rpc_call *call, struct rpc_message *,
                              const struct ProtobufCMessage *pb, void *user)
{
    struct loopback *lo = user;
    assert_non_null(pb);
    lo->received++;
    *lo->caller = '\0';
    if (rpc_call_identity(call))
        identity_print(rpc_call_identity(call), lo->caller);
    if (lo->silent)
        return;
    const err_t claimed = lo->claims ? rpc_call_claims(call, "sort", lo->claims) : OK;
    if (err_failed(claimed)) {
        rpc_call_finish(call, claimed);
        return;
    }
    if (lo->fail) {
        rpc_call_finish(call, err_new(lo->fail, "asked to fail: \"ünïcode\" 100 %%"));
        return;
    }
    Rlhfd__Admin__V1__Status status = RLHFD__ADMIN__V1__STATUS__INIT;
    status.daemon = "learner";
    assert_true(rpc_call_reply(call, &status.base));
}

static inline void append_open(struct rpc_call *call, void *user)
{
    struct loopback *lo = user;
    lo->opened++;
    lo->held = call;
    if (lo->hold)
        rpc_call_pause(call);
}

static inline void append_message(struct rpc_call *call, struct rpc_message *message,
                                  const struct ProtobufCMessage *pb, void *user)
{
    struct loopback *lo = user;
    const Rlhfd__V1__Group *group = (const void *)pb;
    lo->received++;
    lo->received_bytes += rpc_message_len(message);
    if (lo->silent)
        return;
    Rlhfd__V1__Disposition disposition = RLHFD__V1__DISPOSITION__INIT;
    disposition.id = group->id;
    disposition.outcome = RLHFD__V1__OUTCOME__OUTCOME_STORED;
    assert_int_equal(group->slot, lo->next_slot++); // in order
    rpc_call_send(call, &disposition.base);
}

static inline void append_half_close(struct rpc_call *call, void *user)
{
    struct loopback *lo = user;
    lo->half_closed++;
    if (lo->half_close_ok)
        rpc_call_finish(call, OK);
}

static inline void count_close(struct rpc_call *call, err_t why, void *user)
{
    struct loopback *lo = user;
    lo->closed++;
    lo->closed_code = err_code(why);
    if (lo->held == call)
        lo->held = NULL;
    err_free(why);
}

#define APPEND     "/rlhfd.v1.Replay/Append"
#define GET_STATUS "/rlhfd.admin.v1.Admin/GetStatus"
static const struct rpc_method loopback_methods[] = {
    {GET_STATUS,
     &rlhfd__admin__v1__get_status_request__descriptor,
     &rlhfd__admin__v1__status__descriptor,
     RPC_UNARY,
     CALLER_ANY,
     {.message = get_status, .close = count_close}},
    {APPEND,
     &rlhfd__v1__group__descriptor,
     &rlhfd__v1__disposition__descriptor,
     RPC_BIDI,
     CALLER_ANY,
     {.open = append_open,
      .message = append_message,
      .half_close = append_half_close,
      .close = count_close}},
    {0},
};

/* ---- start and end */
static inline void serve(struct loopback *lo, int port, size_t max_recv_bytes)
{
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    struct rpc_service services[] = {{lo->methods ? lo->methods : loopback_methods, lo}};
    const struct rpc_server_options options = {.address = address,
                                               .security = lo->security,
                                               .idle_ms = lo->idle_ms,
                                               .max_recv_bytes = max_recv_bytes,
                                               RPC_SERVICES(services)};
    err_t failed = rpc_server_start(lo->rpc, &options, &lo->server);
    /* A port that was free a moment ago may be the near end of somebody's connection. */
    for (int tries = 0; port && tries < 200 && err_code(failed) == ERR_UNAVAILABLE; tries++) {
        err_free(failed);
        clock_sleep_ms(50);
        failed = rpc_server_start(lo->rpc, &options, &lo->server);
    }
    assert_ok(failed);
    snprintf(lo->target, sizeof lo->target, "127.0.0.1:%d", rpc_server_port(lo->server));
}

static inline void connect_to(struct loopback *lo, size_t max_recv_bytes)
{
    assert_ok(rpc_channel_new(lo->rpc,
                              &(struct rpc_channel_options){.target = lo->target,
                                                            .security = lo->client_security,
                                                            .servers = lo->servers,
                                                            .own_connection = true,
                                                            .max_recv_bytes = max_recv_bytes},
                              &lo->channel));
}

static inline void loopback_init(struct loopback *lo)
{
    *lo = (struct loopback){.half_close_ok = true};
    assert_ok(loop_new(&lo->loop));
    assert_ok(rpc_new(lo->loop, &lo->rpc));
    serve(lo, 0, 0);
    connect_to(lo, 0);
}

static inline void loopback_done(struct loopback *lo)
{
    rpc_channel_free(lo->channel);
    rpc_server_free(lo->server);
    rpc_free(lo->rpc);
    loop_free(lo->loop);
}

/* ---- a client's call and what came of it */
struct call_outcome {
    bool opened, closed;
    int messages, writable;
    enum err_code code;
    char text[512];
    char daemon[32];
    struct rpc_message *last;
};

static inline void outcome_open(struct rpc_call *, void *user)
{
    ((struct call_outcome *)user)->opened = true;
}

static inline void outcome_message(struct rpc_call *, struct rpc_message *message,
                                   const struct ProtobufCMessage *pb, void *user)
{
    struct call_outcome *out = user;
    out->messages++;
    rpc_message_free(out->last);
    out->last = rpc_message_ref(message);
    if (pb && pb->descriptor == &rlhfd__admin__v1__status__descriptor)
        snprintf(out->daemon, sizeof out->daemon, "%s",
                 ((const Rlhfd__Admin__V1__Status *)pb)->daemon);
}

static inline void outcome_writable(struct rpc_call *, void *user)
{
    ((struct call_outcome *)user)->writable++;
}

static inline void outcome_close(struct rpc_call *, err_t why, void *user)
{
    struct call_outcome *out = user;
    assert_false(out->closed);
    out->closed = true;
    out->code = err_code(why);
    snprintf(out->text, sizeof out->text, "%s", err_message(why));
    err_free(why);
}

static const struct rpc_handlers outcome_handlers = {.open = outcome_open,
                                                     .message = outcome_message,
                                                     .writable = outcome_writable,
                                                     .close = outcome_close};

static inline void outcome_done(struct call_outcome *out)
{
    rpc_message_free(out->last);
    *out = (struct call_outcome){0};
}

static inline struct rpc_call *ask_status(struct loopback *lo, int64_t deadline_ms,
                                          struct call_outcome *out)
{
    outcome_done(out);
    Rlhfd__Admin__V1__GetStatusRequest request = RLHFD__ADMIN__V1__GET_STATUS_REQUEST__INIT;
    return rpc_call_unary(lo->channel, &loopback_methods[0], &request.base,
                          &(struct rpc_call_options){.deadline_ms = deadline_ms}, &outcome_handlers,
                          out);
}

static inline struct rpc_call *
open_append(struct loopback *lo, const struct rpc_call_options *options, struct call_outcome *out)
{
    outcome_done(out);
    return rpc_call_stream(lo->channel, &loopback_methods[1], options, &outcome_handlers, out);
}

/* The number in *user's counters can be waited for. */
struct count_is {
    const int *count;
    int at_least;
};
static inline bool reached(void *arg)
{
    const struct count_is *want = arg;
    return *want->count >= want->at_least;
}
static inline void until_count(struct loopback *lo, const int *count, int at_least)
{
    struct count_is want = {count, at_least};
    until(lo, reached, &want);
}

/* A group of about len bytes. */
static inline struct rpc_message *group_message(uint64_t slot, size_t len)
{
    Rlhfd__V1__Group group = RLHFD__V1__GROUP__INIT;
    uint8_t id[16] = {1, 2, 3};
    group.id = (ProtobufCBinaryData){sizeof id, id};
    group.slot = slot;
    group.row = (ProtobufCBinaryData){len, mem_array(len + 1, 1)};
    struct rpc_message *message = rpc_message_pack(&group.base);
    free(group.row.data);
    return message;
}
