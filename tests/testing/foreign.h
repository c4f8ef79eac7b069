/* Peers of real daemons in the test's process: a loop to run them on, and a generator that is none
 * of ours. The generator holds one lease and sends a group of the test's.
 *
 *     giant_open(&giant, &ring, &daemons, lineage_of(&daemons));      -- giant.grant: its lease
 *     SCOPED(group) group = group_of(&giant);
 *     courier_send(giant.rewarder, &group->id, message, NULL);
 *     peer_until(&giant.peer, is_settled, &giant);                    -- giant.outcome, giant.why
 *
 * Owner: the test's thread. */
#pragma once
#include "admin.pb-c.h"
#include "base/clock.h"
#include "base/mem.h"
#include "hop/courier.h"
#include "model/files/identity.h"
#include "svc/loop.h"
#include "svc/recipe/recipe_shared.h"
#include "testing/asking.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include "wire/hello.h"
#include "wire/lease.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEER_MS = 60000 };

/* ---- a peer of the daemons in this process */

struct peer_loop {
    struct loop *loop;
    struct rpc *rpc;
    struct loop_timer *timer;
    bool (*done)(void *arg);
    void *arg;
    int64_t until_ms;
};

static inline void peer_look(void *arg)
{
    struct peer_loop *peer = arg;
    if (peer->done(peer->arg))
        loop_stop(peer->loop);
    else if (clock_ms() > peer->until_ms)
        fail_msg("it does not come");
}

static inline void peer_until(struct peer_loop *peer, bool (*done)(void *arg), void *arg)
{
    peer->done = done;
    peer->arg = arg;
    peer->until_ms = clock_ms() + PEER_MS;
    loop_timer_start(peer->timer, 0, 10);
    assert_ok(loop_run(peer->loop));
    loop_timer_stop(peer->timer);
}

static inline void peer_open(struct peer_loop *peer)
{
    *peer = (struct peer_loop){0};
    assert_ok(loop_new(&peer->loop));
    assert_ok(rpc_new(peer->loop, &peer->rpc));
    peer->timer = loop_timer_new(peer->loop, peer_look, peer);
}

static inline void peer_close(struct peer_loop *peer)
{
    rpc_free(peer->rpc);
    loop_timer_free(peer->timer);
    loop_free(peer->loop);
}

/* ---- a generator that is not ours */

struct giant {
    struct peer_loop peer;
    const struct daemons *daemons;
    struct rpc_stream *leases;
    struct courier *rewarder;
    struct lease_request hello;
    struct lease_grant grant; // attempt 0: none yet
    char *row;
    bool settled;
    int downs;
    enum outcome outcome;
    char why[REASON_MAX_BYTES + 1];
};

static inline void giant_up(void *arg, size_t again)
{
    (void)arg, (void)again;
}

