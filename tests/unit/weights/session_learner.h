/* A learner for tests of sessions: the real transport with a small publisher over real gRPC. One
 * at a time in a process. */
#pragma once
#include "base/clock.h"
#include "rpc/server.h"
#include "session_generator.h"
#include "svc/security.h"
#include "testing/process.h"
#include "weights/broadcast/transport.h"
#include <stdio.h>

enum { GENERATORS = 4, PEERS = 128, GIVE_UP_MS = 60000 };
static const struct session_limits LIMITS = {100, 1500, 4000, 1500, 700, 300};

struct peer {
    uint64_t id;
    struct rpc_call *call; // NULL: gone
    uint64_t applied;
    int over_nccl, over_grpc; // versions
    uint64_t released;        // the version of which the transport said so last
    uint64_t resumed_bytes;   // bytes that had come by the last session that broke
};

struct learner {
    struct loop *loop;
    struct rpc *rpc;
    struct nccl *nccl;
    struct rpc_server *server;
    struct weights_transport *transport;
    char target[64];
    struct peer peer[PEERS]; // index: the peer's id - 1
    uint64_t peers;
    uint16_t *values;
    struct manifest manifest; // the newest; version 0: none
    bool is_busy;             // values are the transport's
    int carried, held_up;     // offers taken; offers of these that did not come through
    int64_t worst_ms;
    bool (*done)(struct learner *);
    int64_t give_up_ms;
    struct process process[GENERATORS];
    char notes[4096];
};
static struct learner *learner; // one at a time: the handlers' and the conditions'

static struct peer *peer_of(uint64_t id)
{
    return &learner->peer[id - 1];
}

static inline void send_manifest(struct peer *peer)
{
    SCOPED(rpc_message) message = manifest_message(&learner->manifest);
    rpc_call_send_message(peer->call, message);
}

/* Chunks are copies: a peer that nobody waits for may be sent one version while the next is
 * made. */
static inline void send_chunks(struct peer *peer, uint64_t have)
{
    for (size_t i = have / sizeof(uint16_t); i < ELEMENTS;) {
        const size_t count = ELEMENTS - i < WEIGHTS_CHUNK ? ELEMENTS - i : WEIGHTS_CHUNK;
        uint16_t *values = mem_copy(learner->values + i, count * sizeof *values);
        SCOPED(rpc_message) message = chunk_message(i, values, count, mem_free, values);
        rpc_call_send_message(peer->call, message);
        i += count;
    }
    peer->over_grpc++;
}

static inline void root_send(uint64_t id, struct rpc_message *message, void *user)
{
    (void)user;
    if (peer_of(id)->call)
        rpc_call_send_message(peer_of(id)->call, message);
}

static inline void root_announce(uint64_t id, void *user)
{
    (void)user;
    if (peer_of(id)->call)
        send_manifest(peer_of(id));
}

static inline void root_released(uint64_t id, uint64_t have, void *user)
{
    struct peer *peer = peer_of(id);
    (void)user;
    peer->released = learner->manifest.version;
    if (have == ELEMENTS * sizeof(uint16_t)) {
        peer->over_nccl++;
        return;
    }
    peer->resumed_bytes = have;
    if (peer->call)
        send_chunks(peer, have);
}

static inline void root_note(const char *text, void *user)
{
    (void)user;
    const size_t len = strlen(learner->notes);
    snprintf(learner->notes + len, sizeof learner->notes - len, "%s\n", text);
}

static inline void on_open(struct rpc_call *call, void *user)
{
    (void)user;
    assert_true(learner->peers < PEERS);
    struct peer *peer = &learner->peer[learner->peers++];
    *peer = (struct peer){.id = learner->peers, .call = call};
    rpc_call_set_context(call, peer);
    if (!learner->manifest.version)
        return;
    send_manifest(peer);
    send_chunks(peer, 0);
}

