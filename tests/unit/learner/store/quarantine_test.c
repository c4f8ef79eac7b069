/* Groups that no scorer could score: set aside, listed, tried again, over restarts and forks. */
#include "learner/store/groups.h"
#include "learner/store/history.h"
#include "learner/store/quarantine.h"
#include "unit/learner/store_kit.h"

enum { B = 2 };

/* As it comes from a rewarder that gave it up: without its score and reward. */
static enum outcome set_aside(struct fixture *f, const struct grant *grant, uint64_t version)
{
    struct verdict verdict;
    SCOPED(group) group = kit_group(grant, version, version);
    SCOPED_VALUE(bytes) out = {0};
    column_list_done(&group->columns);
    group->columns = (struct column_list){0};
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group->failure = mem_string("rewarder.scorers[0]: status 500");
    group->unscored = true;
    group_encode(group, &out);
    assert_ok(store_quarantine(f->store, group, &(struct encoded){out.data, out.len},
                               group->failure, 0, &verdict));
    return verdict.outcome;
}

static struct store_retried retry(struct fixture *f, uint64_t slot)
{
    struct store_retried retried = {0};
    assert_ok(store_retry(f->store, &slot, 1, 0, NULL, NULL, &retried));
    return retried;
}

static size_t again(const struct fixture *f)
{
    size_t count = 0;
    uint64_t at = 0, slot;
    struct digest id;
    while (store_again(f->store, &at, &slot, &id))
        count++;
    return count;
}

static void its_place_is_free_and_its_bytes_stay(void **)
{
    SCOPED(fixture) f = fixture_new(20, kit_rules(B, 0));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 9);
    assert_int_equal(grants.count, B); // lag 0: a round's
    assert_int_equal(set_aside(f, &grants.grant[0], 0), OUTCOME_REJECTED);
    for (int opened = 0; opened < 2; opened++) {
        assert_int_equal(counts_of(f).quarantined, 1);
        assert_int_equal(counts_of(f).live, 1);
        assert_int_equal(counts_of(f).gone[REASON_QUARANTINED], 1);
        SCOPED(group) kept = NULL;
        struct listed listed;
        uint64_t at = 0;
        assert_true(store_list(f->store, &at, &listed));
        assert_true(listed.quarantined && !listed.stored && listed.tokens == 2);
        assert_string_equal(listed.why, "rewarder.scorers[0]: status 500");
        assert_string_equal(listed.generator, "g");
        assert_ok(store_group(f->store, 0, &kept));
        assert_true(digest_equal(&kept->id, &grants.grant[0].id));
        assert_string_equal(kept->failure, "rewarder.scorers[0]: status 500");
        assert_int_equal(kit_audit(f->dir).quarantined, 1);
        assert_int_equal(set_aside(f, &grants.grant[0], 0), OUTCOME_REJECTED); // the same again
        assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0), OUTCOME_REJECTED);
        reopen(f, 0);
    }
    SCOPED_VALUE(grants) more = kit_lease(f->store, "g", 0, 9);
    assert_int_equal(more.count, 1); // the place is another slot's
    assert_int_equal(more.grant[0].slot, 2);
}

static void within_the_lag_it_is_scored_as_it_is(void **)
{
    SCOPED(fixture) f = fixture_new(20, kit_rules(B, 0));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    set_aside(f, &grants.grant[0], 0);
    struct store_retried retried = retry(f, 0);
    assert_true(retried.again == 1 && retried.anew == 0);
    for (int opened = 0; opened < 2; opened++) {
        SCOPED(group) kept = NULL;
        assert_int_equal(again(f), 1);
        assert_int_equal(counts_of(f).leased, 2);
        assert_int_equal(counts_of(f).gone[REASON_QUARANTINED], 0);
        assert_ok(store_group(f->store, 0, &kept));
        kit_audit(f->dir);
        reopen(f, 0);
    }
    /* a generator that comes back has nothing to do with it */
    assert_ok(store_holder_gone(f->store, &(struct store_holder){"g", 77}, 0));
    assert_int_equal(again(f), 1);
    assert_int_equal(kit_deliver(f->store, &grants.grant[0], 0), OUTCOME_STORED);
    assert_int_equal(again(f), 0);
    assert_int_equal(retry(f, 0).again, 0); // stored: none of ours
    SCOPED_VALUE(grants) more = kit_lease(f->store, "h", 0, 1);
    kit_deliver(f->store, &more.grant[0], 0);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    assert_int_equal(round->group[0].slot, 0);
    assert_int_equal(round->group[0].attempt, 1);
    kit_train(f->store, round);
    reopen(f, 0);
    struct audit audit = kit_audit(f->dir);
    assert_true(audit.quarantined == 0 && audit.groups[REASON_TRAINED] == 2);
}

static void one_that_fails_again_is_set_aside_again(void **)
{
    SCOPED(fixture) f = fixture_new(20, kit_rules(B, 0));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    set_aside(f, &grants.grant[0], 0);
    assert_int_equal(retry(f, 0).again, 1);
    assert_int_equal(set_aside(f, &grants.grant[0], 0), OUTCOME_REJECTED);
    assert_true(counts_of(f).quarantined == 1 && counts_of(f).gone[REASON_QUARANTINED] == 1);
    reopen(f, 0);
    SCOPED(group) kept = NULL;
    assert_ok(store_group(f->store, 0, &kept));
    assert_int_equal(kit_audit(f->dir).quarantined, 1);
}

