/* Forks, rounds that cannot be trained, and what made a version. */
#include "learner/store/db.h"
#include "learner/store/history.h"
#include "learner/store/record.h"
#include "unit/learner/store_kit.h"

enum { B = 2 };

/* One more round of B slots, leased and drawn at the newest version, trained. */
static void one_round(struct fixture *f)
{
    uint64_t version = store_last_version(f->store);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", version, B);
    assert_int_equal(grants.count, B);
    for (int i = 0; i < B; i++)
        assert_int_equal(kit_deliver(f->store, &grants.grant[i], version), OUTCOME_STORED);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, round);
}

static struct fixture *after_rounds(int rounds, uint64_t eta)
{
    struct fixture *f = fixture_new(100, kit_rules(B, eta));
    for (int r = 0; r < rounds; r++)
        one_round(f);
    return f;
}

static uint64_t valid_up_to(struct fixture *f, uint32_t lineage)
{
    uint64_t limit = 0;
    assert_ok(store_valid_up_to(f->store, lineage, &limit));
    return limit;
}

/* ---- forks */

static void a_fork_cuts_off_what_came_after(void **)
{
    SCOPED(fixture) f = after_rounds(4, 2);
    SCOPED_VALUE(grants) live = kit_lease(f->store, "g", 4, 3); // slots 8, 9, 10
    kit_deliver(f->store, &live.grant[0], 4);
    assert_err(ERR_PRECONDITION, "5 rounds cannot be kept: 4 have ended",
               store_fork(f->store, 5, 0));
    assert_ok(store_fork(f->store, 2, 0));
    for (int again = 0; again < 2; again++) {
        assert_int_equal(store_lineage(f->store), 2);
        assert_int_equal(store_next_round(f->store), 2);
        assert_int_equal(store_rounds_done(f->store), 2);
        assert_int_equal(store_last_version(f->store), 2);
        assert_int_equal(counts_of(f).free, 2 * B + 3); // two rounds', two leased, one stored
        assert_int_equal(counts_of(f).leased + counts_of(f).stored, 0);
        assert_int_equal(counts_of(f).gone[REASON_TRAINED], 2 * B);
        assert_int_equal(counts_of(f).gone[REASON_LINEAGE], 2 * B + 1);
        reopen(f, 0);
    }
    struct audit audit = kit_audit(f->dir);
    assert_int_equal(audit.cut_off, 2);
    assert_int_equal(audit.rounds, 2);
    assert_int_equal(audit.versions, 2);
    assert_int_equal(audit.lineages, 2);
    SCOPED_VALUE(grants) next = kit_lease(f->store, "g", 2, B);
    assert_int_equal(next.grant[0].slot, 2 * B);
    assert_int_equal(next.grant[0].attempt, 2);
    assert_int_equal(next.grant[0].lineage, 2);
    for (int i = 0; i < B; i++)
        assert_int_equal(kit_deliver(f->store, &next.grant[i], 2), OUTCOME_STORED);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    assert_int_equal(round->round, 2);
    assert_int_equal(round->first_version, 2);
    assert_int_equal(round->lineage, 2);
    struct trainee_digests other =
        kit_trainees(333); // the branch may come to other weights of version 3
    assert_ok(store_update_done(f->store, 3, &other, true));
    reopen(f, 0);
    SCOPED(round) old = NULL;
    assert_ok(store_round(f->store, 1, &old));
    assert_int_equal(old->lineage, 1);
    struct digest found;
    assert_ok(kit_digest_of(f->store, 3, &found));
    assert_true(digest_equal(&found, &other.at[0].weights));
    assert_ok(kit_digest_of(f->store, 2, &found));
    struct digest second = kit_digest(2);
    assert_true(digest_equal(&found, &second));
}

