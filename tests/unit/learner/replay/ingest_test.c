/* Replay.Append as rewarders see it: the real service on loopback, a real store on its thread. How
 * each kind of group is answered, what is recorded of it, and which streams are ended. */
#include "base/clock.h"
#include "learner/publish/evaluating.h"
#include "learner/replay/ingest.h"
#include "rollout.pb-c.h"
#include "rpc/client.h"
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
    struct grants grants, again; // slot 0 to 5; what was leased after that
    /* What came back, last. */
    int answers, welcomes;
    struct disposition answer;
    err_t ended;
    struct store_counts counts;
    int64_t until_ms;
};

static err_t lease_some(void *arg, struct store *store)
{
    struct scene *s = arg;
    s->grants = kit_lease(store, "g", 0, LEASED);
    assert_int_equal(s->grants.count, LEASED);
    return OK;
}

static err_t lease_more(void *arg, struct store *store)
{
    struct scene *s = arg;
    grants_done(&s->again);
    s->again = kit_lease(store, "g", 0, 1);
    return OK;
}

static err_t give_slot_0_back(void *arg, struct store *store)
{
    struct scene *s = arg;
    struct store_holder holder = {"g", 1};
    TRY(store_give_back(store, &holder, &s->grants.grant[0].id, 1, 0));
    return lease_more(s, store);
}

static err_t close_slot_0(void *arg, struct store *store)
{
    struct scene *s = arg;
    struct store_holder holder = {"g", 1};
    return store_filter(store, &holder, &s->grants.grant[0].id, 1, 0);
}

static err_t fill_disk(void *, struct store *store)
{
    struct store_rules rules = kit_rules(2, 10);
    rules.lease_ms = 1 << 30;
    rules.min_free_bytes = (uint64_t)1 << 62; // more than there is
    return kit_set_rules(store, &rules, clock_ms());
}

static err_t count(void *arg, struct store *store)
{
    struct scene *s = arg;
    store_counts(store, &s->counts);
    return OK;
}

static const struct store_counts *counts(struct scene *s)
{
    assert_ok(storage_call(s->storage, count, s));
    return &s->counts;
}

/* ---- the rewarder's end of the stream */

static void on_answer(struct rpc_call *, struct rpc_message *message,
                      const struct ProtobufCMessage *, void *user)
{
    struct scene *s = user;
    uint32_t protocol;
    const uint8_t *data = rpc_message_data(message);
    s->answers++;
    if (welcome_decode(data, rpc_message_len(message), &protocol)) {
        assert_int_equal(protocol, HELLO_PROTOCOL);
        s->welcomes++;
        return;
    }
    disposition_done(&s->answer);
    assert_ok(disposition_decode(data, rpc_message_len(message), &s->answer));
}

static void on_end(struct rpc_call *call, err_t why, void *user)
{
    (void)call;
    struct scene *s = user;
    s->call = NULL;
    s->answers++;
    s->ended = why;
}

static void connect_again(struct scene *s)
{
    static const struct rpc_method append = {.path = "/rlhfd.v1.Replay/Append", .kind = RPC_BIDI};
    const struct rpc_handlers handlers = {.message = on_answer, .close = on_end};
    s->call = rpc_call_stream(s->channel, &append, NULL, &handlers, s);
    assert_non_null(s->call);
}

static void look(void *arg)
{
    struct scene *s = arg;
    if (s->answers)
        loop_stop(s->loop);
    else if (clock_ms() > s->until_ms)
        fail_msg("no answer");
}

static void wait_for_answer(struct scene *s)
{
    s->answers = 0;
    s->until_ms = clock_ms() + WAIT_MS;
    SCOPED(loop_timer) timer = loop_timer_new(s->loop, look, s);
    loop_timer_start(timer, 0, 1);
    assert_ok(loop_run(s->loop));
}

static void hang_up(struct scene *s)
{
    rpc_call_cancel(s->call);
    wait_for_answer(s);
    assert_null(s->call);
    err_free(s->ended);
    s->ended = OK;
}

