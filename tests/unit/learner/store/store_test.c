#include "learner/store/db.h"
#include "learner/store/record.h"
#include "learner/store/store.h"
#include "unit/learner/store_kit.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void slots_are_leased_in_order_and_cover_the_data(void **)
{
    struct store_rules rules = kit_rules(4, 9);
    rules.epochs = 2;
    SCOPED(fixture) f = fixture_new(10, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 100);
    assert_int_equal(grants.count, 20);
    assert_int_equal(grants.stop, LEASE_SOURCE);
    bool seen[2][10] = {0};
    bool identity = true;
    for (uint64_t i = 0; i < 20; i++) {
        const struct grant *grant = &grants.grant[i];
        assert_int_equal(grant->slot, i);
        assert_int_equal(grant->attempt, 1);
        assert_int_equal(grant->epoch, i / 10);
        assert_int_equal(grant->start_round, 0);
        assert_false(seen[grant->epoch][grant->prompt]);
        seen[grant->epoch][grant->prompt] = true;
        identity = identity && grant->prompt == i % 10;
        struct digest id = group_id("run", store_lineage(f->store), i, 1);
        assert_true(digest_equal(&grant->id, &id));
    }
    assert_false(identity);
}

static void without_shuffle_prompts_come_as_they_are(void **)
{
    struct store_options options = kit_options(5);
    struct store_rules rules = kit_rules(4, 9);
    SCOPED(store) store = NULL;
    options.shuffle = false;
    assert_ok(store_open(kit_directory(), &options, &rules, 0, &store));
    SCOPED_VALUE(grants) grants = kit_lease(store, "g", 0, 100);
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(grants.grant[i].prompt, i);
}

static void leases_say_why_they_are_few(void **)
{
    struct store_rules rules = kit_rules(2, 1);
    SCOPED(fixture) f = fixture_new(100, rules);
    SCOPED_VALUE(grants) all = kit_lease(f->store, "g", 0, 3);
    assert_int_equal(all.stop, LEASE_ALL);
    SCOPED_VALUE(grants) paced = kit_lease(f->store, "g", 0, 3);
    assert_int_equal(paced.count, 1);
    assert_string_equal(lease_stop_name(paced.stop), "paced");
    for (int i = 0; i < 2; i++)
        assert_int_equal(kit_deliver(f->store, &all.grant[i], 0), OUTCOME_STORED);
    SCOPED(round) first = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, first);
    kit_deliver(f->store, &all.grant[2], 0);
    kit_deliver(f->store, &paced.grant[0], 0);
    round_free(kit_round(f->store, IDLE_NONE)); // two rounds recorded; version 0 is two back
    SCOPED_VALUE(grants) old = kit_lease(f->store, "g", 0, 3);
    assert_string_equal(lease_stop_name(old.stop), "old weights");
    f->rules.min_free_bytes = UINT64_MAX;
    assert_ok(kit_set_rules(f->store, &f->rules, 0));
    SCOPED_VALUE(grants) disk = kit_lease(f->store, "g", 1, 3);
    assert_string_equal(lease_stop_name(disk.stop), "disk");
    assert_true(counts_of(f).disk_low);
    f->rules.min_free_bytes = 0;
    f->rules.max_groups = 4;
    assert_ok(kit_set_rules(f->store, &f->rules, 0));
    struct grants none;
    assert_err(ERR_PRECONDITION, "version 2, which was never made",
               store_lease(f->store, &(struct store_holder){"g", 1}, 2, 1, 0, &none));
    assert_err(ERR_INVALID, "name of 0 bytes",
               store_lease(f->store, &(struct store_holder){"", 1}, 1, 1, 0, &none));
}

