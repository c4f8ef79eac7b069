#include "learner/store/rounds.h"
#include "unit/learner/store_kit.h"

static void the_last_round_is_short_or_dropped(void **)
{
    for (int drop = 0; drop < 2; drop++) {
        struct store_rules rules = kit_rules(2, 1);
        rules.last_batch = drop ? LAST_BATCH_DROP : LAST_BATCH_SHORT;
        SCOPED(fixture) f = fixture_new(3, rules);
        SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 4);
        for (size_t i = 0; i < 2; i++)
            kit_deliver(f->store, &grants.grant[i], 0);
        round_free(kit_round(f->store, IDLE_NONE));
        round_free(kit_round(f->store, IDLE_NO_GROUPS));
        kit_deliver(f->store, &grants.grant[2], 0);
        SCOPED(round) last = kit_round(f->store, drop ? IDLE_ENDED : IDLE_NONE);
        if (!drop)
            assert_int_equal(last->groups, 1);
        assert_int_equal(counts_of(f).gone[REASON_ENDED], drop);
        reopen(f, 0);
        round_free(kit_round(f->store, IDLE_ENDED));
        SCOPED_VALUE(grants) over = kit_lease(f->store, "g", 0, 4);
        assert_int_equal(over.stop, LEASE_ENDED);
        assert_int_equal(kit_deliver(f->store, &grants.grant[2], 0), OUTCOME_DUPLICATE);
    }
}

static void a_run_of_n_rounds_ends_after_them(void **)
{
    struct store_rules rules = kit_rules(2, 1);
    rules.rounds = 1;
    SCOPED(fixture) f = fixture_new(100, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 9);
    assert_int_equal(grants.count, 2);
    assert_int_equal(grants.stop, LEASE_PACED);
    kit_deliver(f->store, &grants.grant[0], 0);
    kit_deliver(f->store, &grants.grant[1], 0);
    round_free(kit_round(f->store, IDLE_NONE));
    round_free(kit_round(f->store, IDLE_ENDED));
}

/* Delivers and forms one round; what it says of the run. */
static uint64_t run_rounds(struct fixture *f, size_t groups)
{
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, groups);
    assert_int_equal(grants.count, groups);
    for (size_t i = 0; i < groups; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE), *again = NULL;
    assert_ok(store_round(f->store, round->round, &again)); // durable
    assert_int_equal(again->run_rounds, round->run_rounds);
    return round->run_rounds;
}

static void a_round_says_how_long_the_run_is(void **)
{
    static const struct {
        uint64_t rounds, epochs, rows, want;
        enum last_batch last;
    } cases[] = {
        {0, 1, 9, 5, LAST_BATCH_SHORT},          {0, 1, 9, 4, LAST_BATCH_DROP},
        {0, 3, 8, 12, LAST_BATCH_DROP},          {7, 0, 8, 7, LAST_BATCH_SHORT},
        {7, 1, 8, 4, LAST_BATCH_SHORT},          {3, 1, 8, 3, LAST_BATCH_SHORT},
        {9, UINT64_MAX, 8, 9, LAST_BATCH_SHORT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct store_rules rules = kit_rules(2, 50);
        rules.rounds = cases[i].rounds;
        rules.epochs = cases[i].epochs;
        rules.last_batch = cases[i].last;
        SCOPED(fixture) f = fixture_new(cases[i].rows, rules);
        for (int round = 0; round < 3; round++)
            assert_int_equal(run_rounds(f, 2), cases[i].want);
    }
}

/* Groups that leave unused shorten it, an operator moves it, and the short round is its last. */
static void the_runs_length_follows_what_is_known(void **)
{
    struct store_rules rules = kit_rules(2, 50);
    rules.max_failures = 1;
    SCOPED(fixture) f = fixture_new(11, rules);
    assert_int_equal(run_rounds(f, 2), 6);
    rules.rounds = 4;
    assert_ok(kit_set_rules(f->store, &rules, 0));
    assert_int_equal(run_rounds(f, 2), 4);
    rules.rounds = 0;
    assert_ok(kit_set_rules(f->store, &rules, 0));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 2);
    for (size_t i = 0; i < 2; i++) { // none of it can be trained
        SCOPED(group) group = kit_group(&grants.grant[i], 0, 0);
        struct verdict verdict;
        assert_ok(store_reject(f->store, group, 0, &verdict));
    }
    assert_int_equal(run_rounds(f, 2), 5); // 9 of 11 rows
    assert_int_equal(run_rounds(f, 2), 5);
    assert_int_equal(run_rounds(f, 1), 5);
}

