/* Replay.Append as a rewarder sees it: the real service on loopback, a real store on its thread. */
#pragma once
#include "base/clock.h"
#include "learner/publish/evaluating.h"
#include "learner/replay/ingest.h"
#include "rollout.pb-c.h"
#include "rpc/client.h"
#include "svc/cell.h"
#include "svc/loop.h"
#include "unit/learner/store_kit.h"
#include "wire/hello.h"
#include "wire/unpack.h"
#include <math.h>

enum { ROWS = 100, LEASED = 6, WAIT_MS = 60000 };

struct scene {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_server *server;
    struct rpc_channel *channel;
    struct rpc_call *call; // NULL: its stream has ended
    struct storage *storage;
    struct ingest *ingest;
    struct recipe *recipe;
    struct hello hello;
    struct cell held;
    struct grants grants, again; // slot 0 to 5; what was leased after that
    /* The last answer. */
    int answers, welcomes, offers; // offers: groups to score once more
    struct disposition answer;
    err_t ended;
    struct store_counts counts;
    int64_t until_ms;
};

static inline err_t lease_some(void *arg, struct store *store)
{
    struct scene *s = arg;
    s->grants = kit_lease(store, "g", 0, LEASED);
    assert_int_equal(s->grants.count, LEASED);
    return OK;
}

static inline err_t lease_more(void *arg, struct store *store)
{
    struct scene *s = arg;
    grants_done(&s->again);
    s->again = kit_lease(store, "g", 0, 1);
    return OK;
}

static inline err_t count(void *arg, struct store *store)
{
    struct scene *s = arg;
    store_counts(store, &s->counts);
    return OK;
}

static inline const struct store_counts *counts(struct scene *s)
{
    assert_ok(storage_call(s->storage, count, s));
    return &s->counts;
}

/* ---- the rewarder's end of the stream */

static inline void on_answer(struct rpc_call *, struct rpc_message *message,
                             const struct ProtobufCMessage *, void *user)
{
    struct scene *s = user;
    uint32_t protocol;
    bool knows = false;
    const uint8_t *data = rpc_message_data(message);
    s->answers++;
    if (welcome_decode(data, rpc_message_len(message), &protocol, &knows)) {
        assert_int_equal(protocol, HELLO_PROTOCOL);
        assert_true(knows);
        s->welcomes++;
        return;
    }
    SCOPED(group) again = NULL;
    err_t none = again_decode(data, rpc_message_len(message), &again);
    if (!err_failed(none)) {
        s->offers++;
        return;
    }
    err_free(none);
    disposition_done(&s->answer);
    assert_ok(disposition_decode(data, rpc_message_len(message), &s->answer));
}

static inline void on_end(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct scene *s = user;
    s->call = NULL;
    s->answers++;
    s->ended = why;
}

static inline void connect_again(struct scene *s)
{
    static const struct rpc_method append = {.path = "/rlhfd.v1.Replay/Append", .kind = RPC_BIDI};
    const struct rpc_handlers handlers = {.message = on_answer, .close = on_end};
    s->call = rpc_call_stream(s->channel, &append, NULL, &handlers, s);
    assert_non_null(s->call);
}

static inline void look(void *arg)
{
    struct scene *s = arg;
    if (s->answers)
        loop_stop(s->loop);
    else if (clock_ms() > s->until_ms)
        fail_msg("no answer");
}

static inline void wait_for_answer(struct scene *s)
{
    s->answers = 0;
    s->until_ms = clock_ms() + WAIT_MS;
    SCOPED(loop_timer) timer = loop_timer_new(s->loop, look, s);
    loop_timer_start(timer, 0, 1);
    assert_ok(loop_run(s->loop));
}

static inline void hang_up(struct scene *s)
{
    rpc_call_cancel(s->call);
    wait_for_answer(s);
    assert_null(s->call);
    err_free(s->ended);
    s->ended = OK;
}

/* Sends the bytes; returns when a disposition, a welcome or the stream's end has come. */
static inline void send_bytes(struct scene *s, const struct bytes *bytes)
{
    SCOPED(rpc_message) message = rpc_message_copy(bytes->data, bytes->len);
    if (!s->call)
        connect_again(s);
    assert_true(rpc_call_send_message(s->call, message));
    wait_for_answer(s);
}

static inline void send_group(struct scene *s, const struct group *group)
{
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    send_bytes(s, &out);
}