static void revoked_holders_are_told(void **)
{
    struct revoked *revoked;
    size_t n;
    SCOPED(fixture) f = after_rounds(1, 2);
    SCOPED_VALUE(grants) live = kit_lease(f->store, "g", 1, 2);
    assert_ok(store_fork(f->store, 0, 0));
    store_revoked(f->store, &revoked, &n);
    assert_int_equal(n, 2);
    assert_string_equal(revoked_why_name(revoked[0].why), "lineage");
    revoked_free(revoked, n);
}

/* What was drawn before the fork, by weights that both branches have, is still of use. */
static void groups_of_an_ancestor_are_taken_up_to_the_fork(void **)
{
    SCOPED(fixture) f = after_rounds(2, 4);
    SCOPED_VALUE(grants) live = kit_lease(f->store, "g", 2, 4);
    one_round(f); // slots 8, 9: version 3
    assert_ok(store_fork(f->store, 2, 0));
    SCOPED(group) before = kit_group(&live.grant[0], 2, 2);
    SCOPED(group) across = kit_group(&live.grant[1], 2, 3); // went on with version 3 of lineage 1
    assert_int_equal(kit_append(f->store, before, 0).outcome, OUTCOME_STORED);
    struct verdict verdict = kit_append(f->store, across, 0);
    assert_int_equal(verdict.outcome, OUTCOME_STALE);
    assert_string_equal(verdict.why, "tokens of weights that a fork cut off");
    assert_int_equal(counts_of(f).gone[REASON_LINEAGE], B + 1);
    assert_int_equal(kit_append(f->store, across, 0).outcome, OUTCOME_STALE); // again
    one_round(f); // a version 3 of lineage 2: what the number 3 names depends on the lease
    SCOPED(group) late = kit_group(&live.grant[2], 2, 3);
    struct verdict other = kit_append(f->store, late, 0);
    assert_int_not_equal(other.outcome, OUTCOME_STORED);
    assert_int_equal(valid_up_to(f, 1), 2);
    assert_int_equal(valid_up_to(f, 2), 3);
}

static void stored_groups_stay_if_both_branches_have_their_weights(void **)
{
    SCOPED(fixture) f = after_rounds(2, 4);
    SCOPED_VALUE(grants) live = kit_lease(f->store, "g", 2, 5);
    SCOPED(group) whole = kit_group(&live.grant[4], 2, 2);
    SCOPED(group) later = kit_group(&live.grant[3], 2, 3);
    kit_deliver(f->store, &live.grant[0], 2);
    kit_deliver(f->store, &live.grant[1], 2);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, round);
    assert_int_equal(kit_append(f->store, whole, 0).outcome, OUTCOME_STORED);
    assert_int_equal(kit_append(f->store, later, 0).outcome, OUTCOME_STORED);
    assert_ok(store_fork(f->store, 2, 0));
    assert_int_equal(counts_of(f).stored, 1);
    SCOPED_VALUE(grants) next = kit_lease(f->store, "g", 2, 1);
    assert_int_equal(kit_deliver(f->store, next.grant, 2), OUTCOME_STORED);
    SCOPED(round) mixed = kit_round(f->store, IDLE_NONE); // ids of both lineages
    struct group **groups = NULL;
    assert_ok(store_round_groups(f->store, mixed, &groups));
    for (size_t i = 0; i < mixed->groups; i++)
        assert_true(digest_equal(&groups[i]->id, &mixed->group[i].id));
    assert_int_equal(groups[0]->lineage, 2);
    assert_int_equal(groups[1]->lineage, 1);
    round_groups_free(groups, mixed->groups);
    kit_train(f->store, mixed);
}

/* 1 ----2----3  at 4; 2 at 3, 3 forks from 2 at 5; 4 from 1 at 2: neither 2 nor 3 is in the history
 * then. */
