/* One who calls by the product's own client, with given keys: any method, with any bytes.
 *
 *     struct asker viewer = asker_new(directory, "test");        -- NULL: plaintext
 *     asker_connect(&viewer, address);
 *     assert_int_equal(asker_call(&viewer, "/rlhfd.v1.Replay/Append", bytes, len), ERR_DENIED);
 *     viewer.text                                                  -- the whole error
 *     asker_done(&viewer);
 *
 * The asker has a runtime of its own: start processes before. Owner: the test's thread. */
#pragma once
#include "base/mem.h"
#include "rpc/client.h"
#include "svc/loop.h"
#include "svc/security.h"
#include "testing/testing.h"
#include <stdio.h>

enum { ASKER_MS = 60000 };

struct asker {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_channel *channel;
    struct security security;
    bool at_once;       // a server that cannot be reached is an error, too
    enum err_code code; // of the last call
    char text[800];
    int replies;
};

static inline struct asker asker_new(const char *directory, const char *run)
{
    struct asker asker = {.security.run = run};
    if (directory)
        assert_ok(tls_keys_open(directory, &asker.security.keys));
    assert_ok(loop_new(&asker.loop));
    assert_ok(rpc_new(asker.loop, &asker.rpc));
    return asker;
}

static inline void asker_connect(struct asker *asker, const char *address)
{
    rpc_channel_free(STEAL(asker->channel));
    assert_ok(rpc_channel_new(asker->rpc,
                              &(struct rpc_channel_options){.target = address,
                                                            .security = &asker->security,
                                                            .own_connection = true,
                                                            .max_recv_bytes = 64 << 20},
                              &asker->channel));
}

static inline void asker_done(struct asker *asker)
{
    rpc_channel_free(asker->channel);
    rpc_free(asker->rpc);
    loop_free(asker->loop);
    tls_keys_free(asker->security.keys);
}

static inline void asker_replied(struct rpc_call *, struct rpc_message *,
                                 const struct ProtobufCMessage *, void *user)
{
    ((struct asker *)user)->replies++;
}

static inline void asker_closed(struct rpc_call *, err_t why, void *user)
{
    struct asker *asker = user;
    asker->code = err_code(why);
    snprintf(asker->text, sizeof asker->text, "%s", err_message(why));
    err_free(why);
    loop_stop(asker->loop);
}

/* Sends one message, takes no more than the end of the call, and returns its code. */
static inline enum err_code asker_send(struct asker *asker, const char *path,
                                       struct rpc_message *message)
{
    const struct rpc_method method = {.path = path, .kind = RPC_BIDI};
    const struct rpc_handlers handlers = {.message = asker_replied, .close = asker_closed};
    asker->replies = 0;
    struct rpc_call *call = rpc_call_stream(
        asker->channel, &method,
        &(struct rpc_call_options){.deadline_ms = ASKER_MS, .wait_for_ready = !asker->at_once},
        &handlers, asker);
    rpc_call_send_message(call, message);
    rpc_call_half_close(call);
    assert_ok(loop_run(asker->loop));
    return asker->code;
}

static inline enum err_code asker_call(struct asker *asker, const char *path, const void *data,
                                       size_t len)
{
    SCOPED(rpc_message) message = rpc_message_copy(data, len);
    return asker_send(asker, path, message);
}