/* Sends the bytes; returns when a disposition, a welcome or the stream's end has come. */
static void send_bytes(struct scene *s, const struct bytes *bytes)
{
    SCOPED(rpc_message) message = rpc_message_copy(bytes->data, bytes->len);
    if (!s->call)
        connect_again(s);
    assert_true(rpc_call_send_message(s->call, message));
    wait_for_answer(s);
}

static void send_group(struct scene *s, const struct group *group)
{
    SCOPED_VALUE(bytes) out = {0};
    group_encode(group, &out);
    send_bytes(s, &out);
}

/* Sends it; it is answered so, with a reason that has this part. */
static void answered(struct scene *s, const struct group *group, enum outcome outcome,
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
static void ended(struct scene *s, enum err_code code, const char *part)
{
    assert_null(s->call);
    assert_err(code, part, s->ended);
    s->ended = OK;
}

/* ---- the learner's end */

static void storage_failed(void *, err_t why)
{
    fail_msg("%s", err_message(why));
}

static struct recipe *read_recipe(const char *objective, const char *reference)
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

static struct scene *scene_new(const char *objective, const char *reference)
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
    s->ingest = ingest_new(&(struct ingest_options){.storage = s->storage,
                                                    .loop = s->loop,
                                                    .hello = &s->hello,
                                                    .rules = misfit_rules(s->recipe, 50, 16),
                                                    .evaluated = evaluating_take});
    struct rpc_service services[] = {ingest_service(s->ingest)};
    struct rpc_server_options server = {.address = "127.0.0.1:0", RPC_SERVICES(services)};
    assert_ok(rpc_server_start(s->rpc, &server, &s->server));
    SCOPED_MEM char *target = mem_printf("127.0.0.1:%d", rpc_server_port(s->server));
    assert_ok(
        rpc_channel_new(s->rpc, &(struct rpc_channel_options){.target = target}, &s->channel));
    return s;
}

static void scene_free(struct scene *s)
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
static struct group *group_for(const struct grant *grant)
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

static void drop(struct group *group, enum column id)
{
    struct column_list *list = &group->columns;
    struct column_values *column = column_list_find(list, id);
    free(column->completion);
    free(column->data);
    memmove(column, column + 1, (size_t)(list->at + --list->count - column) * sizeof *column);
}

static void only_two(struct group *group)
{
    group->completions = 2;
    free(group->completion[2].token);
    free(group->completion[2].turn);
    free(group->completion[2].span);
    free(group->completion[2].text);
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(group, COLUMN_SCORES, 1);
    group_add(group, COLUMN_REWARD, 1);
}

/* ---- what is answered */

static void what_came_is_stored_once(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    answered(s, group, OUTCOME_STORED, "");
    assert_int_equal(counts(s)->stored, 1);
    answered(s, group, OUTCOME_DUPLICATE, "");
    hang_up(s); // and over another stream
    answered(s, group, OUTCOME_DUPLICATE, "");
    assert_int_equal(counts(s)->stored, 1);
}

static void other_attempts_are_superseded_or_stale(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED(group) first = group_for(&s->grants.grant[0]);
    assert_ok(storage_call(s->storage, give_slot_0_back, s));
    assert_int_equal(s->again.count, 1);
    assert_int_equal(s->again.grant[0].slot, 0);
    SCOPED(group) second = group_for(&s->again.grant[0]);
    answered(s, second, OUTCOME_STORED, "");
    answered(s, first, OUTCOME_SUPERSEDED, "");
    SCOPED(scene) closed = scene_new("rloo", "none");
    SCOPED(group) late = group_for(&closed->grants.grant[0]);
    assert_ok(storage_call(closed->storage, close_slot_0, closed));
    answered(closed, late, OUTCOME_STALE, "");
    assert_int_equal(counts(closed)->stored, 0);
}

