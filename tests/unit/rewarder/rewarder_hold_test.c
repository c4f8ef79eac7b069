/* What can hold a rewarder up, in order of precedence. */
#include "rewarder/rewarder_hold.h"
#include "testing/testing.h"
#include <string.h>

static void each_cause_in_its_order(void **)
{
    struct peer learner = peer_of("learner", "l:1", HOLD_NO_LEARNER, 0);
    struct rewarder_facts facts = {
        .learner = &learner, .why = "row 3: no 'answer'", .slot = 12, .held = ""};
    assert_int_equal(rewarder_hold(&facts, 9).cause, HOLD_NO_LEARNER);
    peer_up(&learner, 1);
    assert_int_equal(rewarder_hold(&facts, 9).cause, HOLD_GROUPS);
    facts.unanswered = 4;
    assert_int_equal(rewarder_hold(&facts, 9).cause, HOLD_ANSWERS);
    assert_non_null(strstr(rewarder_hold(&facts, 9).text, "the learner (l:1) for 9 s"));
    facts.moved_s = 8;
    assert_int_equal(rewarder_hold(&facts, 9).cause, HOLD_NONE);
    facts.unscorable = REWARDER_FAILS - 1;
    assert_int_equal(rewarder_hold(&facts, 9).cause, HOLD_NONE);
    facts.unscorable++;
    assert_int_equal(rewarder_hold(&facts, 9).cause, HOLD_SCORER);
    assert_non_null(strstr(rewarder_hold(&facts, 9).text, "slot 12: row 3: no 'answer'"));
    facts.held = "rewarder.scorers[0] (kind 'x') does not answer: refused";
    facts.scoring = 7;
    assert_int_equal(rewarder_hold(&facts, 9).cause, HOLD_SCORER_DOWN);
    assert_string_equal(rewarder_hold(&facts, 9).text,
                        "7 groups wait, and nothing is leased: rewarder.scorers[0] (kind 'x') does "
                        "not answer: refused");
}

TESTS(cmocka_unit_test(each_cause_in_its_order))