static inline void giant_hello(struct rpc_stream *stream, void *user)
{
    struct giant *g = user;
    SCOPED_VALUE(bytes) out = {0};
    lease_request_encode(&g->hello, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    rpc_stream_send_message(stream, message);
}

/* Wants this many; gives those back. */
static inline void giant_say(struct giant *g, uint32_t want, struct digest *back, uint32_t count)
{
    const struct lease_request request = {.lineage = g->hello.lineage,
                                          .version = g->hello.version,
                                          .want = want,
                                          .returned = back,
                                          .returns = count};
    SCOPED_VALUE(bytes) out = {0};
    lease_request_encode(&request, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    rpc_stream_send_message(g->leases, message);
}

/* Keeps the first slot alone. */
static inline void giant_reply(struct rpc_stream *stream, struct rpc_message *message,
                               const struct ProtobufCMessage *pb, void *user)
{
    (void)stream, (void)pb;
    struct giant *g = user;
    SCOPED_VALUE(lease_reply) reply = {0};
    assert_ok(lease_reply_decode(rpc_message_data(message), rpc_message_len(message), &reply));
    for (uint32_t i = 0; i < reply.grants; i++) {
        const bool first = !g->grant.attempt;
        if (first) {
            g->grant = reply.grant[i];
            g->row = STEAL(reply.grant[i].row);
        }
        giant_say(g, 0, &reply.grant[i].id, first ? 0 : 1);
    }
}

static inline uint64_t version_of(const struct daemons *d)
{
    return (uint64_t)daemons_metric(d, LEARNER, "rlhfd_version");
}

/* The generator asks again as the learner trains what is stored. */
static inline bool has_grant(void *arg)
{
    struct giant *g = arg;
    const uint64_t version = version_of(g->daemons);
    if (!g->grant.attempt && version != g->hello.version && rpc_stream_is_up(g->leases)) {
        g->hello.version = version;
        giant_say(g, 1, NULL, 0);
    }
    return g->grant.attempt > 0;
}

static inline bool is_settled(void *arg)
{
    return ((struct giant *)arg)->settled;
}

static inline void giant_settled(void *arg, const struct disposition *disposition,
                                 struct rpc_message *answer, void *tag)
{
    (void)answer, (void)tag;
    struct giant *g = arg;
    g->settled = true;
    g->outcome = disposition->outcome;
    snprintf(g->why, sizeof g->why, "%s", disposition->reason ? disposition->reason : "");
}

static inline void giant_down(void *arg, err_t why)
{
    struct giant *g = arg;
    g->downs++;
    err_free(why);
}

static inline uint32_t lineage_of(const struct daemons *d)
{
    Rlhfd__Admin__V1__ListWorkersRequest request = RLHFD__ADMIN__V1__LIST_WORKERS_REQUEST__INIT;
    Rlhfd__Admin__V1__ListWorkersReply *reply = NULL;
    uint32_t lineage = 0;
    assert_ok(ask(d->admin[LEARNER], "LearnerAdmin/ListWorkers", &request.base,
                  &rlhfd__admin__v1__list_workers_reply__descriptor, (void **)&reply));
    for (size_t i = 0; i < reply->n_workers; i++)
        if (!strcmp(reply->workers[i]->kind, "generator"))
            lineage = reply->workers[i]->lineage;
    protobuf_c_message_free_unpacked(&reply->base, NULL);
    return lineage;
}

/* Takes a dead generator's name, and the lowest of the slots that were its. */
static inline void giant_open(struct giant *g, const struct ring *ring, const struct daemons *d,
                              uint32_t lineage)
{
    static const struct rpc_method lease = {.path = "/rlhfd.v1.Prompts/Lease", .kind = RPC_BIDI};
    static const struct rpc_method score = {.path = "/rlhfd.v1.Rewards/Score", .kind = RPC_BIDI};
    static const struct rpc_stream_handlers handlers = {.up = giant_hello, .message = giant_reply};
    SCOPED(recipe) recipe = NULL;
    *g = (struct giant){.daemons = d,
                        .hello = {.run = (char *)"test",
                                  .generator = (char *)"generator",
                                  .incarnation = 7,
                                  .lineage = lineage,
                                  .version = version_of(d),
                                  .want = 1}};
    peer_open(&g->peer);
    assert_ok(
        recipe_read(&(struct recipe_source){.file = ring->recipe, .run = ring->run}, &recipe));
    recipe_of_samples(recipe, hello_put, &g->hello.hello);
    assert_ok(model_identity(recipe->model.path, hello_put, &g->hello.hello));
    struct rpc_stream_options stream = {.channel = {.target = d->address[LEARNER]},
                                        .method = &lease};
    assert_ok(rpc_stream_open(g->peer.rpc, &stream, &handlers, g, &g->leases));
    struct courier_options courier = {.rpc = g->peer.rpc,
                                      .peer = d->address[REWARDER],
                                      .method = &score,
                                      .settled = giant_settled,
                                      .up = giant_up,
                                      .down = giant_down,
                                      .arg = g};
    assert_ok(courier_open(&courier, &g->rewarder));
    peer_until(&g->peer, has_grant, g);
}

static inline void giant_close(struct giant *g)
{
    rpc_stream_free(g->leases);
    courier_close(g->rewarder, NULL);
    hello_done(&g->hello.hello);
    mem_free(g->row);
    peer_close(&g->peer);
}

static inline struct group *group_of(const struct giant *g)
{
    struct group *group = mem_new(sizeof *group);
    group->id = g->grant.id;
    group->run = mem_string("test");
    group->lineage = g->grant.lineage;
    group->slot = g->grant.slot;
    group->attempt = g->grant.attempt;
    group->prompt = g->grant.prompt;
    group->epoch = g->grant.epoch;
    group->start_round = g->grant.start_round;
    group->row = mem_string(g->row);
    group->prompt_tokens = 1;
    group->prompt_token = mem_new(sizeof *group->prompt_token);
    group->temperature = 1;
    group->generator = mem_string("giant");
    group->completions = 4;
    group->completion = mem_array(4, sizeof *group->completion);
    for (int i = 0; i < 4; i++) {
        struct completion *c = &group->completion[i];
        *c = (struct completion){.tokens = 1, .spans = 1, .finish = FINISH_LENGTH};
        c->token = mem_new(sizeof *c->token);
        c->span = mem_new(sizeof *c->span);
        c->span[0].version = g->hello.version;
        c->text = mem_string("a");
        c->text_len = 1;
        completion_one_turn(c);
    }
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    return group;
}