/* A group that does not fit is rejected with the reason, and its slot is leased again. */
static void misfits_free_their_slot(void **)
{
    static const char *const says[] = {
        "2 completions; generator.num_generations is 3",
        "sampled at temperature 0.5; generator.temperature is 1",
        "prompt token 50 is outside the vocabulary of 50",
        "completion 1: token 50 is outside the vocabulary of 50",
        "completion 0: 15 prompt tokens and 2 more; at most 16 fit",
        "completion 0 has no behaviour_logp: the generator's status and log say why",
        "completion 0 has no scores: the rewarder's status and log say why",
        "completion 0 has no reward: the rewarder's status and log say why",
        "completion 2 has no reward: the rewarder's status and log say why",
        "completion 0 has 2 scores; the recipe has 1 scorers",
        "rewarder.scorers[0]: kind 'exact': the row has no column"};
    static const unsigned dropped[] = {COLUMN_BEHAVIOUR_LOGP, COLUMN_SCORES, COLUMN_REWARD};
    for (size_t kind = 0; kind < sizeof says / sizeof *says; kind++) {
        SCOPED(scene) s = scene_new("rloo", "none");
        SCOPED(group) group = group_for(&s->grants.grant[0]);
        if (kind == 0)
            only_two(group);
        else if (kind == 1)
            group->temperature = 0.5f;
        else if (kind == 2)
            group->prompt_token[0] = 50;
        else if (kind == 3)
            group->completion[1].token[1] = 50;
        else if (kind == 4) {
            group->prompt_tokens = 15;
            group->prompt_token = mem_grow(group->prompt_token, 15, sizeof(uint32_t));
            memset(group->prompt_token, 0, 15 * sizeof(uint32_t));
        } else if (kind <= 7)
            drop(group, dropped[kind - 5]);
        else if (kind == 8)
            group_add_some(group, COLUMN_REWARD, (const uint32_t[]){0, 1}, 2);
        else if (kind == 9)
            group_add(group, COLUMN_SCORES, 2);
        else
            group->failure = mem_string(says[kind]);
        answered(s, group, OUTCOME_REJECTED, says[kind]);
        assert_true(counts(s)->stored == 0 && s->counts.gone[REASON_ERRORED] == 1);
        assert_ok(storage_call(s->storage, lease_more, s));
        assert_int_equal(s->again.grant[0].slot, 0);
        assert_int_equal(s->again.grant[0].attempt, 2);
    }
}

static void groups_of_another_run_are_rejected(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    free(group->run);
    group->run = mem_string("other");
    group->id = group_id("other", group->lineage, group->slot, group->attempt);
    answered(s, group, OUTCOME_REJECTED, "of run 'other'; this is 'run'");
    assert_int_equal(counts(s)->leased, LEASED); // it is none of our slots
}

/* Columns that rewarders fill must be there: for all, or for the best and the worst. */
static void what_the_settings_ask_for_must_be_there(void **)
{
    static const uint32_t ends[] = {0, 2}, others[] = {0, 1};
    SCOPED(scene) all = scene_new("grpo", "frozen");
    SCOPED(scene) pairs = scene_new("online_dpo", "frozen");
    SCOPED(group) group = group_for(&all->grants.grant[0]);
    answered(all, group, OUTCOME_REJECTED,
             "completion 0 has no reference_logp; rewarder.reference is frozen");
    SCOPED(group) some = group_for(&all->grants.grant[1]);
    group_add_some(some, COLUMN_REFERENCE_LOGP, ends, 2);
    answered(all, some, OUTCOME_REJECTED, "completion 1 has no reference_logp");
    SCOPED(group) whole = group_for(&all->grants.grant[2]);
    group_add(whole, COLUMN_REFERENCE_LOGP, 1);
    answered(all, whole, OUTCOME_STORED, "");
    SCOPED(group) pair = group_for(&pairs->grants.grant[0]);
    group_add_some(pair, COLUMN_REFERENCE_LOGP, ends, 2);
    answered(pairs, pair, OUTCOME_STORED, "");
    SCOPED(group) wrong = group_for(&pairs->grants.grant[1]);
    group_add_some(wrong, COLUMN_REFERENCE_LOGP, others, 2);
    answered(pairs, wrong, OUTCOME_REJECTED, "completion 2 has no reference_logp");
}