static void every_answer_to_a_group(void **)
{
    SCOPED(fixture) f = fixture_new(100, kit_rules(4, 1));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 8);
    const struct grant *grant = grants.grant;
    assert_int_equal(kit_deliver(f->store, &grant[0], 0), OUTCOME_STORED);
    assert_int_equal(kit_deliver(f->store, &grant[0], 0), OUTCOME_DUPLICATE);
    reopen(f, 0);
    assert_int_equal(kit_deliver(f->store, &grant[0], 0), OUTCOME_DUPLICATE);

    SCOPED(group) a = kit_group(&grant[1], 0, 0); // twice in one batch
    const struct group *twice[] = {a, a};
    struct verdict verdicts[2];
    assert_ok(store_append(f->store, twice, NULL, 2, 0, verdicts));
    assert_int_equal(verdicts[0].outcome, OUTCOME_STORED);
    assert_int_equal(verdicts[1].outcome, OUTCOME_DUPLICATE);

    struct store_holder holder = {"g", 1}, next = {"g", 2};
    assert_ok(store_give_back(f->store, &holder, &grant[2].id, 1, 0));
    assert_int_equal(kit_deliver(f->store, &grant[2], 0), OUTCOME_STORED); // nobody else had it

    assert_ok(store_give_back(f->store, &holder, &grant[3].id, 1, 0));
    SCOPED_VALUE(grants) again = kit_lease(f->store, "h", 0, 1);
    assert_int_equal(again.grant[0].slot, grant[3].slot);
    assert_int_equal(again.grant[0].attempt, 2);
    assert_int_equal(kit_deliver(f->store, &grant[3], 0), OUTCOME_SUPERSEDED);
    assert_int_equal(kit_deliver(f->store, &grant[3], 0), OUTCOME_SUPERSEDED);
    assert_int_equal(counts_of(f).gone[REASON_SUPERSEDED], 1);
    assert_int_equal(kit_deliver(f->store, &again.grant[0], 0), OUTCOME_STORED);

    round_free(kit_round(f->store, IDLE_NONE));
    assert_int_equal(kit_deliver(f->store, &grant[0], 0), OUTCOME_DUPLICATE);  // trained by now
    assert_int_equal(kit_deliver(f->store, &grant[3], 0), OUTCOME_SUPERSEDED); // its slot too
    reopen(f, 0);
    assert_int_equal(kit_deliver(f->store, &grant[0], 0), OUTCOME_DUPLICATE);
    assert_ok(store_holder_gone(f->store, &next, 0));
    assert_int_equal(counts_of(f).leased, 0);
    assert_int_equal(counts_of(f).free, 4);
}

/* Hands in a group that differs from what was leased in one field. */
#define REJECTED(text, change)                                                                     \
    do {                                                                                           \
        SCOPED(group) group = kit_group(&grants.grant[0], 0, 0);                                   \
        change;                                                                                    \
        struct verdict verdict = kit_append(f->store, group, 0);                                   \
        assert_string_equal(outcome_name(verdict.outcome), "rejected");                            \
        assert_string_equal(verdict.why, text);                                                    \
    } while (0)

static void strangers_change_nothing(void **)
{
    SCOPED(fixture) f = fixture_new(100, kit_rules(4, 1));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 8);
    REJECTED("of another run", *group->run = 'x');
    REJECTED("of another lineage", group->lineage++);
    REJECTED("of a slot that was never leased", group->slot = 8);
    REJECTED("of a slot that was never leased", group->attempt = 0);
    REJECTED("its id does not follow from its slot and attempt", group->id.byte[0] ^= 1);
    REJECTED("of an attempt that was never leased", group->attempt = 2;
             group->id = group_id("run", group->lineage, group->slot, 2));
    assert_int_equal(counts_of(f).leased, 8);
    assert_int_equal(counts_of(f).outcomes[OUTCOME_REJECTED], 6);
    assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0), OUTCOME_STORED);
}

static void unfit_groups_free_their_slot_for_another_attempt(void **)
{
    struct store_rules rules = kit_rules(4, 1);
    rules.max_failures = 3;
    SCOPED(fixture) f = fixture_new(100, rules);
    struct grants grants = kit_lease(f->store, "g", 0, 1);
    REJECTED("its start round is not the lease's", group->start_round++);
    REJECTED("it was rejected when it first came", );
    assert_int_equal(counts_of(f).free, 1);
    grants_done(&grants);
    grants = kit_lease(f->store, "g", 0, 1);
    assert_int_equal(grants.grant[0].attempt, 2);
    REJECTED("its prompt is not the slot's", group->prompt++);
    grants_done(&grants);
    grants = kit_lease(f->store, "g", 0, 1);
    REJECTED("tokens of a version that was never made here",
             group->completion->span[0].version = 1);
    REJECTED("it was rejected when it first came", );
    assert_int_equal(counts_of(f).free, 0); // three failures: errored
    assert_int_equal(counts_of(f).gone[REASON_ERRORED], 3);
    grants_done(&grants);
    grants = kit_lease(f->store, "g", 0, 1);
    assert_int_equal(grants.grant[0].slot, 1);
    grants_done(&grants);
}