static inline void on_message(struct rpc_call *call, struct rpc_message *message,
                              const struct ProtobufCMessage *pb, void *user)
{
    struct peer *peer = rpc_call_context(call);
    struct session_message session;
    (void)pb;
    (void)user;
    const uint8_t *data = rpc_message_data(message);
    err_t e = session_message_decode_up(data, rpc_message_len(message), &session);
    if (!err_failed(e)) {
        transport_hear(learner->transport, peer->id, &session);
        return;
    }
    assert_int_equal(err_code(e), ERR_NOT_FOUND);
    err_free(e);
    SCOPED_VALUE(subscription) subscription = {0};
    assert_ok(subscription_decode(data, rpc_message_len(message), &subscription));
    peer->applied = subscription.version;
}

static inline void on_close(struct rpc_call *call, err_t why, void *user)
{
    struct peer *peer = rpc_call_context(call);
    (void)user;
    err_free(why);
    peer->call = NULL;
    transport_leave(learner->transport, peer->id);
}

static const struct rpc_method methods[] = {
    {"/rlhfd.v1.Weights/Subscribe",
     NULL,
     NULL,
     RPC_BIDI,
     CALLER_ANY,
     {.open = on_open, .message = on_message, .close = on_close},
     0},
    {0},
};

static inline void learner_start(struct learner *it)
{
    *it = (struct learner){.values = mem_array(ELEMENTS, sizeof(uint16_t))};
    learner = it;
    assert_ok(nccl_open(FAKE_NCCL_LIBRARY, FAKE_CUDART_LIBRARY, &it->nccl));
    assert_ok(loop_new(&it->loop));
    assert_ok(rpc_new(it->loop, &it->rpc));
    const struct transport_options options = {.loop = it->loop,
                                              .nccl = it->nccl,
                                              .bucket_bytes = BUCKET,
                                              .limits = LIMITS,
                                              .send = root_send,
                                              .announce = root_announce,
                                              .released = root_released,
                                              .note = root_note};
    assert_ok(transport_new(&options, &it->transport));
    struct rpc_service services[] = {{methods, it}};
    const struct rpc_server_options server = {.address = "127.0.0.1:0", RPC_SERVICES(services)};
    assert_ok(rpc_server_start(it->rpc, &server, &it->server));
    snprintf(it->target, sizeof it->target, "127.0.0.1:%d", rpc_server_port(it->server));
}

static inline void learner_end(struct learner *it)
{
    for (int i = 0; i < GENERATORS; i++)
        if (it->process[i].pid) {
            process_kill(&it->process[i], SIGKILL);
            process_wait(&it->process[i], 10000);
        }
    rpc_server_free(it->server);
    assert_true(transport_free(it->transport));
    rpc_free(it->rpc);
    loop_free(it->loop);
    nccl_free(it->nccl);
    free(it->values);
}

/* Generator i, with these manners of its NCCL; it raises the signal when it enters a state. */
static inline void generator_start(int i, const char *manners, int state, int signal_number)
{
    char name[16], at[16], number[16];
    static const char *directory; // testing has room for few
    directory = directory ? directory : testing_directory();
    SCOPED_MEM char *log = mem_printf("%s/generator-%d.log", directory, i);
    snprintf(name, sizeof name, "g%d", i);
    snprintf(at, sizeof at, "%d", state);
    snprintf(number, sizeof number, "%d", signal_number);
    setenv("FAKE_NCCL", manners, 1);
    learner->process[i] =
        process_start(log, "/proc/self/exe", "member", learner->target, name, at, number, NULL);
    setenv("FAKE_NCCL", "", 1);
}

/* Fails the test with what everyone knows. */
static inline void complain(const char *what)
{
    const struct learner *it = learner;
    const struct transport_stats stats = transport_stats(it->transport);
    print_error("%ssession %d %s\n", it->notes, (int)stats.session,
                session_state_name(stats.state));
    for (uint64_t id = 1; id <= it->peers; id++)
        print_error("peer %d: %s, applied %d of %d, carried %d\n", (int)id,
                    peer_of(id)->call ? "here" : "gone", (int)peer_of(id)->applied,
                    (int)it->manifest.version, transport_carries(it->transport, id));
    for (int i = 0; i < GENERATORS; i++)
        if (it->process[i].pid) {
            SCOPED_MEM char *log = file_text(it->process[i].log);
            fprintf(stderr, "%s", log); // cmocka cuts what is long
        }
    fail_msg("%s", what);
}

