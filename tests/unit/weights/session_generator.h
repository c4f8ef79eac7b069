/* A generator's process for tests of sessions: the real rules, lane and gRPC stream; NCCL and
 * CUDA's runtime are stand-ins. The process checks and reports every version, whether all of it
 * came by NCCL or a rest over gRPC. */
#pragma once
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "rpc/message.h"
#include "rpc/stream.h"
#include "svc/loop.h"
#include "tensor/digest.h"
#include "testing/testing.h"
#include "weights/broadcast/attend.h"
#include "weights/codec/manifest.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    ELEMENTS = 4 << 20, // 8 MiB
    BUCKET = 1 << 20,
    MISMATCH = 3
};
static const struct rpc_method SUBSCRIBE = {"/rlhfd.v1.Weights/Subscribe", NULL, NULL, RPC_BIDI};

static inline uint16_t value_of(uint64_t version, size_t i)
{
    return (uint16_t)(version * 7919 + i * 31 + (i >> 16));
}

/* ---- the generator's process: member TARGET NAME [STATE SIGNAL] */

struct generator {
    struct loop *loop;
    struct rpc_stream *stream;
    struct attend *attend;
    uint16_t *values;
    struct manifest manifest; // the last version that came
    uint64_t have_bytes;      // length of the part of it that came
    int signal_in, signal_number;
};

static inline void tell(struct generator *generator)
{
    const struct subscription applied = {.holds = true,
                                         .lineage = generator->manifest.lineage,
                                         .version = generator->manifest.version};
    SCOPED_VALUE(bytes) out = {0};
    subscription_encode(&applied, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    rpc_stream_send_message(generator->stream, message);
}

static inline bool check(const struct generator *generator)
{
    const struct digest got = weights_digest(generator->values, 0, ELEMENTS);
    return digest_equal(&got, &generator->manifest.digest);
}

static inline void member_send(struct rpc_message *message, void *user)
{
    rpc_stream_send_message(((struct generator *)user)->stream, message);
}

static inline uint8_t *member_buffer(const struct session_message *announce, void *user)
{
    struct generator *generator = user;
    if (announce->version != generator->manifest.version ||
        announce->bytes != ELEMENTS * sizeof(uint16_t))
        exit(4);
    memset(generator->values, 0, ELEMENTS * sizeof(uint16_t));
    return (uint8_t *)generator->values;
}

static inline bool member_received(const struct session_message *announce, void *user)
{
    struct generator *generator = user;
    (void)announce;
    if (!check(generator))
        return false;
    tell(generator);
    return true;
}

static inline void member_ended(uint64_t have, void *user)
{
    ((struct generator *)user)->have_bytes = have;
}

static inline void member_note(const char *text, void *user)
{
    (void)user;
    log_info("session", "text=\"%s\"", text);
}

static inline void member_entered(enum member_state state, void *user)
{
    const struct generator *generator = user;
    log_info("state", "name=%s", member_state_name(state));
    if (generator->signal_number && (int)state == generator->signal_in)
        raise(generator->signal_number);
}

static inline void member_up(struct rpc_stream *stream, void *user)
{
    struct generator *generator = user;
    (void)stream;
    attend_up(generator->attend);
}

/* All that comes over gRPC must follow what came by NCCL without a hole. */
static inline void member_chunk(struct generator *generator, struct rpc_message *message,
                                const struct weights_event *event)
{
    if (event->first * sizeof(uint16_t) > generator->have_bytes)
        exit(5);
    rpc_message_read(message, event->offset, event->count * sizeof(uint16_t),
                     generator->values + event->first);
    generator->have_bytes = (event->first + event->count) * sizeof(uint16_t);
    if (generator->have_bytes < ELEMENTS * sizeof(uint16_t))
        return;
    if (!check(generator))
        exit(MISMATCH);
    tell(generator);
}

static inline void member_message(struct rpc_stream *stream, struct rpc_message *message,
                                  const struct ProtobufCMessage *pb, void *user)
{
    struct generator *generator = user;
    struct session_message session;
    struct weights_event event;
    (void)stream;
    (void)pb;
    err_t e =
        session_message_decode_down(rpc_message_data(message), rpc_message_len(message), &session);
    if (!err_failed(e)) {
        attend_hear(generator->attend, &session);
        return;
    }
    if (err_code(e) != ERR_NOT_FOUND)
        exit(6);
    err_free(e);
    assert_ok(weights_decode(message, &event));
    if (event.kind == WEIGHTS_CHUNK_OF_FULL) {
        member_chunk(generator, message, &event);
        return;
    }
    generator->manifest = event.manifest;
    generator->have_bytes = 0;
}

static inline void member_down(struct rpc_stream *stream, err_t why, void *user)
{
    struct generator *generator = user;
    (void)stream;
    err_free(why);
    attend_lost(generator->attend);
}

static inline int member_main(int argc, char **argv)
{
    struct generator generator = {.values = mem_array(ELEMENTS, sizeof(uint16_t))};
    struct rpc *rpc = NULL;
    struct nccl *nccl = NULL;
    log_open(argv[3], LOG_INFO);
    generator.signal_in = argc > 4 ? (int)strtol(argv[4], NULL, 10) : -1;
    generator.signal_number = argc > 5 ? (int)strtol(argv[5], NULL, 10) : 0;
    assert_ok(nccl_open(FAKE_NCCL_LIBRARY, FAKE_CUDART_LIBRARY, &nccl));
    assert_ok(loop_new(&generator.loop));
    assert_ok(rpc_new(generator.loop, &rpc));
    const struct attend_options options = {.loop = generator.loop,
                                           .nccl = nccl,
                                           .limits = {10000, 10000, 10000, 5000},
                                           .send = member_send,
                                           .buffer = member_buffer,
                                           .received = member_received,
                                           .ended = member_ended,
                                           .note = member_note,
                                           .entered = member_entered,
                                           .user = &generator};
    assert_ok(attend_new(&options, &generator.attend));
    const struct rpc_stream_options stream = {.channel = {.target = argv[2]}, .method = &SUBSCRIBE};
    static const struct rpc_stream_handlers handlers = {
        .up = member_up, .message = member_message, .down = member_down};
    assert_ok(rpc_stream_open(rpc, &stream, &handlers, &generator, &generator.stream));
    assert_ok(loop_run(generator.loop));
    return 0;
}