static void what_the_caller_rejects_frees_its_slot(void **)
{
    struct verdict verdict;
    SCOPED(fixture) f = fixture_new(100, kit_rules(4, 1));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    SCOPED(group) stored = kit_group(&grants.grant[0], 0, 0);
    SCOPED(group) unfit = kit_group(&grants.grant[1], 0, 0);
    kit_append(f->store, stored, 0);
    assert_ok(store_reject(f->store, stored, 0, &verdict));
    assert_int_equal(verdict.outcome, OUTCOME_DUPLICATE);
    for (int i = 0; i < 2; i++) {
        assert_ok(store_reject(f->store, unfit, 0, &verdict));
        assert_int_equal(verdict.outcome, OUTCOME_REJECTED);
        assert_int_equal(counts_of(f).free, 1);
        assert_int_equal(counts_of(f).gone[REASON_ERRORED], 1);
    }
    assert_int_equal(kit_append(f->store, unfit, 0).outcome, OUTCOME_REJECTED);
}

static void filtered_slots_are_never_leased_again(void **)
{
    SCOPED(fixture) f = fixture_new(3, kit_rules(4, 1));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 3);
    struct store_holder holder = {"g", 1}, other = {"h", 1};
    assert_ok(store_filter(f->store, &other, &grants.grant[0].id, 1, 0));
    assert_int_equal(counts_of(f).leased, 3); // not its own
    struct digest ids[] = {grants.grant[0].id, grants.grant[2].id};
    assert_ok(store_filter(f->store, &holder, ids, 2, 0));
    reopen(f, 0);
    assert_int_equal(counts_of(f).leased, 1);
    assert_int_equal(counts_of(f).free, 0);
    assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0),
                     OUTCOME_STALE); // its slot is closed
    assert_int_equal(kit_deliver(f->store, &grants.grant[1], 0), OUTCOME_STORED);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE); // the last one, short
    assert_int_equal(round->groups, 1);
    round_free(kit_round(f->store, IDLE_ENDED));
}

