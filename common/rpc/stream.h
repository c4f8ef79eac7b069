/* A bidirectional stream to a peer that stays open: when it breaks it is opened again, with growing
 * pauses.
 *
 *     static void up(struct rpc_stream *stream, void *user) { -- say hello, send again all that is not acknowledged -- }
 *     TRY(rpc_stream_open(rpc, &(struct rpc_stream_options){.channel = {.target = "127.0.0.1:7003"},
 *         .method = &log_append}, &(struct rpc_stream_handlers){.up = up, .down = down, .message = ack}, user, &stream));
 *     if (rpc_stream_is_up(stream) && !rpc_stream_full(stream))
 *         rpc_stream_send_message(stream, entry);       -- lost if the stream breaks before the peer acknowledges it
 *
 * A stream has a connection of its own. Owner: the loop's thread, which also runs the handlers. */
#pragma once
#include "rpc/client.h"

struct rpc_stream;
struct rpc_stream_options {
    struct rpc_channel_options channel; // own_connection is implied
    const struct rpc_method *method;    // RPC_BIDI; its handlers are not used
    size_t queue_bytes;                 // limit behind rpc_stream_full; 0: RPC_QUEUE_BYTES
    int backoff_min_ms;                 // pause after the first loss, +- 25 % of jitter; 0: 100
    /* Each further loss doubles the pause, at most to this; a message from the peer resets it. 0:
     * 5000 */
    int backoff_max_ms;
};

/* All are optional; every one may call everything below except free. */
struct rpc_stream_handlers {
    /* The peer has accepted: messages may be sent. */
    void (*up)(struct rpc_stream *stream, void *user);
    void (*message)(struct rpc_stream *stream, struct rpc_message *message,
                    const struct ProtobufCMessage *pb, void *user);
    /* The send queue was full and is under half of the limit again. */
    void (*writable)(struct rpc_stream *stream, void *user);
    /* The stream broke, or the first attempt to open it failed. A further failed attempt is told
     * only if the peer refused it: ABORTED, DENIED, or PRECONDITION, which the owner should not try
     * again.
     * why is owned by the handler; codes are the peer's. UNAVAILABLE: also when the peer ended the
     * stream with OK. */
    void (*down)(struct rpc_stream *stream, err_t why, void *user);
};

/* Begins to connect at once. INVALID, DENIED: as rpc_channel_new. */
err_t rpc_stream_open(struct rpc *rpc, const struct rpc_stream_options *options,
                      const struct rpc_stream_handlers *handlers, void *user,
                      struct rpc_stream **ret);

bool rpc_stream_is_up(const struct rpc_stream *stream);

/* Queues a reference. False: the stream is not up. */
bool rpc_stream_send_message(struct rpc_stream *stream, struct rpc_message *message);
/* Bytes the peer's side has not taken yet; full: stop producing until writable, or the next up. */
size_t rpc_stream_queued(const struct rpc_stream *stream);
bool rpc_stream_full(const struct rpc_stream *stream);

/* Stops and continues reading; a pause outlives reconnections. */
void rpc_stream_pause(struct rpc_stream *stream);
void rpc_stream_resume(struct rpc_stream *stream);

/* Breaks the current stream, if any, and opens it again after the pause: down(why) comes first.
 * Takes why. For a peer that sends nonsense. */
void rpc_stream_break(struct rpc_stream *stream, err_t why);

/* Cancels and forgets; no handler is called any more. Not from a handler. */
void rpc_stream_free(struct rpc_stream *stream);
DEFINE_SCOPED(rpc_stream)
