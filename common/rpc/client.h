/* Channels to servers, and calls on them. For a stream that must stay open see rpc/stream.h.
 *
 *     TRY(rpc_channel_new(rpc, &(struct rpc_channel_options){.target = "127.0.0.1:7003"}, &channel));
 *     rpc_call_unary(channel, &get_status, &request.base, &(struct rpc_call_options){.deadline_ms = 2000}, &handlers, user);
 *     -> handlers.message(reply), then handlers.close(OK); or handlers.close(error) alone
 *
 * Owner: the loop's thread; calls may be started from any. */
#pragma once
#include "rpc/call.h"
#include "rpc/rpc.h"

struct rpc_channel;
struct security;
struct rpc_channel_options {
    const char *target;              // "127.0.0.1:7003", "host:7003", "unix:/path"
    const struct security *security; // copied; NULL: plaintext on loopback alone
    unsigned servers;                // with TLS: CALLER_...: roles that may answer; 0: any
    bool own_connection;   // not shared with equal channels: for bulk, that nobody waits behind it
    size_t max_recv_bytes; // longest message; 0: 4 MiB
    int keepalive_ms;      // pings a silent server; 0: 20000
    int keepalive_timeout_ms; // until it counts as gone; 0: 10000
    int reconnect_min_ms;     // pause before the second attempt to connect; 0: 100
    int reconnect_max_ms;     // the pause doubles up to this; 0: 5000
};

/* Connects when first used. INVALID: target; DENIED: security does not allow it (svc/security.h).
 * Open calls outlive the channel. */
err_t rpc_channel_new(struct rpc *rpc, const struct rpc_channel_options *options,
                      struct rpc_channel **ret);
void rpc_channel_free(struct rpc_channel *channel);
DEFINE_SCOPED(rpc_channel)

struct rpc_call_options {
    int64_t deadline_ms; // from now; 0: none. Give unary calls one
    size_t queue_bytes;  // limit behind rpc_call_full; 0: RPC_QUEUE_BYTES
    bool wait_for_ready; // waits for the server until the deadline; else UNAVAILABLE at once
    bool paused;         // nothing is read until rpc_call_resume
};

/* Starts a call; options may be NULL; handlers are copied. Never fails here: failure is the close
 * handler's error, which names the method and the target. The call is borrowed until its close
 * handler has returned. The handler may come before this returns, but only for RPC_INLINE methods
 * or a caller off the callbacks' thread. */
struct rpc_call *rpc_call_unary(struct rpc_channel *channel, const struct rpc_method *method,
                                const struct ProtobufCMessage *request,
                                const struct rpc_call_options *options,
                                const struct rpc_handlers *handlers, void *user);
struct rpc_call *rpc_call_stream(struct rpc_channel *channel, const struct rpc_method *method,
                                 const struct rpc_call_options *options,
                                 const struct rpc_handlers *handlers, void *user);