static void forks_of_forks(void **)
{
    SCOPED(fixture) f = after_rounds(4, 0);
    assert_ok(store_fork(f->store, 3, 0)); // lineage 2
    for (int r = 0; r < 3; r++)
        one_round(f);
    assert_ok(store_fork(f->store, 5, 0)); // lineage 3, from 2
    one_round(f);
    reopen(f, 0);
    assert_int_equal(store_last_version(f->store), 6);
    assert_int_equal(valid_up_to(f, 1), 3);
    assert_int_equal(valid_up_to(f, 2), 5);
    assert_int_equal(valid_up_to(f, 3), 6);
    assert_ok(store_fork(f->store, 2, 0)); // lineage 4, from 1
    for (int r = 0; r < 4; r++)
        one_round(f);
    reopen(f, 0);
    assert_int_equal(store_last_version(f->store), 6);
    for (uint32_t lineage = 1; lineage <= 3; lineage++)
        assert_int_equal(valid_up_to(f, lineage), 2);
    assert_int_equal(valid_up_to(f, 4), 6);
    uint64_t limit;
    assert_err(ERR_NOT_FOUND, "lineage 5", store_valid_up_to(f->store, 5, &limit));
    SCOPED(round) first = NULL;
    SCOPED(round) last = NULL;
    assert_ok(store_round(f->store, 1, &first));
    assert_ok(store_round(f->store, 5, &last));
    assert_int_equal(first->lineage, 1);
    assert_int_equal(last->lineage, 4);
    assert_int_equal(kit_audit(f->dir).cut_off, 2 + 3 + 1);
}

static void a_run_that_has_ended_goes_on_from_a_fork(void **)
{
    struct store_rules rules = kit_rules(B, 1);
    rules.rounds = 3;
    SCOPED(fixture) f = fixture_new(100, rules);
    for (int r = 0; r < 2; r++)
        one_round(f);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 2, B);
    for (int i = 0; i < B; i++)
        kit_deliver(f->store, &grants.grant[i], 2);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, round);
    round_free(kit_round(f->store, IDLE_ENDED));
    assert_ok(store_fork(f->store, 1, 0));
    one_round(f);
    one_round(f);
    round_free(kit_round(f->store, IDLE_ENDED));
}

static void checkpoints_beyond_the_fork_do_not_count(void **)
{
    uint64_t round, version;
    SCOPED(fixture) f = after_rounds(6, 0);
    assert_ok(store_checkpointed(f->store, 3, 3));
    assert_ok(store_checkpointed(f->store, 5, 5));
    assert_ok(store_fork(f->store, 3, 0));
    store_checkpoint(f->store, &round, &version);
    assert_int_equal(round, 3);
    assert_int_equal(version, 3);
    one_round(f);
    assert_ok(store_checkpointed(f->store, 4, 4));
    SCOPED(round) kept = NULL;
    struct group **groups = NULL;
    assert_ok(store_round(f->store, 3, &kept));
    assert_ok(store_round_groups(f->store, kept, &groups));
    round_groups_free(groups, kept->groups);
}

/* ---- rounds that cannot be trained */

static struct round *recorded(struct fixture *f)
{
    uint64_t version = store_last_version(f->store);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", version, B);
    for (size_t i = 0; i < grants.count; i++)
        kit_deliver(f->store, &grants.grant[i], version);
    return kit_round(f->store, IDLE_NONE);
}