static void else_its_slot_is_leased_anew(void **)
{
    SCOPED(fixture) f = fixture_new(20, kit_rules(B, 0));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    set_aside(f, &grants.grant[0], 0);
    SCOPED_VALUE(grants) more = kit_lease(f->store, "g", 0, 2);
    kit_deliver(f->store, &grants.grant[1], 0);
    kit_deliver(f->store, &more.grant[0], 0);
    assert_int_equal(retry(f, 0).anew, 1); // the round has all it needs
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, round);
    SCOPED_VALUE(grants) anew = kit_lease(f->store, "g", 1, 2);
    assert_true(anew.grant[0].slot == 0 && anew.grant[0].attempt == 2);
    set_aside(f, &anew.grant[0], 1);
    SCOPED_VALUE(grants) third = kit_lease(f->store, "g", 1, 2);
    kit_deliver(f->store, &anew.grant[1], 1);
    kit_deliver(f->store, &third.grant[0], 1);
    SCOPED(round) second = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, second);
    assert_ok(store_checkpointed(f->store, 2, 2)); // drops bytes of older ages, not these
    SCOPED(group) kept = NULL;
    assert_ok(store_group(f->store, 0, &kept));
    struct store_retried retried = retry(f, 0); // a round later it is over the lag
    assert_true(retried.again == 0 && retried.anew == 1);
    SCOPED(group) none = NULL;
    assert_err(ERR_NOT_FOUND, "slot 0 holds no stored group", store_group(f->store, 0, &none));
    reopen(f, 0);
    struct audit audit = kit_audit(f->dir);
    assert_true(audit.free == 1 && audit.groups[REASON_QUARANTINED] == 2);
}

static void a_lease_of_the_rewarders_runs_out(void **)
{
    SCOPED(fixture) f = fixture_new(20, kit_rules(B, 1));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    set_aside(f, &grants.grant[0], 0);
    assert_int_equal(retry(f, 0).again, 1);
    assert_ok(store_expire(f->store, 1000));
    assert_int_equal(again(f), 0);
    assert_true(counts_of(f).free == 2 && counts_of(f).expired == 2);
    SCOPED(group) none = NULL;
    assert_err(ERR_NOT_FOUND, "slot 0", store_group(f->store, 0, &none));
    kit_audit(f->dir);
}

/* Its weights are cut off: it cannot be trained any more, but its slot can. */
static void a_fork_leaves_it_where_it_is(void **)
{
    SCOPED(fixture) f = fixture_new(20, kit_rules(B, 3));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 3);
    set_aside(f, &grants.grant[2], 0); // slot 2, of version 0
    for (int i = 0; i < 2; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, round);
    SCOPED_VALUE(grants) later = kit_lease(f->store, "g", 1, 1);
    set_aside(f, &later.grant[0], 1); // slot 3, of version 1
    assert_ok(store_fork(f->store, 0, 0));
    reopen(f, 0);
    assert_int_equal(counts_of(f).quarantined, 2);
    assert_int_equal(retry(f, 2).again, 1); // version 0 is the same in both
    assert_int_equal(retry(f, 3).anew, 1);
    assert_int_equal(kit_deliver(f->store, &grants.grant[2], 0), OUTCOME_STORED);
    kit_audit(f->dir);
}

static void the_run_ends_beside_it(void **)
{
    SCOPED(fixture) f = fixture_new(3, kit_rules(B, 0));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    set_aside(f, &grants.grant[0], 0);
    SCOPED_VALUE(grants) more = kit_lease(f->store, "g", 0, 2);
    kit_deliver(f->store, &grants.grant[1], 0);
    kit_deliver(f->store, &more.grant[0], 0);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    kit_train(f->store, round);
    assert_true(store_ended(f->store));
    reopen(f, 0);
    assert_int_equal(counts_of(f).quarantined, 1);
    assert_int_equal(store_unusable(f->store).slots, 0);
    kit_audit(f->dir);
}

static void they_count_as_unusable(void **)
{
    SCOPED(fixture) f = fixture_new(20, kit_rules(B, 2));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 4);
    for (int i = 0; i < 3; i++)
        set_aside(f, &grants.grant[i], 0);
    assert_int_equal(store_unusable(f->store).slots, 3);
    assert_int_equal(store_unusable(f->store).reason, REASON_QUARANTINED);
    kit_deliver(f->store, &grants.grant[3], 0);
    assert_int_equal(store_unusable(f->store).slots, 0);
}

TESTS(cmocka_unit_test(its_place_is_free_and_its_bytes_stay),
      cmocka_unit_test(within_the_lag_it_is_scored_as_it_is),
      cmocka_unit_test(one_that_fails_again_is_set_aside_again),
      cmocka_unit_test(else_its_slot_is_leased_anew),
      cmocka_unit_test(a_lease_of_the_rewarders_runs_out),
      cmocka_unit_test(a_fork_leaves_it_where_it_is), cmocka_unit_test(the_run_ends_beside_it),
      cmocka_unit_test(they_count_as_unusable))
