/* Looking at groups that wait, and taking some out. */
#include "learner/store/db.h"
#include "learner/store/groups.h"
#include "learner/store/history.h"
#include "unit/learner/store_kit.h"

enum { B = 2 };

static size_t list(struct fixture *f, uint64_t from, struct listed *ret, size_t most)
{
    size_t n = 0;
    for (uint64_t at = from; n < most && store_list(f->store, &at, &ret[n]); n++)
        assert_int_equal(at, ret[n].slot + 1);
    return n;
}

static uint64_t evict(struct fixture *f, const uint64_t *slots, size_t n)
{
    uint64_t evicted = 0;
    assert_ok(store_evict(f->store, slots, n, 0, NULL, NULL, &evicted));
    return evicted;
}

static void leased_and_stored_ones_are_listed(void **)
{
    struct listed at[8];
    SCOPED(fixture) f = fixture_new(10, kit_rules(B, 3));
    assert_int_equal(list(f, 0, at, 8), 0);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g7", 0, 5);
    kit_deliver(f->store, &grants.grant[3], 0);
    assert_int_equal(list(f, 0, at, 8), 5);
    for (size_t i = 0; i < 5; i++) {
        const struct grant *grant = &grants.grant[i];
        assert_true(digest_equal(&at[i].id, &grant->id));
        assert_true(at[i].slot == i && at[i].prompt == grant->prompt && at[i].epoch == 0);
        assert_true(at[i].attempt == 1 && at[i].lineage == 1 && at[i].lag == 0);
        assert_int_equal(at[i].stored, i == 3);
        assert_string_equal(at[i].generator, i == 3 ? "g" : "g7"); // the group says who made it
    }
    assert_true(at[3].reward == 0.5 && at[3].tokens == 2 && at[3].completions == 1);
    assert_true(at[2].reward == 0 && at[2].tokens == 0);
    assert_int_equal(list(f, 3, at, 1), 1); // a page
    assert_int_equal(at[0].slot, 3);
    assert_int_equal(list(f, 5, at, 8), 0);
    assert_int_equal(list(f, UINT64_MAX, at, 8), 0);
    struct listed found;
    assert_ok(store_listed(f->store, &grants.grant[2].id, &found));
    assert_int_equal(found.slot, 2);
    struct digest other = kit_digest(5);
    assert_err(ERR_NOT_FOUND, "is leased, stored or quarantined",
               store_listed(f->store, &other, &found));
}

static void a_stored_group_is_read_whole(void **)
{
    uint64_t bytes = 0;
    SCOPED(group) group = NULL;
    SCOPED(fixture) f = fixture_new(10, kit_rules(B, 3));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    kit_deliver(f->store, &grants.grant[1], 0);
    assert_ok(store_group(f->store, 1, &group));
    assert_true(digest_equal(&group->id, &grants.grant[1].id));
    assert_string_equal(group->completion[0].text, "ab");
    assert_ok(store_group_bytes(f->store, 1, &bytes));
    assert_true(bytes > 50 && bytes < 1000);
    SCOPED(group) none = NULL;
    assert_err(ERR_NOT_FOUND, "slot 0 holds no stored group", store_group(f->store, 0, &none));
    assert_err(ERR_NOT_FOUND, "slot 99 holds", store_group_bytes(f->store, 99, &bytes));
}

static void evicted_ones_leave_and_their_slots_are_leased_again(void **)
{
    struct listed at[8];
    SCOPED(fixture) f = fixture_new(10, kit_rules(B, 3));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 5);
    for (int i = 0; i < 3; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    const uint64_t slots[] = {1, 4 /* leased */, 2, 2, 77};
    assert_int_equal(evict(f, slots, 5), 2);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(counts_of(f).stored, 1);
        assert_int_equal(counts_of(f).leased, 2);
        assert_int_equal(counts_of(f).free, 2);
        assert_int_equal(counts_of(f).gone[REASON_OPERATOR], 2);
        reopen(f, 0);
    }
    assert_int_equal(kit_deliver(f->store, &grants.grant[1], 0), OUTCOME_DUPLICATE); // answered
    SCOPED_VALUE(grants) next = kit_lease(f->store, "g", 0, 2);
    assert_true(next.count == 2 && next.grant[0].slot == 1 && next.grant[0].attempt == 2);
    assert_int_equal(kit_deliver(f->store, &grants.grant[1], 0), OUTCOME_SUPERSEDED);
    assert_int_equal(kit_deliver(f->store, &next.grant[0], 0), OUTCOME_STORED);
    assert_int_equal(list(f, 0, at, 8), 5);
    assert_true(at[1].stored && at[1].attempt == 2);
}

/* A recorded round has its groups for itself: they are not listed, and nothing takes them. */
static void groups_of_a_round_cannot_be_evicted(void **)
{
    struct listed at[8];
    SCOPED(fixture) f = fixture_new(10, kit_rules(B, 3));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 3);
    for (int i = 0; i < 3; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE); // of slots 0 and 1, not trained yet
    const uint64_t slots[] = {0, 1};
    assert_int_equal(evict(f, slots, 2), 0);
    assert_int_equal(list(f, 0, at, 8), 1);
    assert_int_equal(at[0].slot, 2);
    assert_int_equal(at[0].lag, 1); // in the next round
    reopen(f, 0);
    struct group **groups = NULL;
    assert_ok(store_round_groups(f->store, round, &groups));
    round_groups_free(groups, round->groups);
    kit_train(f->store, round);
}

/* ---- what is noted is durable with what was done */

static err_t note(void *arg, struct store *store)
{
    (void)store;
    (*(int *)arg)++;
    return OK;
}

static err_t refuse(void *arg, struct store *store)
{
    (void)arg;
    (void)store;
    return err_new(ERR_INVALID, "no");
}

static void a_note_that_fails_undoes_all(void **)
{
    int noted = 0;
    uint64_t evicted = 0;
    const uint64_t slots[] = {0};
    SCOPED(fixture) f = fixture_new(10, kit_rules(B, 3));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 3);
    kit_deliver(f->store, &grants.grant[0], 0);
    assert_err(ERR_INVALID, "no", store_evict(f->store, slots, 1, 0, refuse, NULL, &evicted));
    assert_int_equal(evicted, 0);
    reopen(f, 0); // the store refuses every other call
    assert_int_equal(counts_of(f).stored, 1);
    assert_err(ERR_INVALID, "no", store_fork_noted(f->store, 0, 0, refuse, NULL));
    reopen(f, 0);
    assert_int_equal(store_lineage(f->store), 1);
    assert_int_equal(counts_of(f).leased, 2);
    assert_ok(store_evict(f->store, slots, 1, 0, note, &noted, &evicted));
    assert_ok(store_fork_noted(f->store, 0, 0, note, &noted));
    assert_int_equal(noted, 2);
    assert_int_equal(evicted, 1);
    struct branch branch = store_branch(f->store);
    assert_true(branch.lineage == 2 && branch.parent == 1 && !branch.rounds && !branch.version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leased_and_stored_ones_are_listed),
        cmocka_unit_test(a_stored_group_is_read_whole),
        cmocka_unit_test(evicted_ones_leave_and_their_slots_are_leased_again),
        cmocka_unit_test(groups_of_a_round_cannot_be_evicted),
        cmocka_unit_test(a_note_that_fails_undoes_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