static void versions_are_durable_and_replays_are_compared(void **)
{
    struct round_plan two = {2, 7, "s", "f"};
    enum idle idle;
    struct digest found;
    struct trainee_digests wrong = kit_trainees(77);
    uint64_t of;
    SCOPED(fixture) f = fixture_new(100, kit_rules(1, 3));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 3);
    for (int i = 0; i < 3; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    assert_err(ERR_PRECONDITION, "no round is recorded",
               store_update_done(f->store, 1, &wrong, true));
    SCOPED(round) round = NULL;
    assert_ok(store_form_round(f->store, 0, &two, &idle, &round));
    assert_int_equal(round->first_version, 0);
    struct trainee_digests v1 = kit_trainees(1), v2 = kit_trainees(2), v3 = kit_trainees(3);
    assert_err(ERR_PRECONDITION, "not the next", store_update_done(f->store, 2, &v2, true));
    assert_ok(store_update_done(f->store, 1, &v1, false));
    assert_ok(store_round_of(f->store, 1, &of));
    assert_int_equal(of, 0); // inside round 0
    assert_err(ERR_PRECONDITION, "must end", store_update_done(f->store, 2, &v2, false));
    assert_ok(store_update_done(f->store, 2, &v2, true));
    reopen(f, 0);
    assert_ok(store_round_of(f->store, 2, &of));
    assert_int_equal(of, 1);
    assert_ok(store_round_of(f->store, 1, &of));
    assert_int_equal(of, 0);
    assert_err(ERR_NOT_FOUND, "never made", store_round_of(f->store, 3, &of));
    assert_ok(kit_digest_of(f->store, 2, &found));
    assert_true(digest_equal(&found, &v2.at[0].weights));
    assert_err(ERR_NOT_FOUND, "version 3", kit_digest_of(f->store, 3, &found));
    assert_ok(store_update_done(f->store, 1, &v1, false)); // the replay
    assert_ok(store_update_done(f->store, 2, &v2, true));
    assert_err(ERR_DATA_LOSS, "other weights of version 1",
               store_update_done(f->store, 1, &wrong, false));
    assert_err(ERR_DATA_LOSS, "ended early", store_update_done(f->store, 1, &v1, true));
    SCOPED(round) early = NULL;
    assert_ok(store_form_round(f->store, 0, &two, &idle, &early));
    assert_int_equal(early->first_version, 2);
    assert_ok(store_update_done(f->store, 3, &v3, true)); // after one update of two
    SCOPED(round) after = kit_round(f->store, IDLE_NONE);
    assert_int_equal(after->first_version, 3);
    assert_int_equal(store_rounds_done(f->store), 2);
    assert_int_equal(store_next_round(f->store), 3);
    assert_int_equal(store_last_version(f->store), 3);
}

static void groups_are_kept_back_to_the_checkpoint_before_the_newest(void **)
{
    SCOPED(fixture) f = fixture_new(100, kit_rules(1, 0));
    struct round *round[6];
    uint64_t at, version;
    for (uint64_t r = 0; r < 6; r++) {
        SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", r, 1);
        kit_deliver(f->store, grants.grant, r);
        round[r] = kit_round(f->store, IDLE_NONE);
        kit_train(f->store, round[r]);
    }
    assert_err(ERR_PRECONDITION, "7 rounds", store_checkpointed(f->store, 7, 7));
    assert_err(ERR_PRECONDITION, "2 rounds with version 3", store_checkpointed(f->store, 2, 3));
    assert_ok(store_checkpointed(f->store, 2, 2));
    assert_ok(store_checkpointed(f->store, 4, 4));
    assert_ok(store_checkpointed(f->store, 4, 4));
    assert_ok(store_checkpointed(f->store, 3, 3));
    reopen(f, 0);
    store_checkpoint(f->store, &at, &version);
    assert_int_equal(at, 4);
    assert_int_equal(version, 4);
    for (uint64_t r = 0; r < 6; r++) {
        struct group **groups;
        if (r < 2) {
            assert_err(ERR_NOT_FOUND, "no longer kept",
                       store_round_groups(f->store, round[r], &groups));
            continue;
        }
        assert_ok(store_round_groups(f->store, round[r], &groups));
        assert_int_equal(groups[0]->slot, r);
        round_groups_free(groups, 1);
    }
    for (int r = 0; r < 6; r++)
        round_free(STEAL(round[r]));
}

