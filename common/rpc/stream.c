#include "rpc/stream.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "rpc/call_state.h"
#include "svc/loop.h"
#include <stdlib.h>

enum { BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 5000 };

struct rpc_stream {
    struct rpc_channel *channel;
    struct rpc_method method;
    struct rpc_call_options options; // .paused outlives reconnections
    struct rpc_stream_handlers handlers;
    void *user;
    struct rpc_call *call; // referenced; NULL between attempts
    struct loop_timer *timer;
    bool up, told_down;
    int64_t up_since_ms;
    int64_t backoff_min_ms, backoff_max_ms, backoff_ms;
    uint64_t losses;
};

/* Peers that lost the same server do not come back in the same instant. */
static int64_t jittered(const struct rpc_stream *stream)
{
    const uint64_t seed[] = {(uintptr_t)stream, stream->losses, (uint64_t)clock_wall_ms()};
    const int64_t range = stream->backoff_ms / 2 + 1;
    return stream->backoff_ms - range / 2 +
           (int64_t)(hash64(seed, sizeof seed, 0) % (uint64_t)range);
}

static void schedule(struct rpc_stream *stream)
{
    stream->losses++;
    loop_timer_start(stream->timer, jittered(stream), 0);
    stream->backoff_ms *= 2;
    if (stream->backoff_ms > stream->backoff_max_ms)
        stream->backoff_ms = stream->backoff_max_ms;
}

/* Takes why. */
static void lost(struct rpc_stream *stream, err_t why)
{
    if (stream->up && clock_ms() - stream->up_since_ms >= stream->backoff_max_ms)
        stream->backoff_ms = stream->backoff_min_ms;
    const enum err_code code = err_code(why);
    const bool refused = code == ERR_PRECONDITION || code == ERR_ABORTED || code == ERR_DENIED;
    const bool tell = stream->up || !stream->told_down || refused;
    stream->up = false;
    stream->told_down = true;
    rpc_call_unref(STEAL(stream->call));
    schedule(stream);
    if (tell && stream->handlers.down)
        stream->handlers.down(stream, why, stream->user);
    else
        err_free(why);
}

static void on_open(struct rpc_call *, void *user)
{
    struct rpc_stream *stream = user;
    stream->up = true;
    stream->up_since_ms = clock_ms();
    if (stream->handlers.up)
        stream->handlers.up(stream, stream->user);
}

static void on_message(struct rpc_call *, struct rpc_message *message,
                       const struct ProtobufCMessage *pb, void *user)
{
    struct rpc_stream *stream = user;
    stream->backoff_ms = stream->backoff_min_ms;
    if (stream->handlers.message)
        stream->handlers.message(stream, message, pb, stream->user);
}

static void on_writable(struct rpc_call *, void *user)
{
    struct rpc_stream *stream = user;
    if (stream->handlers.writable)
        stream->handlers.writable(stream, stream->user);
}

static void on_close(struct rpc_call *call, err_t why, void *user)
{
    struct rpc_stream *stream = user;
    if (!err_failed(why))
        why = err_new(ERR_UNAVAILABLE, "%s of %s: the peer ended the stream", call->method->path,
                      call->target);
    lost(stream, why);
}

static void attempt(void *arg)
{
    static const struct rpc_handlers handlers = {
        .open = on_open, .message = on_message, .writable = on_writable, .close = on_close};
    struct rpc_stream *stream = arg;
    stream->call = rpc_call_ref(
        rpc_call_stream(stream->channel, &stream->method, &stream->options, &handlers, stream));
}

err_t rpc_stream_open(struct rpc *rpc, const struct rpc_stream_options *options,
                      const struct rpc_stream_handlers *handlers, void *user,
                      struct rpc_stream **ret)
{
    SCOPED(rpc_stream) stream = mem_new(sizeof *stream);
    struct rpc_channel_options channel = options->channel;
    channel.own_connection = true;
    TRY(rpc_channel_new(rpc, &channel, &stream->channel));
    stream->method = *options->method;
    stream->method.flags &= ~(unsigned)RPC_INLINE;
    stream->options.queue_bytes = options->queue_bytes;
    stream->handlers = *handlers;
    stream->user = user;
    stream->backoff_min_ms = options->backoff_min_ms ? options->backoff_min_ms : BACKOFF_MIN_MS;
    stream->backoff_max_ms = options->backoff_max_ms ? options->backoff_max_ms : BACKOFF_MAX_MS;
    stream->backoff_ms = stream->backoff_min_ms;
    stream->timer = loop_timer_new(rpc->loop, attempt, stream);
    attempt(stream);
    *ret = STEAL(stream);
    return OK;
}

bool rpc_stream_is_up(const struct rpc_stream *stream)
{
    return stream->up;
}

bool rpc_stream_send_message(struct rpc_stream *stream, struct rpc_message *message)
{
    return stream->up && rpc_call_send_message(stream->call, message);
}

size_t rpc_stream_queued(const struct rpc_stream *stream)
{
    return stream->call ? rpc_call_queued(stream->call) : 0;
}

bool rpc_stream_full(const struct rpc_stream *stream)
{
    return stream->call && rpc_call_full(stream->call);
}

void rpc_stream_pause(struct rpc_stream *stream)
{
    stream->options.paused = true;
    if (stream->call)
        rpc_call_pause(stream->call);
}

void rpc_stream_resume(struct rpc_stream *stream)
{
    stream->options.paused = false;
    if (stream->call)
        rpc_call_resume(stream->call);
}

void rpc_stream_break(struct rpc_stream *stream, err_t why)
{
    if (!stream->call) {
        err_free(why);
        return;
    }
    rpc_call_drop(stream->call);
    lost(stream, why);
}

void rpc_stream_free(struct rpc_stream *stream)
{
    if (!stream)
        return;
    if (stream->call) {
        rpc_call_drop(stream->call);
        rpc_call_unref(stream->call);
    }
    loop_timer_free(stream->timer);
    rpc_channel_free(stream->channel);
    free(stream);
}