static void a_deadline_stands_still_while_the_learner_is_down_or_decoding_held(void **)
{
    struct revoked *revoked;
    size_t n;
    struct store_rules rules = kit_rules(4, 1);
    rules.lease_ms = 1000;
    SCOPED(fixture) f = fixture_new(100, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    assert_ok(store_expire(f->store, 600));
    assert_ok(
        store_give_back(f->store, &(struct store_holder){"g", 1}, &grants.grant[1].id, 1, 600));
    reopen(f, 50000);
    assert_ok(store_expire(f->store, 50399));
    assert_int_equal(counts_of(f).leased, 1);
    store_revoked(f->store, &revoked, &n);
    assert_int_equal(n, 0);
    revoked_free(revoked, n);
    store_hold(f->store, true);
    assert_ok(store_expire(f->store, 60000));
    store_hold(f->store, false);
    assert_ok(store_expire(f->store, 60000));
    assert_int_equal(counts_of(f).leased, 1);
    assert_ok(store_expire(f->store, 60001));
    assert_int_equal(counts_of(f).leased, 0);
    assert_int_equal(counts_of(f).expired, 1);
    store_revoked(f->store, &revoked, &n);
    assert_int_equal(n, 1);
    assert_string_equal(revoked->generator, "g");
    assert_int_equal(revoked->term, 1);
    assert_int_equal(revoked->why, REVOKED_EXPIRED);
    assert_true(digest_equal(&revoked->id, &grants.grant[0].id));
    revoked_free(revoked, n);
}

static void only_the_holder_gives_back(void **)
{
    SCOPED(fixture) f = fixture_new(100, kit_rules(4, 1));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    struct store_holder other = {"h", 1}, younger = {"g", 2}, same = {"g", 1};
    assert_ok(store_give_back(f->store, &other, &grants.grant[0].id, 1, 0));
    assert_ok(store_give_back(f->store, &younger, &grants.grant[0].id, 1, 0));
    assert_ok(store_holder_gone(f->store, &same, 0));
    assert_int_equal(counts_of(f).leased, 2);
    assert_ok(store_give_back(f->store, &same, &grants.grant[0].id, 1, 0));
    assert_int_equal(counts_of(f).leased, 1);
    assert_ok(store_holder_gone(f->store, &younger, 0));
    assert_int_equal(counts_of(f).leased, 0);
}

/* Until its slot is leased again a group that is late is as good as any; then another attempt has
 * the slot. None of them is a failure of the slot. */
static void leases_of_a_lost_generator_are_free_and_its_groups_welcome(void **)
{
    size_t count;
    SCOPED(fixture) f = fixture_new(100, kit_rules(4, 0));
    const struct store_holder lost = {"g", 1};
    SCOPED_VALUE(grants) first = kit_lease(f->store, "g", 0, 3);
    SCOPED_VALUE(grants) other = kit_lease(f->store, "h", 0, 1);
    assert_ok(store_free_leases(f->store, &(struct store_holder){"g", 2}, REVOKED_LOST, 0, &count));
    assert_int_equal(count, 0); // another process' name
    assert_ok(store_free_leases(f->store, &lost, REVOKED_LOST, 0, &count));
    assert_int_equal(count, 3);
    reopen(f, 0);
    assert_int_equal(counts_of(f).free, 3);
    assert_int_equal(counts_of(f).leased, 1);
    assert_int_equal(counts_of(f).revoked, 3);
    assert_int_equal(kit_deliver(f->store, &first.grant[1], 0), OUTCOME_STORED);
    SCOPED_VALUE(grants) again = kit_lease(f->store, "h", 0, 4);
    assert_int_equal(again.count, 2); // at lag 0 one round is out: no slot beyond it is begun
    assert_int_equal(again.grant[0].slot, first.grant[0].slot);
    assert_int_equal(again.grant[1].slot, first.grant[2].slot);
    assert_int_equal(kit_deliver(f->store, &first.grant[0], 0), OUTCOME_SUPERSEDED);
    assert_int_equal(kit_deliver(f->store, &again.grant[0], 0), OUTCOME_STORED);
    assert_int_equal(kit_deliver(f->store, &first.grant[2], 0), OUTCOME_SUPERSEDED);
    assert_int_equal(kit_deliver(f->store, &again.grant[1], 0), OUTCOME_STORED);
    assert_int_equal(kit_deliver(f->store, &other.grant[0], 0), OUTCOME_STORED);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(round->group[i].slot, i);
    assert_int_equal(counts_of(f).gone[REASON_SUPERSEDED], 2);
}

static void losses_never_make_a_slot_fail(void **)
{
    size_t count;
    struct store_rules rules = kit_rules(4, 1);
    rules.max_failures = 2;
    SCOPED(fixture) f = fixture_new(100, rules);
    for (int i = 0; i < 5; i++) {
        SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 1);
        assert_int_equal(grants.grant[0].slot, 0);
        assert_int_equal(grants.grant[0].attempt, i + 1);
        assert_ok(store_free_leases(f->store, &(struct store_holder){"g", 1},
                                    i % 2 ? REVOKED_LOST : REVOKED_DRAINED, 0, &count));
        assert_int_equal(count, 1);
    }
    assert_int_equal(counts_of(f).free, 1);
}

struct seen_holders {
    int leases;
    uint64_t terms;
};

static void see_holder(void *arg, const struct store_holder *holder)
{
    struct seen_holders *seen = arg;
    seen->leases++;
    seen->terms += holder->term;
    assert_string_equal(holder->generator, "g");
}

static void holders_are_known_after_a_restart(void **)
{
    struct seen_holders seen = {0};
    SCOPED(fixture) f = fixture_new(100, kit_rules(4, 1));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 3);
    kit_deliver(f->store, &grants.grant[0], 0);
    reopen(f, 0);
    store_holders(f->store, see_holder, &seen);
    assert_int_equal(seen.leases, 2);
    assert_int_equal(seen.terms, 2);
}

static void a_store_is_of_one_run_and_one_process(void **)
{
    struct store *other = NULL;
    SCOPED(fixture) f = fixture_new(100, kit_rules(2, 1));
    assert_err(ERR_UNAVAILABLE, "another process has it",
               store_open(f->dir, &f->options, &f->rules, 0, &other));
    store_free(STEAL(f->store));
    struct store_options options = f->options;
    options.run = "walk";
    assert_err(ERR_PRECONDITION, "belongs to run 'run', not 'walk'",
               store_open(f->dir, &options, &f->rules, 0, &other));
    options = f->options;
    options.data = kit_digest(9);
    assert_err(ERR_PRECONDITION, "other training data",
               store_open(f->dir, &options, &f->rules, 0, &other));
    options = f->options;
    options.seed++;
    assert_err(ERR_PRECONDITION, "seed 3", store_open(f->dir, &options, &f->rules, 0, &other));
    struct store_rules rules = f->rules;
    rules.max_groups = 3;
    assert_err(ERR_INVALID, "max_groups is 3", store_open(f->dir, &f->options, &rules, 0, &other));
    assert_null(other);
    reopen(f, 0);
}

