/* Slots leased ahead, for the version that the round under way will make: how many, to whom, and
 * what becomes of them where that version comes, comes early, or never comes. */
#include "learner/store/history.h"
#include "unit/learner/store_kit.h"

enum { B = 4 };

static struct grants ahead(struct fixture *f, const char *name, uint64_t version, uint64_t holders,
                           size_t want)
{
    struct grants grants = {0};
    assert_ok(store_lease_ahead(f->store, &(struct store_holder){name, 1}, version, holders, want,
                                0, &grants));
    return grants;
}

static void deliver_all(struct fixture *f, const struct grants *grants, uint64_t version)
{
    for (size_t i = 0; i < grants->count; i++)
        assert_int_equal(kit_deliver(f->store, &grants->grant[i], version), OUTCOME_STORED);
}

/* Round 0 is under way, by the groups of version 0. */
static struct fixture *under_way(uint64_t eta, struct round **ret)
{
    struct fixture *f = fixture_new(100, kit_rules(B, eta));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, B);
    deliver_all(f, &grants, 0);
    *ret = kit_round(f->store, IDLE_NONE);
    return f;
}

static size_t revoked(struct fixture *f, enum revoked_why why)
{
    struct revoked *taken;
    size_t n, of_it = 0;
    store_revoked(f->store, &taken, &n);
    for (size_t i = 0; i < n; i++)
        of_it += taken[i].why == why;
    assert_int_equal(of_it, n);
    revoked_free(taken, n);
    return n;
}

/* At lag 0 the next round's slots are out before its version is made. It is trained with them. */
static void the_next_round_is_leased_while_one_is_trained(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(0, &round);
    SCOPED_VALUE(grants) now = kit_lease(f->store, "g", 0, B);
    assert_int_equal(now.count, 0);
    assert_int_equal(now.stop, LEASE_OLD_WEIGHTS);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, 100);
    assert_int_equal(next.count, B);
    for (int i = 0; i < B; i++) {
        assert_int_equal(next.grant[i].slot, B + i);
        assert_int_equal(next.grant[i].start_round, 1);
        assert_int_equal(next.grant[i].version, 1);
    }
    SCOPED_VALUE(grants) more = ahead(f, "g", 0, 1, 100);
    assert_int_equal(more.count, 0);
    assert_err(ERR_PRECONDITION, "generator 'g' holds version 7, which was never made here",
               store_lease_ahead(f->store, &(struct store_holder){"g", 1}, 7, 1, 1, 0, &more));
    kit_train(f->store, round);
    deliver_all(f, &next, 1);
    SCOPED(round) second = kit_round(f->store, IDLE_NONE);
    assert_int_equal(second->group[0].slot, B);
    assert_int_equal(second->group[0].age, 1);
    assert_int_equal(second->group[B - 1].slot, 2 * B - 1);
}

/* Tokens of the weights before are no use to it. */
static void what_begins_too_early_is_turned_away(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(1, &round);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, 1);
    SCOPED(group) group = kit_group(&next.grant[0], 0, 0);
    struct verdict verdict = kit_append(f->store, group, 0);
    assert_int_equal(verdict.outcome, OUTCOME_REJECTED);
    assert_string_equal(verdict.why, "tokens of weights older than its lease");
}

static void older_weights_keep_their_room(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(1, &round);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, 100);
    assert_int_equal(next.count, B);
    SCOPED_VALUE(grants) now = kit_lease(f->store, "h", 0, 100); // for round 1
    assert_int_equal(now.count, B);
    assert_int_equal(now.grant[0].start_round, 0);
    deliver_all(f, &now, 0);
    kit_train(f->store, round);
    SCOPED(round) second = kit_round(f->store, IDLE_NONE);
    assert_int_equal(second->group[B - 1].age, 0);
    SCOPED_VALUE(grants)
    third = ahead(f, "g", 1, 1, 100); // for version 2, while round 1 is trained
    assert_int_equal(third.count, B);
    assert_int_equal(third.grant[0].start_round, 2);
    assert_int_equal(third.grant[0].version, 2);
}

static void nothing_is_ahead_of_weights_that_lie_ready(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(2, &round);
    kit_train(f->store, round);
    SCOPED_VALUE(grants) none = ahead(f, "g", 1, 1, 100); // no round is under way
    assert_int_equal(none.count, 0);
    SCOPED_VALUE(grants) now = kit_lease(f->store, "g", 1, B);
    deliver_all(f, &now, 1);
    SCOPED(round) second = kit_round(f->store, IDLE_NONE);
    SCOPED_VALUE(grants) late = ahead(f, "h", 0, 1, 100); // it gets version 1 first
    assert_int_equal(late.count, 0);
    SCOPED_VALUE(grants) ready = ahead(f, "h", 1, 1, 1);
    assert_int_equal(ready.count, 1);
    kit_train(f->store, second);
}

static void a_holder_has_its_share(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(1, &round);
    SCOPED_VALUE(grants) g = ahead(f, "g", 0, 3, 1);
    SCOPED_VALUE(grants) more = ahead(f, "g", 0, 3, 100);
    assert_int_equal(g.count + more.count, 2); // of 4 among 3
    SCOPED_VALUE(grants) h = ahead(f, "h", 0, 3, 100);
    assert_int_equal(h.count, 2);
    SCOPED_VALUE(grants) i = ahead(f, "i", 0, 3, 100);
    assert_int_equal(i.count, 0);
    kit_train(f->store, round);
}

