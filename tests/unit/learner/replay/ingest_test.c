/* Replay.Append as rewarders see it: how each kind of group is answered, what is recorded of it,
 * and which streams are ended. */
#include "unit/learner/ingest_kit.h"

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
        "2 scorers apply or not; the recipe has 1",
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
        else if (kind == 10)
            group_add(group, COLUMN_INAPPLICABLE, 2);
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
    bytes_clear(&bytes);
    group_encode(group, &bytes);
    bytes.data[1] = 15; // bytes of its id, which are one too few
    send_bytes(s, &bytes);
    ended(s, ERR_INVALID, "malformed");
    struct hold_peers seen;
    ingest_facts(s->ingest, &seen);
    assert_int_equal(seen.breaks, 2);
    assert_non_null(strstr(seen.refused_why, "malformed"));
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
    s->hello.protocol = HELLO_PROTOCOL + 1; // as a build after this one sends it
    bytes_clear(&out);
    hello_encode(&s->hello, &out);
    s->hello.protocol = HELLO_PROTOCOL;
    send_bytes(s, &out);
    ended(s, ERR_PRECONDITION, "speaks protocol 5, this learner 3 to 4");
    assert_int_equal(s->welcomes, 1);
}

/* Until the cell says so: the message has no answer. */
static void say(struct scene *s, const char *why, double held)
{
    SCOPED_VALUE(bytes) out = {0};
    waiting_encode(why, &out);
    SCOPED(rpc_message) message = rpc_message_copy(out.data, out.len);
    assert_true(rpc_call_send_message(s->call, message));
    for (int64_t until = clock_ms() + WAIT_MS; cell_get(&s->held) != held;) {
        assert_true(clock_ms() < until);
        struct loop_timer *once = loop_timer_new(s->loop, (void (*)(void *))loop_stop, s->loop);
        loop_timer_start(once, 2, 0);
        assert_ok(loop_run(s->loop));
        loop_timer_free(once);
    }
}

static void a_rewarder_that_waits_is_counted(void **)
{
    struct hold_peers peers;
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED_VALUE(bytes) out = {0};
    hello_encode(&s->hello, &out);
    send_bytes(s, &out);
    say(s, "rewarder.scorers[0] does not answer", 1);
    ingest_facts(s->ingest, &peers);
    assert_string_equal(peers.held, "rewarder.scorers[0] does not answer");
    assert_true(*peers.held_by);
    SCOPED(group) group = group_for(&s->grants.grant[0]); // later groups are taken
    answered(s, group, OUTCOME_STORED, "");
    say(s, "", 0);
    ingest_facts(s->ingest, &peers);
    assert_string_equal(peers.held, "");
    say(s, "again", 1);
    hang_up(s); // whoever is gone waits no more
    for (int64_t until = clock_ms() + WAIT_MS; cell_get(&s->held) && clock_ms() < until;) {
        clock_sleep_ms(1);
        loop_run_posted(s->loop);
    }
    assert_near(cell_get(&s->held), 0, 0);
}

static void unscored_ones_are_kept_and_offered_again(void **)
{
    SCOPED(scene) s = scene_new("rloo", "none");
    SCOPED_VALUE(bytes) out = {0};
    SCOPED_VALUE(bytes) more = {0};
    SCOPED(group) group = group_for(&s->grants.grant[0]);
    column_list_done(&group->columns);
    group->columns = (struct column_list){0};
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group->failure = mem_string("rewarder.scorers[0]: status 500");
    group->unscored = true;
    again_encode(group, &more);
    SCOPED(rpc_message) offer = rpc_message_copy(more.data, more.len);
    assert_false(ingest_offer(s->ingest, offer)); // nobody is there
    hello_encode(&s->hello, &out);
    send_bytes(s, &out);
    assert_false(ingest_offer(s->ingest, offer)); // nobody who takes it
    hang_up(s);
    for (int i = 0; i < 10000 && !ingest_departures(s->ingest); i++) {
        clock_sleep_ms(1);
        loop_run_posted(s->loop);
    }
    assert_near(ingest_departures(s->ingest), 1, 0);
    s->hello.scores_again = true;
    bytes_clear(&out);
    hello_encode(&s->hello, &out);
    send_bytes(s, &out);
    answered(s, group, OUTCOME_REJECTED, "quarantined: rewarder.scorers[0]: status 500");
    assert_int_equal(counts(s)->quarantined, 1);
    assert_true(ingest_offer(s->ingest, offer));
    wait_for_answer(s);
    assert_int_equal(s->offers, 1);
}

TESTS(cmocka_unit_test(what_came_is_stored_once),
      cmocka_unit_test(a_rewarder_that_waits_is_counted),
      cmocka_unit_test(unscored_ones_are_kept_and_offered_again),
      cmocka_unit_test(other_attempts_are_superseded_or_stale),
      cmocka_unit_test(misfits_free_their_slot),
      cmocka_unit_test(groups_of_another_run_are_rejected),
      cmocka_unit_test(what_the_settings_ask_for_must_be_there),
      cmocka_unit_test(nonsense_ends_the_stream), cmocka_unit_test(evaluations_are_not_stored),
      cmocka_unit_test(a_full_disk_takes_what_was_leased),
      cmocka_unit_test(a_hello_is_answered_or_refused))