static void a_round_is_given_up_after_three_failures(void **)
{
    struct round_tries tries;
    uint32_t failures = 0;
    bool voided = true;
    SCOPED(fixture) f = after_rounds(2, 0);
    SCOPED(round) round = recorded(f);
    assert_int_equal(round->round, 2);
    assert_err(ERR_PRECONDITION, "round 1 is not under way",
               store_round_begin(f->store, 1, &tries));
    for (uint32_t i = 1; i <= VOID_FAILURES; i++) {
        assert_ok(store_round_failed(f->store, 2, "not finite", &failures));
        assert_int_equal(failures, i);
        reopen(f, 0);
        assert_ok(store_round_begin(f->store, 2, &tries));
        assert_int_equal(tries.starts, i + 1);
        assert_int_equal(tries.hopeless, i == VOID_FAILURES);
    }
    assert_ok(store_void_round(f->store, 2));
    for (int again = 0; again < 2; again++) {
        SCOPED_MEM char *why = NULL;
        assert_ok(store_round_voided(f->store, 2, &voided, &why));
        assert_true(voided);
        assert_string_equal(why, "not finite");
        assert_ok(store_round_voided(f->store, 1, &voided, NULL));
        assert_false(voided);
        assert_int_equal(store_rounds_done(f->store), 3);
        assert_int_equal(store_last_version(f->store), 2);
        assert_int_equal(counts_of(f).gone[REASON_ERRORED], B);
        assert_int_equal(counts_of(f).gone[REASON_TRAINED], 2 * B);
        reopen(f, 0);
    }
    assert_err(ERR_PRECONDITION, "not under way", store_void_round(f->store, 2));
    assert_int_equal(kit_audit(f->dir).voided, 1);
    one_round(f); // the next round begins with the version that the voided one began with
    SCOPED(round) next = NULL;
    assert_ok(store_round(f->store, 3, &next));
    assert_int_equal(next->first_version, 2);
    assert_int_equal(next->group[0].age, 3);
    assert_ok(store_checkpointed(f->store, 3, 2));
    assert_ok(store_checkpointed(f->store, 4, 3));
}

/* Versions recorded within it are taken back: they may come out as others in the next round. */
static void a_round_is_given_up_between_its_updates(void **)
{
    enum idle idle;
    SCOPED(fixture) f = after_rounds(1, 0);
    struct round_plan three = {3, 7, "s", "f"};
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 1, B);
    for (int i = 0; i < B; i++)
        kit_deliver(f->store, &grants.grant[i], 1);
    SCOPED(round) round = NULL;
    assert_ok(store_form_round(f->store, 0, &three, &idle, &round));
    struct digest found;
    struct trainee_digests wrong = kit_trainees(77);
    assert_ok(store_update_done(f->store, 2, &wrong, false));
    assert_ok(store_update_done(f->store, 3, &wrong, false));
    assert_ok(store_void_round(f->store, 1));
    assert_err(ERR_NOT_FOUND, "version 2", kit_digest_of(f->store, 2, &found));
    reopen(f, 0);
    one_round(f);
    assert_ok(kit_digest_of(f->store, 2, &found));
    struct digest right = kit_digest(2);
    assert_true(digest_equal(&found, &right));
    assert_int_equal(kit_audit(f->dir).versions, 2);
}

static void starts_alone_give_up_late(void **)
{
    struct round_tries tries = {0};
    SCOPED(fixture) f = after_rounds(0, 0);
    SCOPED(round) round = recorded(f);
    for (int i = 2; i <= VOID_STARTS; i++) {
        assert_ok(store_round_begin(f->store, 0, &tries));
        assert_false(tries.hopeless);
    }
    assert_ok(store_round_begin(f->store, 0, &tries));
    assert_true(tries.hopeless);
    assert_ok(store_void_round(f->store, 0));
    one_round(f);
    assert_ok(store_fork(f->store, 0, 0)); // also cuts off what was voided
    one_round(f);
    assert_int_equal(counts_of(f).gone[REASON_ERRORED], B);
    assert_int_equal(kit_audit(f->dir).voided, 0);
}

/* ---- reading */

static void what_made_a_version(void **)
{
    uint64_t number;
    SCOPED(fixture) f = after_rounds(3, 0);
    SCOPED(store) reader = NULL;
    assert_ok(store_read(f->dir, &reader)); // beside the owner
    assert_string_equal(store_run(reader), "run");
    assert_ok(store_maker(reader, 2, &number));
    assert_int_equal(number, 1);
    assert_err(ERR_NOT_FOUND, "started from", store_maker(reader, 0, &number));
    assert_err(ERR_NOT_FOUND, "the newest is 3", store_maker(reader, 4, &number));
    SCOPED(round) round = NULL;
    assert_ok(store_round(reader, 1, &round));
    for (size_t i = 0; i < round->groups; i++) {
        SCOPED_VALUE(trace) trace = {0};
        assert_ok(store_trace(reader, round->group[i].slot, round->group[i].attempt, &trace));
        assert_int_equal(trace.reason, REASON_TRAINED);
        assert_true(trace.reward == 0.5);
        assert_int_equal(trace.tokens, 2);
        assert_int_equal(trace.oldest_version, 1);
        assert_string_equal(trace.generator, "g");
    }
    SCOPED_VALUE(trace) none = {0};
    assert_err(ERR_NOT_FOUND, "has not left", store_trace(reader, 0, 2, &none));
    assert_err(ERR_NOT_FOUND, "there is none", store_read("/dev/shm/none", &reader));
}