static inline void poll_done(void *arg)
{
    struct learner *it = arg;
    if (it->done(it))
        loop_stop(it->loop);
    else if (clock_ms() > it->give_up_ms)
        complain("waited in vain");
}

static inline void until(bool (*done)(struct learner *))
{
    learner->done = done;
    learner->give_up_ms = clock_ms() + GIVE_UP_MS;
    SCOPED(loop_timer) timer = loop_timer_new(learner->loop, poll_done, learner);
    loop_timer_start(timer, 0, 1);
    assert_ok(loop_run(learner->loop));
}

static size_t wanted_members;
static int64_t pause_until_ms;

static inline bool stands(struct learner *it)
{
    const struct transport_stats stats = transport_stats(it->transport);
    return stats.state == SESSION_STANDING && stats.members == wanted_members;
}

static inline bool paused(struct learner *it)
{
    (void)it;
    return clock_ms() >= pause_until_ms;
}

/* Whether every generator that answers has the newest version, and the values are ours again. */
static uint64_t silent_id; // a stopped generator's: nobody waits for it
static inline bool settled(struct learner *it)
{
    for (uint64_t id = 1; id <= it->peers; id++)
        if (peer_of(id)->call && id != silent_id && peer_of(id)->applied < it->manifest.version)
            return false;
    return !it->is_busy;
}

static inline bool is_released(struct learner *it)
{
    for (uint64_t id = 1; id <= it->peers; id++)
        if (id != silent_id && peer_of(id)->call && transport_carries(it->transport, id))
            return false;
    return true;
}

static inline bool all_but_one_are_released(struct learner *it)
{
    int carried = 0;
    for (uint64_t id = 1; id <= it->peers; id++)
        carried += transport_carries(it->transport, id);
    return carried <= 1;
}

static inline void given_back(void *arg)
{
    ((struct learner *)arg)->is_busy = false;
}

static inline void wait_members(size_t members)
{
    wanted_members = members;
    until(stands);
}

static inline void wait_ms(int64_t ms)
{
    pause_until_ms = clock_ms() + ms;
    until(paused);
}

static inline void make_version(struct learner *it)
{
    const uint64_t version = it->manifest.version + 1;
    for (size_t i = 0; i < ELEMENTS; i++)
        it->values[i] = value_of(version, i);
    it->manifest = (struct manifest){.lineage = 1,
                                     .version = version,
                                     .round = version,
                                     .kind = WEIGHTS_FULL,
                                     .elements = ELEMENTS,
                                     .chunks = ELEMENTS / WEIGHTS_CHUNK,
                                     .digest = weights_digest(it->values, 0, ELEMENTS)};
}

/* The newest version to everyone: by the session to its members, over gRPC to the others. */
static inline bool offer(struct learner *it)
{
    it->is_busy = true;
    const struct transport_cargo cargo = {.lineage = 1,
                                          .version = it->manifest.version,
                                          .data = (const uint8_t *)it->values,
                                          .len = ELEMENTS * sizeof(uint16_t),
                                          .release = given_back,
                                          .arg = it};
    const bool taken = transport_offer(it->transport, &cargo);
    it->is_busy = it->is_busy && taken;
    for (uint64_t id = 1; id <= it->peers; id++) {
        struct peer *peer = peer_of(id);
        if (!peer->call || peer->released == it->manifest.version ||
            transport_carries(it->transport, id))
            continue;
        send_manifest(peer);
        send_chunks(peer, 0);
    }
    return taken;
}

/* Returns when it has arrived. */
static inline void publish(struct learner *it)
{
    const uint64_t before = transport_stats(it->transport).counts.carried;
    make_version(it);
    const int64_t offered_ms = clock_ms();
    const bool taken = offer(it);
    until(is_released);
    const int64_t took = clock_ms() - offered_ms;
    until(settled);
    if (!taken)
        return;
    it->carried++;
    it->held_up += transport_stats(it->transport).counts.carried == before;
    it->worst_ms = took > it->worst_ms ? took : it->worst_ms;
}
