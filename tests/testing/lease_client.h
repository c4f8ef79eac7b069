/* A generator's lease stream to a real learner, said by hand: hellos that no generator of ours
 * would say.
 *
 *     struct lease_client client;
 *     lease_client_open(&client, address, &(struct lease_request){.run = "test", .generator = "g", .incarnation = 1, ...});
 *     lease_client_answered(&client);      -- the hello was answered, or the stream closed: client.term, client.code, client.why
 *     lease_client_close(&client);
 *
 * Owner: the test's thread. */
#pragma once
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include "testing/testing.h"
#include "wire/lease.h"
#include <stdio.h>

enum { LEASE_CLIENT_MS = 60000 };

struct lease_client {
    struct loop *loop;
    struct loop_timer *poll;
    struct rpc *rpc;
    struct rpc_channel *channel;
    struct rpc_call *call; // NULL: closed
    uint64_t term;         // 0: no answer yet
    uint32_t grants;
    bool closed, wants_close;
    enum err_code code;
    char why[1024];
    int64_t until_ms;
};

static inline void lease_client_message(struct rpc_call *call, struct rpc_message *message,
                                        const struct ProtobufCMessage *pb, void *user)
{
    (void)call, (void)pb;
    struct lease_client *client = user;
    struct lease_reply reply = {0};
    assert_ok(lease_reply_decode(rpc_message_data(message), rpc_message_len(message), &reply));
    client->term = reply.term ? reply.term : client->term;
    client->grants += reply.grants;
    lease_reply_done(&reply);
}

static inline void lease_client_closed(struct rpc_call *call, err_t why, void *user)
{
    struct lease_client *client = user;
    client->closed = true;
    client->code = err_code(why);
    snprintf(client->why, sizeof client->why, "%s", err_message(why));
    err_free(why);
    if (client->call)
        rpc_call_unref(call);
    client->call = NULL;
}

static inline void lease_client_poll(void *arg)
{
    struct lease_client *client = arg;
    if (client->closed || (client->term && !client->wants_close))
        loop_stop(client->loop);
    else if (clock_ms() > client->until_ms)
        fail_msg("the learner answers no hello");
}

static inline void lease_client_wait(struct lease_client *client, bool for_close)
{
    client->wants_close = for_close;
    client->until_ms = clock_ms() + LEASE_CLIENT_MS;
    loop_timer_start(client->poll, 0, 5);
    assert_ok(loop_run(client->loop));
    loop_timer_stop(client->poll);
}

static inline void lease_client_answered(struct lease_client *client)
{
    lease_client_wait(client, false);
}

static inline void lease_client_open_with(struct lease_client *client, const char *address,
                                          const struct security *security,
                                          const struct lease_request *hello)
{
    static const struct rpc_method lease = {"/rlhfd.v1.Prompts/Lease", NULL, NULL, RPC_BIDI};
    static const struct rpc_handlers handlers = {.message = lease_client_message,
                                                 .close = lease_client_closed};
    SCOPED_VALUE(bytes) out = {0};
    *client = (struct lease_client){0};
    assert_ok(loop_new(&client->loop));
    assert_ok(rpc_new(client->loop, &client->rpc));
    assert_ok(rpc_channel_new(
        client->rpc, &(struct rpc_channel_options){.target = address, .security = security},
        &client->channel));
    client->poll = loop_timer_new(client->loop, lease_client_poll, client);
    client->call = rpc_call_ref(
        rpc_call_stream(client->channel, &lease, &(struct rpc_call_options){0}, &handlers, client));
    lease_request_encode(hello, &out);
    struct rpc_message *message = rpc_message_copy(out.data, out.len);
    assert_true(rpc_call_send_message(client->call, message));
    rpc_message_free(message);
}

static inline void lease_client_open(struct lease_client *client, const char *address,
                                     const struct lease_request *hello)
{
    lease_client_open_with(client, address, NULL, hello);
}

static inline void lease_client_close(struct lease_client *client)
{
    if (client->call) {
        rpc_call_drop(client->call);
        rpc_call_unref(STEAL(client->call));
    }
    rpc_channel_free(client->channel);
    rpc_free(client->rpc);
    loop_timer_free(client->poll);
    loop_free(client->loop);
}