/* ---- the audit */

static void finds(enum db_family family, const void *key, size_t len, const struct bytes *value,
                  const char *what)
{
    const char *dir = NULL;
    {
        struct fixture *f = after_rounds(3, 0);
        SCOPED(round) round = recorded(f);
        assert_ok(store_void_round(f->store, 3));
        assert_ok(store_fork(f->store, 2, 0));
        one_round(f);
        SCOPED(round) other = recorded(f);
        assert_ok(store_void_round(f->store, 3));
        dir = f->dir;
        fixture_free(f);
    }
    kit_audit_finds(dir, family, key, len, value, what);
}

static void the_audit_finds_what_is_wrong_with_branches(void **)
{
    uint8_t key[KEY_ROUND];
    struct summary none = {0};
    SCOPED_VALUE(bytes) value = {0};
    gone_encode(&(struct gone){OUTCOME_STORED, REASON_STALE, 2, 2, 0, none, NULL}, &value);
    key_gone(4, 1, key); // cut off
    finds(DB_GONE, key, KEY_GONE, &value, "is gone as stale, not as lineage");
    bytes_clear(&value);
    gone_encode(&(struct gone){OUTCOME_STORED, REASON_TRAINED, 3, 3, 1, none, NULL}, &value);
    key_gone(6, 2, key); // voided
    finds(DB_GONE, key, KEY_GONE, &value, "is gone as trained, not as errored");
    bytes_clear(&value);
    tries_encode(&(struct tries){1, 0, false, NULL}, &value);
    key_round('t', 2, 3, key);
    finds(DB_ROUNDS, key, KEY_ROUND, &value, "versions of 3 rounds, the counters say 3 of 4");
    bytes_clear(&value);
    last_encode(7, &value);
    key_round('d', 2, 2, key);
    finds(DB_ROUNDS, key, KEY_ROUND, &value, "round 2 ended with version 3, its end says another");
    key_round('d', 2, 3, key);
    finds(DB_ROUNDS, key, KEY_ROUND, &value, "round 3 ended with version 3, its end says another");
    bytes_clear(&value);
    update_encode(&(struct update){3, kit_trainees(4), true}, &value);
    key_round('u', 2, 4, key);
    finds(DB_ROUNDS, key, KEY_ROUND, &value, "version 4 is of round 3, not 4");
    bytes_clear(&value);
    slot_encode(&(struct slot){.state = SLOT_FREE, .attempt = 1, .lineage = 9}, &value);
    key_slot(1, key);
    finds(DB_SLOTS, key, KEY_SLOT, &value, "slot 1 was leased in lineage 9, which is unknown");
}

TESTS(cmocka_unit_test(a_fork_cuts_off_what_came_after), cmocka_unit_test(revoked_holders_are_told),
      cmocka_unit_test(groups_of_an_ancestor_are_taken_up_to_the_fork),
      cmocka_unit_test(stored_groups_stay_if_both_branches_have_their_weights),
      cmocka_unit_test(forks_of_forks), cmocka_unit_test(a_run_that_has_ended_goes_on_from_a_fork),
      cmocka_unit_test(checkpoints_beyond_the_fork_do_not_count),
      cmocka_unit_test(a_round_is_given_up_after_three_failures),
      cmocka_unit_test(a_round_is_given_up_between_its_updates),
      cmocka_unit_test(starts_alone_give_up_late), cmocka_unit_test(what_made_a_version),
      cmocka_unit_test(the_audit_finds_what_is_wrong_with_branches))