/* Sends it; it is answered so, with a reason that has this part. */
static inline void answered(struct scene *s, const struct group *group, enum outcome outcome,
                            const char *part)
{
    send_group(s, group);
    assert_non_null(s->call);
    assert_string_equal(outcome_name(s->answer.outcome), outcome_name(outcome));
    assert_true(digest_equal(&s->answer.id, &group->id));
    const char *reason = s->answer.reason ? s->answer.reason : "";
    if (!strstr(reason, part))
        fail_msg("'%s' lacks '%s'", reason, part);
}

/* Its stream ended with such an error. */
static inline void ended(struct scene *s, enum err_code code, const char *part)
{
    assert_null(s->call);
    assert_err(code, part, s->ended);
    s->ended = OK;
}

/* ---- the learner's end */

static inline void storage_failed(void *, err_t why)
{
    fail_msg("%s", err_message(why));
}

static inline struct recipe *read_recipe(const char *objective, const char *reference)
{
    SCOPED_MEM char *text =
        mem_printf("run: {name: run}\nlearner: {groups: 2, objective: %s}\n"
                   "generator: {num_generations: 3, max_tokens: 12, temperature: 1}\n"
                   "data: {max_prompt_tokens: 20}\n"
                   "rewarder: {reference: %s, scorers: [{kind: exact, column: completion}]}\n",
                   objective, reference);
    struct recipe_source source = {0};
    struct recipe *recipe = NULL;
    assert_ok(recipe_parse(text, strlen(text), "r.yaml", ".", &source, &recipe));
    return recipe;
}

static inline struct scene *scene_new(const char *objective, const char *reference)
{
    struct scene *s = mem_new(sizeof *s);
    s->recipe = read_recipe(objective, reference);
    assert_ok(loop_new(&s->loop));
    assert_ok(rpc_new(s->loop, &s->rpc));
    struct storage_options storage = {.loop = s->loop,
                                      .directory = kit_directory(),
                                      .store = kit_options(ROWS),
                                      .rules = kit_rules(2, 10),
                                      .failed = storage_failed,
                                      .arg = s};
    storage.rules.lease_ms = 1 << 30;
    assert_ok(storage_start(&storage, &s->storage));
    assert_ok(storage_call(s->storage, lease_some, s));
    hello_put(&s->hello, "rewarder.scorers", "exact");
    s->ingest = ingest_new(&(struct ingest_options){
        .storage = s->storage,
        .loop = s->loop,
        .hello = &s->hello,
        .held = &s->held,
        .rules = misfit_rules(s->recipe, (struct misfit_vocabulary){50}, 16),
        .evaluated = evaluating_take});
    struct rpc_service services[] = {ingest_service(s->ingest)};
    struct rpc_server_options server = {.address = "127.0.0.1:0", RPC_SERVICES(services)};
    assert_ok(rpc_server_start(s->rpc, &server, &s->server));
    SCOPED_MEM char *target = mem_printf("127.0.0.1:%d", rpc_server_port(s->server));
    assert_ok(
        rpc_channel_new(s->rpc, &(struct rpc_channel_options){.target = target}, &s->channel));
    return s;
}

static inline void scene_free(struct scene *s)
{
    rpc_channel_free(s->channel);
    rpc_server_free(s->server);
    storage_free(s->storage);
    loop_run_posted(s->loop);
    ingest_free(s->ingest);
    rpc_free(s->rpc);
    loop_run_posted(s->loop);
    loop_free(s->loop);
    err_free(s->ended);
    disposition_done(&s->answer);
    hello_done(&s->hello);
    grants_done(&s->grants);
    grants_done(&s->again);
    recipe_free(s->recipe);
    mem_free(s);
}
DEFINE_SCOPED(scene)

/* Three completions of two tokens with every column of these recipes; rewards 0, 1, 2. */
static inline struct group *group_for(const struct grant *grant)
{
    struct group *group = kit_group(grant, 0, 0);
    struct completion *three = mem_array(3, sizeof *three);
    three[0] = group->completion[0];
    for (int i = 1; i < 3; i++) {
        SCOPED(group) other = kit_group(grant, 0, 0);
        three[i] = other->completion[0];
        other->completions = 0;
    }
    free(group->completion);
    group->completion = three;
    group->completions = 3;
    for (int i = 0; i < 3; i++)
        three[i].spans = 1;
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(group, COLUMN_SCORES, 1);
    double *reward = group_add(group, COLUMN_REWARD, 1);
    reward[1] = 1;
    reward[2] = 2;
    return group;
}