static void a_straggler_is_waited_for_or_dropped(void **)
{
    for (int drop = 0; drop < 2; drop++) {
        struct store_rules rules = kit_rules(2, 1);
        rules.straggler = drop ? STRAGGLER_DROP : STRAGGLER_WAIT;
        SCOPED(fixture) f = fixture_new(100, rules);
        SCOPED_VALUE(grants) old = kit_lease(f->store, "g", 0, 4);
        kit_deliver(f->store, &old.grant[1], 0);
        kit_deliver(f->store, &old.grant[2], 0);
        SCOPED(round) first = kit_round(f->store, IDLE_NONE);
        kit_train(f->store, first);
        SCOPED_VALUE(grants) young = kit_lease(f->store, "g", 1, 2);
        kit_deliver(f->store, &young.grant[0], 1);
        kit_deliver(f->store, &old.grant[3], 0);
        store_hold(f->store, true); // nobody may drop what was told to stand still
        round_free(kit_round(f->store, IDLE_STRAGGLER));
        store_hold(f->store, false);
        round_free(kit_round(f->store, drop ? IDLE_NONE : IDLE_STRAGGLER)); // slot 0 is of age 0
        if (!drop) {
            kit_deliver(f->store, &old.grant[0], 0);
            SCOPED(round) waited = kit_round(f->store, IDLE_NONE);
            assert_int_equal(waited->group[0].slot, 0);
            continue;
        }
        struct revoked *revoked;
        size_t n;
        store_revoked(f->store, &revoked, &n);
        assert_int_equal(n, 1);
        assert_int_equal(revoked->why, REVOKED_STRAGGLER);
        revoked_free(revoked, n);
        assert_int_equal(kit_deliver(f->store, &old.grant[0], 0), OUTCOME_STALE);
    }
}

static void a_lower_limit_sheds_at_once(void **)
{
    struct revoked *revoked;
    size_t n;
    SCOPED(fixture) f = fixture_new(100, kit_rules(2, 4));
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 10);
    for (int i = 0; i < 6; i++)
        kit_deliver(f->store, &grants.grant[i], 0);
    SCOPED(round)
    round = kit_round(f->store, IDLE_NONE); // slots 0 and 1; 4 stored and 4 leased are left
    f->rules.eta = f->rules.limit = 1;
    assert_ok(kit_set_rules(f->store, &f->rules, 0)); // of age 0 round 1 alone is left: 2 groups
    assert_int_equal(counts_of(f).stored, 2);
    assert_int_equal(counts_of(f).leased, 0);
    assert_int_equal(counts_of(f).free, 6);
    assert_int_equal(counts_of(f).gone[REASON_STALE], 2);
    store_revoked(f->store, &revoked, &n);
    assert_int_equal(n, 4);
    assert_int_equal(revoked[0].why, REVOKED_STALE);
    revoked_free(revoked, n);
    assert_int_equal(kit_deliver(f->store, &grants.grant[4], 0),
                     OUTCOME_DUPLICATE); // it was stored, then left
    assert_int_equal(kit_deliver(f->store, &grants.grant[9], 0),
                     OUTCOME_STALE); // no place left for it
    SCOPED(round) next = kit_round(f->store, IDLE_NONE);
    assert_int_equal(next->group[0].slot, 2);
    round_free(kit_round(f->store, IDLE_NO_GROUPS));
    kit_train(f->store, round);
    SCOPED_VALUE(grants) more = kit_lease(f->store, "g", 1, 9);
    assert_int_equal(more.grant[0].slot, 4);
    assert_int_equal(more.grant[0].attempt, 2);
}

TESTS(cmocka_unit_test(a_round_says_how_long_the_run_is),
      cmocka_unit_test(the_runs_length_follows_what_is_known),
      cmocka_unit_test(the_last_round_is_short_or_dropped),
      cmocka_unit_test(a_run_of_n_rounds_ends_after_them),
      cmocka_unit_test(versions_are_durable_and_replays_are_compared),
      cmocka_unit_test(groups_are_kept_back_to_the_checkpoint_before_the_newest),
      cmocka_unit_test(a_straggler_is_waited_for_or_dropped),
      cmocka_unit_test(a_lower_limit_sheds_at_once))
