/* Scored groups that are not worth training leave, and others take their places. */
#include "learner/store/history.h"
#include "unit/learner/store_kit.h"

enum { B = 2, COMPLETIONS = 4 };

/* Rewards from the third on are `other`; so many of the completions were cut off. */
static struct verdict deliver(struct fixture *f, const struct grant *grant, double reward,
                              double other, uint32_t cut_off)
{
    SCOPED(group) group = kit_group(grant, 0, 0);
    struct completion *four = mem_array(COMPLETIONS, sizeof *four);
    four[0] = group->completion[0];
    for (int i = 1; i < COMPLETIONS; i++) {
        SCOPED(group) more = kit_group(grant, 0, 0);
        four[i] = more->completion[0];
        more->completions = 0;
    }
    mem_free(group->completion);
    group->completion = four;
    group->completions = COMPLETIONS;
    for (uint32_t i = 0; i < COMPLETIONS; i++)
        four[i].finish = i < cut_off ? FINISH_LENGTH : FINISH_EOS;
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    group_add(group, COLUMN_SCORES, 1);
    double *rewards = group_add(group, COLUMN_REWARD, 1);
    for (uint32_t i = 0; i < COMPLETIONS; i++)
        rewards[i] = i < 2 ? reward : other;
    return kit_append(f->store, group, 0);
}

static void groups_of_equal_rewards_make_room_for_others(void **)
{
    struct store_rules rules = kit_rules(B, 0);
    rules.filter_equal = true;
    SCOPED(fixture) f = fixture_new(20, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 9);
    assert_int_equal(grants.count, B);
    const struct verdict verdict = deliver(f, &grants.grant[0], 0.1, 0.1, 0);
    assert_int_equal(verdict.outcome, OUTCOME_REJECTED);
    assert_int_equal(verdict.filtered, FILTERED_EQUAL);
    assert_string_equal(verdict.why, "filtered: all its rewards are the same");
    assert_int_equal(deliver(f, &grants.grant[1], 0.1, 0.2, 4).outcome, OUTCOME_STORED);
    for (int opened = 0; opened < 2; opened++) {
        assert_true(counts_of(f).gone[REASON_FILTERED] == 1 && counts_of(f).live == 1);
        assert_int_equal(deliver(f, &grants.grant[0], 0.1, 0.2, 0).outcome, OUTCOME_REJECTED);
        reopen(f, 0);
    }
    SCOPED_VALUE(grants) more = kit_lease(f->store, "g", 0, 9);
    assert_true(more.count == 1 && more.grant[0].slot == 2); // its slot is closed
    deliver(f, &more.grant[0], 1, 0, 0);
    SCOPED(round) round = kit_round(f->store, IDLE_NONE);
    assert_true(round->group[0].slot == 1 && round->group[1].slot == 2);
    kit_train(f->store, round);
    struct audit audit = kit_audit(f->dir);
    assert_true(audit.groups[REASON_FILTERED] == 1 && audit.fate[REASON_FILTERED] == 1);
}

static void groups_that_were_cut_off_leave(void **)
{
    struct store_rules rules = kit_rules(B, 3);
    rules.filter_truncated = 0.5;
    SCOPED(fixture) f = fixture_new(20, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 4);
    assert_int_equal(deliver(f, &grants.grant[0], 1, 1, 2).outcome, OUTCOME_STORED); // a half
    assert_int_equal(deliver(f, &grants.grant[1], 1, 0, 3).filtered, FILTERED_TRUNCATED);
    assert_int_equal(deliver(f, &grants.grant[2], 1, 0, 4).filtered, FILTERED_TRUNCATED);
    rules.filter_truncated = 1; // live: none leaves from here on
    assert_ok(kit_set_rules(f->store, &rules, 0));
    assert_int_equal(deliver(f, &grants.grant[3], 1, 0, 4).outcome, OUTCOME_STORED);
    rules.filter_truncated = 1.5;
    assert_err(ERR_INVALID, "truncated is 1.5", kit_set_rules(f->store, &rules, 0));
}

/* Apart from slots of which no group comes. */
static void they_are_counted_in_a_row(void **)
{
    struct store_rules rules = kit_rules(B, 3);
    rules.filter_equal = true;
    SCOPED(fixture) f = fixture_new(20, rules);
    SCOPED_VALUE(grants) grants = kit_lease(f->store, "g", 0, 4);
    for (int i = 0; i < 3; i++)
        deliver(f, &grants.grant[i], 0, 0, 0);
    assert_true(store_unusable(f->store).filtered == 3 && store_unusable(f->store).slots == 0);
    deliver(f, &grants.grant[3], 0, 1, 0);
    assert_int_equal(store_unusable(f->store).filtered, 0);
}

TESTS(cmocka_unit_test(groups_of_equal_rewards_make_room_for_others),
      cmocka_unit_test(groups_that_were_cut_off_leave), cmocka_unit_test(they_are_counted_in_a_row))