/* What no rewarder sends ends its stream with the reason: there is no id to answer. */
static void nonsense_ends_the_stream(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED_VALUE(bytes) bytes = {0};
    bytes_text(&bytes, "nonsense");
    send_bytes(s, &bytes);
    ended(s, ERR_INVALID, "malformed");
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    ((double *)group_values(group, COLUMN_REWARD, 0))[1] = NAN;
    send_group(s, group);
    ended(s, ERR_INVALID, "reward[1] is");
    group_add(group, COLUMN_REWARD, 1);
    group_add(group, COLUMN_ADVANTAGE, 1);
    send_group(s, group);
    ended(s, ERR_INVALID, "advantage comes from the learner");
    struct hold_peers seen;
    ingest_facts(s->ingest, &seen);
    assert_int_equal(seen.breaks, 3);
    assert_non_null(strstr(seen.refused_why, "advantage"));
    drop(group, COLUMN_ADVANTAGE);
    answered(s, group, OUTCOME_STORED, ""); // its slot still waits
    assert_int_equal(counts(s)->stored, 1);
}

/* Groups of an evaluation never reach the store. */
static void evaluations_are_not_stored(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    group->evaluation = true;
    group->temperature = 0;
    answered(s, group, OUTCOME_SUPERSEDED, "");
    assert_int_equal(counts(s)->stored, 0);
    assert_int_equal(s->counts.leased, LEASED);
}

/* Nothing is leased any more; what is leased already still fits. */
static void a_full_disk_takes_what_was_leased(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    assert_ok(storage_call(s->storage, fill_disk, s));
    assert_true(counts(s)->disk_low);
    assert_ok(storage_call(s->storage, lease_more, s));
    assert_int_equal(s->again.count, 0);
    for (int i = 0; i < LEASED; i++) {
        SCOPED(group) group = group_for(&s->grants.grant[i]);
        answered(s, group, OUTCOME_STORED, "");
    }
    assert_int_equal(counts(s)->stored, LEASED);
}

static void a_hello_is_answered_or_refused(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(hello) other = {0};
    hello_encode(&s->hello, &out);
    send_bytes(s, &out);
    assert_int_equal(s->welcomes, 1);
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    answered(s, group, OUTCOME_STORED, "");
    hang_up(s);
    hello_put(&other, "rewarder.scorers", "length");
    bytes_clear(&out);
    hello_encode(&other, &out);
    send_bytes(s, &out);
    ended(s, ERR_PRECONDITION,
          "rewarder has another recipe: rewarder.scorers is length there, exact here");
    s->hello.protocol = HELLO_PROTOCOL - 1; // as a build before this one sends it
    bytes_clear(&out);
    hello_encode(&s->hello, &out);
    s->hello.protocol = HELLO_PROTOCOL;
    send_bytes(s, &out);
    ended(s, ERR_PRECONDITION, "speaks protocol 2, this process 3");
    assert_int_equal(s->welcomes, 1);
}

TESTS(cmocka_unit_test(what_came_is_stored_once),
      cmocka_unit_test(other_attempts_are_superseded_or_stale),
      cmocka_unit_test(misfits_free_their_slot),
      cmocka_unit_test(groups_of_another_run_are_rejected),
      cmocka_unit_test(what_the_settings_ask_for_must_be_there),
      cmocka_unit_test(nonsense_ends_the_stream), cmocka_unit_test(evaluations_are_not_stored),
      cmocka_unit_test(a_full_disk_takes_what_was_leased),
      cmocka_unit_test(a_hello_is_answered_or_refused))
