/* The causes that hold a generator up, in order of precedence. */
#include "generator/generator_hold.h"
#include "testing/testing.h"
#include <string.h>

static void each_cause_in_its_order(void **)
{
    struct generator_facts facts = generator_facts_of("l:1", "r:2", 0);
    struct peer *learner = &facts.peers.learner, *rewarder = &facts.peers.rewarder,
                *weights = &facts.peers.weights;
    assert_int_equal(generator_hold(&facts, 9).cause, HOLD_NO_LEARNER);
    peer_up(learner, 1);
    assert_int_equal(generator_hold(&facts, 9).cause, HOLD_NO_REWARDER);
    assert_non_null(strstr(generator_hold(&facts, 9).text, "the rewarder (r:2)"));
    peer_up(rewarder, 1);
    assert_int_equal(generator_hold(&facts, 9).cause, HOLD_WEIGHTS);
    peer_up(weights, 1);
    assert_non_null(strstr(generator_hold(&facts, 9).text, "no weights yet, for 9 s"));
    facts.serving = true;
    facts.since_s = 7;
    assert_int_equal(generator_hold(&facts, 9).cause, HOLD_NONE); // for a moment only
    assert_int_equal(generator_hold(&facts, 19).cause, HOLD_LEASES);
    facts.unanswered = 3;
    assert_int_equal(generator_hold(&facts, 19).cause, HOLD_ANSWERS);
    assert_non_null(strstr(generator_hold(&facts, 19).text, "3 finished groups"));
    facts.held = 1;
    assert_int_equal(generator_hold(&facts, 19).cause, HOLD_NONE);
    facts.stands = true;
    assert_int_equal(generator_hold(&facts, 19).cause, HOLD_PAUSED);
    facts.stands = false;
    peer_down(weights, "lost", 19); // the weights in force serve on
    assert_int_equal(generator_hold(&facts, 20).cause, HOLD_NONE);
    for (int i = 0; i < PEER_BREAKS; i++) {
        peer_up(weights, 20);
        peer_down(weights, "lost", 20);
    }
    assert_int_equal(generator_hold(&facts, 20).cause, HOLD_STREAM);
}

TESTS(cmocka_unit_test(each_cause_in_its_order))
