/* One call, as its server and its client see it: methods, handlers, sending, reading, ending.
 *
 *     static void append(struct rpc_call *call, struct rpc_message *message, const struct ProtobufCMessage *pb, void *user)
 *     {
 *         rpc_call_send(call, &disposition.base);                -- queued, in order
 *         if (rpc_call_full(call))
 *             rpc_call_pause(call);                              -- go on reading in the writable handler
 *     }
 *
 * A call lives until its close handler has returned; rpc_call_ref keeps the handle longer (then
 * everything below is allowed and without effect). Every call below may be made from any thread by
 * who holds a reference or is in a callback, except where it says otherwise. */
#pragma once
#include "base/err.h"
#include "rpc/message.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_call;
enum rpc_kind { RPC_UNARY, RPC_SERVER_STREAM, RPC_CLIENT_STREAM, RPC_BIDI };

/* Flags of a method. RPC_INLINE: its callbacks run on the queue's thread; for short, hot handlers
 * that touch nothing of the loop's. RPC_HELLO: its client speaks at once; one that is silent
 * instead holds no connection open. */
enum { RPC_INLINE = 1, RPC_HELLO = 2 };

/* All are optional. user is the service's (server) or the one given with the call (client). */
struct rpc_handlers {
    /* Server: a call has come. Client streams: the server has accepted the call. */
    void (*open)(struct rpc_call *call, void *user);
    /* A message has come; unary: the request or the reply. pb is NULL where the method's row has no
     * descriptor. Both are borrowed; rpc_message_ref keeps the bytes. */
    void (*message)(struct rpc_call *call, struct rpc_message *message,
                    const struct ProtobufCMessage *pb, void *user);
    /* Server streams: the client has sent its last message. Without this handler the call is
     * finished with OK. */
    void (*half_close)(struct rpc_call *call, void *user);
    /* The send queue was full and is under half of its limit again. */
    void (*writable)(struct rpc_call *call, void *user);
    /* The last callback, always. why is owned by the handler: OK, or the error of the peer or the
     * transport. On the server OK means that the client has been sent the whole answer; CANCELLED,
     * DEADLINE that it went away. */
    void (*close)(struct rpc_call *call, err_t why, void *user);
};

/* A row of a service's table, used by servers and clients alike; clients give handlers with each
 * call. With TLS a caller of another role is answered DENIED before its request is read. In
 * plaintext whoever may reach the port may call. */
struct rpc_method {
    const char *path;                                         // "/package.Service/Method"
    const struct ProtobufCMessageDescriptor *request, *reply; // NULL: raw, never unpacked here
    enum rpc_kind kind;
    unsigned callers; // server: CALLER_...: who may call it, at least one
    struct rpc_handlers handlers;
    unsigned flags;
};

/* Queues a copy (of references only: send_message). False: the call is over or its sending side
 * closed. */
bool rpc_call_send(struct rpc_call *call, const struct ProtobufCMessage *pb);
bool rpc_call_send_message(struct rpc_call *call, struct rpc_message *message);

/* Bytes not yet taken by the transport's flow control; and whether they have reached the limit:
 * stop producing until writable. The limit is RPC_QUEUE_BYTES, or a client's call option. Sending
 * over it is possible and costs memory. */
size_t rpc_call_queued(struct rpc_call *call);
bool rpc_call_full(struct rpc_call *call);
enum { RPC_QUEUE_BYTES = 4 << 20 };

void rpc_call_half_close(struct rpc_call *call); // client: no more messages after those queued

/* Server: ends the call with status why, after the queued messages; takes why. Its err_field and
 * err_reason travel as google.rpc details, and the client's error has them again. reply sends one
 * message, then finishes with OK. */
void rpc_call_finish(struct rpc_call *call, err_t why);
bool rpc_call_reply(struct rpc_call *call, const struct ProtobufCMessage *pb);

void rpc_call_cancel(struct rpc_call *call); // at once; the close handler follows

/* Owner of the callbacks' thread only, not RPC_INLINE: no callback any more from here on, and
 * cancels. The caller's reference, if it had taken one, stays its own. */
void rpc_call_drop(struct rpc_call *call);

/* Stops and continues reading. Unread messages fill the peer's queue. On the callbacks' thread no
 * message comes after pause (RPC_INLINE, other threads: at most the one underway). Unary calls: no
 * effect. */
void rpc_call_pause(struct rpc_call *call);
void rpc_call_resume(struct rpc_call *call);

bool rpc_call_is_over(struct rpc_call *call);         // closed, cancelled or finished here
int64_t rpc_call_time_left_ms(struct rpc_call *call); // INT64_MAX: no deadline; < 0: past
char *rpc_call_peer(struct rpc_call *call);           // "ipv4:127.0.0.1:4711", owned by the caller

/* Server: who calls, by its certificate; NULL: plaintext. Borrowed while the call is held. */
struct identity;
const struct identity *rpc_call_identity(const struct rpc_call *call);

/* Server: whether the caller is who its message says. DENIED: its certificate has another name or
 * run. OK in plaintext. */
err_t rpc_call_claims(const struct rpc_call *call, const char *run, const char *name);

/* A pointer of the handlers' own, per call; NULL at first. In callbacks only. */
void *rpc_call_context(struct rpc_call *call);
void rpc_call_set_context(struct rpc_call *call, void *context);

struct rpc_call *rpc_call_ref(struct rpc_call *call);
void rpc_call_unref(struct rpc_call *call);