/* The deadline is the holder's: it begins when the version is made. */
static void training_takes_none_of_its_time(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(0, &round);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, 2);
    assert_ok(store_expire(f->store, 10000));
    assert_int_equal(counts_of(f).leased, 2);
    kit_train(f->store, round);
    assert_ok(store_expire(f->store, 10249)); // 250 ms a lease
    assert_int_equal(counts_of(f).leased, 2);
    assert_ok(store_expire(f->store, 10250));
    assert_int_equal(counts_of(f).leased, 0);
    assert_int_equal(revoked(f, REVOKED_EXPIRED), 2);
}

/* A round may end before its last update: then that version is the one to begin with. */
static void a_round_that_ends_early_makes_the_version(void **)
{
    enum idle idle;
    SCOPED(fixture) f = fixture_new(100, kit_rules(B, 0));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, B);
    deliver_all(f, &grants, 0);
    struct round_plan three = {3, 7, "s", "f"};
    SCOPED(round) round = NULL;
    assert_ok(store_form_round(f->store, 0, &three, &idle, &round));
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, B);
    struct trainee_digests trainees = kit_trainees(1);
    assert_ok(store_update_done(f->store, 1, &trainees, true));
    assert_true(next.grant[0].version <= 1);
    deliver_all(f, &next, 1);
    SCOPED(round) second = kit_round(f->store, IDLE_NONE);
    assert_int_equal(second->first_version, 1);
}

static void a_restart_trains_the_round_again_and_keeps_them(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(0, &round);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, B);
    reopen(f, 0);
    assert_int_equal(counts_of(f).leased, B);
    assert_true(store_holds(f->store, &(struct store_holder){"g", 1}, &next.grant[0].id));
    assert_ok(store_give_back(f->store, &(struct store_holder){"g", 1}, &next.grant[0].id, 1, 0));
    SCOPED_VALUE(grants) again = ahead(f, "g", 0, 1, B);
    assert_int_equal(again.count, 1);
    assert_int_equal(again.grant[0].slot, next.grant[0].slot);
    assert_int_equal(again.grant[0].attempt, 2);
    kit_train(f->store, round);
    deliver_all(f, &again, 1);
    for (int i = 1; i < B; i++)
        assert_int_equal(kit_deliver(f->store, &next.grant[i], 1), OUTCOME_STORED);
}

/* No version comes of a round that is voided, so at lag 0 nothing would ever begin them. */
static void a_voided_round_takes_them_back(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(0, &round);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, B);
    assert_ok(store_void_round(f->store, 0));
    assert_int_equal(revoked(f, REVOKED_VOID), B);
    assert_string_equal(revoked_why_name(REVOKED_VOID), "void");
    assert_int_equal(counts_of(f).leased, 0);
    SCOPED_VALUE(grants) now = kit_lease(f->store, "g", 0, B); // the weights are of round 1 now
    assert_int_equal(now.count, B);
    assert_int_equal(now.grant[0].slot, B);
    assert_int_equal(now.grant[0].attempt, 2);
    deliver_all(f, &now, 0);
    SCOPED(round) second = kit_round(f->store, IDLE_NONE);
    assert_int_equal(second->round, 1);
}

static void a_fork_takes_them_back(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(1, &round);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, B);
    assert_ok(store_fork(f->store, 0, 0));
    assert_int_equal(revoked(f, REVOKED_LINEAGE), B);
    SCOPED_VALUE(grants) none = ahead(f, "g", 0, 1, B); // the round was cut off, too
    assert_int_equal(none.count, 0);
}

/* The youngest leave first. */
static void a_lower_limit_takes_them_back(void **)
{
    SCOPED(round) round = NULL;
    SCOPED(fixture) f = under_way(1, &round);
    SCOPED_VALUE(grants) now = kit_lease(f->store, "g", 0, B);
    SCOPED_VALUE(grants) next = ahead(f, "g", 0, 1, B);
    struct store_rules rules = kit_rules(B, 0);
    assert_ok(kit_set_rules(f->store, &rules, 0));
    assert_int_equal(counts_of(f).leased, B); // those of weights of round 0 are too old
    assert_int_equal(revoked(f, REVOKED_STALE), B);
    assert_true(store_holds(f->store, &(struct store_holder){"g", 1}, &next.grant[0].id));
    kit_train(f->store, round);
}

static void a_run_of_n_rounds_leases_no_more(void **)
{
    struct store_rules rules = kit_rules(B, 0);
    rules.rounds = 1;
    SCOPED(fixture) f = fixture_new(100, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, B);
    deliver_all(f, &grants, 0);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    SCOPED_VALUE(grants) none = ahead(f, "g", 0, 1, B);
    assert_int_equal(none.count, 0);
}

TESTS(cmocka_unit_test(the_next_round_is_leased_while_one_is_trained),
      cmocka_unit_test(what_begins_too_early_is_turned_away),
      cmocka_unit_test(older_weights_keep_their_room),
      cmocka_unit_test(nothing_is_ahead_of_weights_that_lie_ready),
      cmocka_unit_test(a_holder_has_its_share), cmocka_unit_test(training_takes_none_of_its_time),
      cmocka_unit_test(a_round_that_ends_early_makes_the_version),
      cmocka_unit_test(a_restart_trains_the_round_again_and_keeps_them),
      cmocka_unit_test(a_voided_round_takes_them_back), cmocka_unit_test(a_fork_takes_them_back),
      cmocka_unit_test(a_lower_limit_takes_them_back),
      cmocka_unit_test(a_run_of_n_rounds_leases_no_more))
