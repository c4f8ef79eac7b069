/* A client of a real daemon's admin port that waits for each answer.
 *
 *     struct client client = client_new(&daemons, LEARNER);
 *     const Rlhfd__Admin__V1__Settings *s = CALL(&client, "GetSettings", request, settings);   -- until the next call
 *     REFUSED(&client, "GetSettings", request, settings, ERR_NOT_FOUND, "keys", "part of what is allowed", "UNKNOWN_KEY");
 *     client_done(&client);
 *
 * Owner: the test's thread. */
#pragma once
#include "testing/daemons.h"
#include "testing/testing.h"
// clang-format off
#include "admin.pb-c.h"
// clang-format on
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include <string.h>

enum { CALL_MS = 30000 };

struct client {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_channel *channel;
    const ProtobufCMessageDescriptor *type; // of the reply awaited
    ProtobufCMessage *reply;                // of the last call; NULL: it failed
    err_t failed;
    int wanted; // messages until the call is cancelled
};

static inline void on_message(struct rpc_call *call, struct rpc_message *message,
                              const struct ProtobufCMessage *pb, void *user)
{
    (void)pb;
    struct client *client = user;
    protobuf_c_message_free_unpacked(client->reply, NULL);
    assert_ok(rpc_message_unpack(message, client->type, &client->reply));
    if (--client->wanted == 0)
        rpc_call_cancel(call);
}

static inline void on_close(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct client *client = user;
    client->failed = why;
    loop_stop(client->loop);
}

static inline struct client client_new(const struct daemons *ring, enum daemon_kind kind)
{
    static const char *const names[] = {"learner", "rewarder", "generator"};
    struct client client = {0};
    SCOPED_MEM char *path = mem_printf("%s/%s.json", ring->ring->run, names[kind]);
    SCOPED_JSON json_t *object = NULL;
    const char *admin;
    assert_ok(json_read_file(path, 1 << 16, &object));
    assert_ok(json_get_text(object, path, "admin", &admin));
    assert_ok(loop_new(&client.loop));
    assert_ok(rpc_new(client.loop, &client.rpc));
    assert_ok(rpc_channel_new(client.rpc, &(struct rpc_channel_options){.target = admin},
                              &client.channel));
    return client;
}

static inline void client_done(struct client *client)
{
    protobuf_c_message_free_unpacked(client->reply, NULL);
    err_free(client->failed);
    rpc_channel_free(client->channel);
    rpc_free(client->rpc);
    loop_free(client->loop);
}

static inline const void *try_call(struct client *client, const char *method,
                                   const ProtobufCMessage *request,
                                   const ProtobufCMessageDescriptor *type)
{
    struct rpc_method row = {.path = method, .reply = type, .kind = RPC_UNARY};
    protobuf_c_message_free_unpacked(STEAL(client->reply), NULL);
    err_free(client->failed);
    client->failed = OK;
    client->type = type;
    client->wanted = -1;
    rpc_call_unary(client->channel, &row, request,
                   &(struct rpc_call_options){.deadline_ms = CALL_MS},
                   &(struct rpc_handlers){.message = on_message, .close = on_close}, client);
    assert_ok(loop_run(client->loop));
    return client->reply;
}

#define METHOD(name) "/rlhfd.admin.v1.LearnerAdmin/" name
#define CALL(client, name, request, type)                                                          \
    (const void *)call_ok((client), METHOD(name), &(request).base,                                 \
                          &rlhfd__admin__v1__##type##__descriptor)

static inline const void *call_ok(struct client *client, const char *method,
                                  const ProtobufCMessage *request,
                                  const ProtobufCMessageDescriptor *type)
{
    const void *reply = try_call(client, method, request, type);
    if (!reply)
        fail_msg("%s", err_message(client->failed));
    return reply;
}

#define REFUSED(client, name, request, type, code, field, allowed, reason)                         \
    refused((client), METHOD(name), &(request).base, &rlhfd__admin__v1__##type##__descriptor,      \
            (code), (field), (allowed), (reason))

/* field NULL: none is named. */
static inline void refused(struct client *client, const char *method,
                           const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                           enum err_code code, const char *field, const char *allowed,
                           const char *reason)
{
    assert_null(try_call(client, method, request, type));
    err_t e = client->failed;
    bool ok = err_code(e) == code && !field == !err_field_name(e);
    ok = ok && (!field ||
                (strcmp(err_field_name(e), field) == 0 && strstr(err_field_allowed(e), allowed)));
    ok = ok && (!reason || (err_reason_word(e) && strcmp(err_reason_word(e), reason) == 0));
    if (!ok)
        fail_msg("%s: %s field=%s allowed=%s reason=%s: %s", method, err_code_name(err_code(e)),
                 err_field_name(e), err_field_allowed(e), err_reason_word(e), err_message(e));
}