static void another_schema_is_refused(void **)
{
    const char *dir = kit_directory();
    struct store_options options = kit_options(10);
    struct store_rules rules = kit_rules(2, 1);
    struct store *store = NULL;
    SCOPED(db) db = NULL;
    assert_ok(db_open(dir, false, &db));
    db_put(db, DB_META, KEY_SCHEMA, strlen(KEY_SCHEMA), "M\2", 2);
    assert_ok(db_commit(db));
    db_free(STEAL(db));
    assert_err(ERR_PRECONDITION, "its format is 2, this build reads 3 to 5: finish the run",
               store_open(dir, &options, &rules, 0, &store));
    assert_err(ERR_NOT_FOUND, "there is none", db_open("/dev/shm/none", true, &db));
    assert_err(ERR_NOT_FOUND, "there is none",
               store_audit("/dev/shm/none", NULL, &(struct audit){0}));
}

/* In a child, as the limit on file sizes is the process's: the write fails, the store refuses,
 * opening it again heals it. */
static int full_disk(struct fixture *f)
{
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    SCOPED(group) group = kit_group(&grants.grant[0], 0, 0);
    SCOPED(group) large = kit_group(&grants.grant[1], 0, 0);
    const struct group *small[] = {group}, *big[] = {large};
    struct verdict verdict;
    free(large->row);
    large->row = mem_array((4 << 20) + 1, 1);
    memset(large->row, 'x', 4 << 20);
    assert_ok(store_append(f->store, small, NULL, 1, 0, &verdict));
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &limit);
    err_t e = store_append(f->store, big, NULL, 1, 0, &verdict);
    assert_true(err_failed(e));
    err_free(e);
    e = store_append(f->store, small, NULL, 1, 0, &verdict);
    assert_non_null(strstr(err_message(e), "open the store again"));
    err_free(e);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    reopen(f, 0);
    assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0), OUTCOME_DUPLICATE);
    assert_ok(store_append(f->store, big, NULL, 1, 0, &verdict));
    assert_int_equal(verdict.outcome, OUTCOME_STORED);
    return 0;
}

static void a_failed_write_closes_the_store_and_loses_nothing(void **)
{
    if (!TESTING_FORKS)
        skip();
    const char *dir = kit_directory();
    pid_t child = fork();
    if (!child) {
        struct fixture f = {dir, kit_options(10), kit_rules(4, 1), NULL};
        assert_ok(store_open(f.dir, &f.options, &f.rules, 0, &f.store));
        int status = full_disk(&f);
        store_free(f.store);
        _exit(status);
    }
    int status = -1;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    kit_audit(dir);
}

TESTS(cmocka_unit_test(slots_are_leased_in_order_and_cover_the_data),
      cmocka_unit_test(without_shuffle_prompts_come_as_they_are),
      cmocka_unit_test(leases_say_why_they_are_few), cmocka_unit_test(every_answer_to_a_group),
      cmocka_unit_test(strangers_change_nothing),
      cmocka_unit_test(unfit_groups_free_their_slot_for_another_attempt),
      cmocka_unit_test(what_the_caller_rejects_frees_its_slot),
      cmocka_unit_test(filtered_slots_are_never_leased_again),
      cmocka_unit_test(a_deadline_stands_still_while_the_learner_is_down_or_decoding_held),
      cmocka_unit_test(only_the_holder_gives_back),
      cmocka_unit_test(leases_of_a_lost_generator_are_free_and_its_groups_welcome),
      cmocka_unit_test(losses_never_make_a_slot_fail),
      cmocka_unit_test(holders_are_known_after_a_restart),
      cmocka_unit_test(a_store_is_of_one_run_and_one_process),
      cmocka_unit_test(another_schema_is_refused),
      cmocka_unit_test(a_failed_write_closes_the_store_and_loses_nothing))
