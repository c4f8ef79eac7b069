/* The rules of sessions on a generator's side by themselves: events in, actions out. */
#include "testing/testing.h"
#include "weights/broadcast/session_member.h"

static const struct member_limits MEMBER_LIMITS = {100, 200, 300, 50};

static unsigned feed(struct session_member *member, int64_t now, struct member_event event)
{
    return session_member_step(member, now, &event).set;
}

/* A member in each of its states, of session 5. */
static struct session_member member_in(enum member_state state)
{
    struct session_member member = {.limits = MEMBER_LIMITS};
    static const enum member_event_kind way[] = {MEMBER_INVITE, MEMBER_PREPARED, MEMBER_BEGIN,
                                                 MEMBER_UP, MEMBER_ANNOUNCE};
    static const unsigned does[] = {MEMBER_PREPARE, MEMBER_SAY_READY, MEMBER_INIT,
                                    MEMBER_SAY_JOINED, MEMBER_RECEIVE};
    for (int i = 0; i < (int)state; i++) {
        assert_int_equal(feed(&member, 1000, (struct member_event){way[i], .session = 5}), does[i]);
        assert_int_equal(member.state, i + 1);
    }
    return member;
}

static void a_member_receives_version_after_version(void **state)
{
    struct session_member member = member_in(MEMBER_STANDING);
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(feed(&member, 2000, (struct member_event){MEMBER_ANNOUNCE, .session = 5}),
                         MEMBER_RECEIVE);
        const bool usable = i != 1;
        assert_int_equal(feed(&member, 2100, (struct member_event){MEMBER_DONE, .usable = usable}),
                         usable ? MEMBER_SAY_RECEIVED : MEMBER_SAY_REFUSED);
        assert_true(session_member_wake(&member) == INT64_MAX);
    }
    assert_int_equal(feed(&member, 9, (struct member_event){MEMBER_ANNOUNCE, .session = 4}), 0);
}

static void a_member_answers_abandon_in_every_state(void **state)
{
    (void)state;
    for (enum member_state at = MEMBER_OUT; at <= MEMBER_RECEIVING; at++) {
        struct session_member member = member_in(at);
        const struct member_event abandon = {MEMBER_ABANDON, .session = at ? 5 : 0};
        const unsigned first = feed(&member, 1010, abandon);
        if (at == MEMBER_OUT) {
            assert_int_equal(first, MEMBER_SAY_ABANDONED);
            continue;
        }
        assert_int_equal(first, MEMBER_ABORT);
        assert_int_equal(feed(&member, 1011, abandon), 0); // it is at it
        const struct member_event aborted = {MEMBER_ABORTED, .bytes = 77};
        const struct member_actions last = session_member_step(&member, 1020, &aborted);
        const bool receiving = at == MEMBER_RECEIVING;
        assert_int_equal(last.set, MEMBER_SAY_ABANDONED | (receiving ? MEMBER_END_RECEIVING : 0));
        assert_int_equal(last.bytes, receiving ? 77 : 0);
        assert_int_equal(last.session, 5);
        assert_int_equal(member.state, MEMBER_OUT);
    }
}

static void a_member_leaves_by_itself_when_the_learner_is_gone(void **state)
{
    static const int64_t limit[] = {[MEMBER_PREPARING] = 100,
                                    [MEMBER_READY] = 100,
                                    [MEMBER_CONNECTING] = 200,
                                    [MEMBER_RECEIVING] = 300};
    (void)state;
    for (enum member_state at = MEMBER_PREPARING; at <= MEMBER_RECEIVING; at++) {
        struct session_member member = member_in(at);
        if (at != MEMBER_STANDING) {
            assert_int_equal(session_member_wake(&member), 1000 + limit[at]);
            assert_int_equal(
                feed(&member, 1000 + limit[at] - 1, (struct member_event){MEMBER_TICK}), 0);
            assert_true(feed(&member, 1000 + limit[at], (struct member_event){MEMBER_TICK}) &
                        MEMBER_ABORT);
        }
        member = member_in(at);
        assert_int_equal(feed(&member, 1001, (struct member_event){MEMBER_LOST}), MEMBER_ABORT);
        assert_int_equal(feed(&member, 1051, (struct member_event){MEMBER_TICK}), 0);
        assert_int_equal(member.state, MEMBER_BROKEN); // the abort took longer than its limit
        assert_int_equal(feed(&member, 1060, (struct member_event){MEMBER_INVITE, .session = 6}),
                         0);
    }
}

static void an_invitation_during_a_session_ends_it_first(void **state)
{
    (void)state;
    for (enum member_state at = MEMBER_PREPARING; at <= MEMBER_RECEIVING; at++) {
        struct session_member member = member_in(at);
        assert_int_equal(feed(&member, 1001, (struct member_event){MEMBER_INVITE, .session = 6}),
                         MEMBER_ABORT);
        assert_true(feed(&member, 1002, (struct member_event){MEMBER_ABORTED}) & MEMBER_PREPARE);
        assert_int_equal(member.session, 6);
        assert_int_equal(feed(&member, 1003, (struct member_event){MEMBER_PREPARED}),
                         MEMBER_SAY_READY);
    }
}

static void a_failure_is_said_and_then_answered(void **state)
{
    struct session_member member = member_in(MEMBER_RECEIVING);
    (void)state;
    assert_int_equal(feed(&member, 1001, (struct member_event){MEMBER_LANE_FAILED, .mine = true}),
                     MEMBER_SAY_FAILED | MEMBER_ABORT);
    const struct member_event aborted = {MEMBER_ABORTED, .bytes = 9}, asked = {MEMBER_ABANDON, 5};
    assert_int_equal(session_member_step(&member, 1002, &aborted).set, MEMBER_END_RECEIVING);
    const struct member_actions answer = session_member_step(&member, 1003, &asked);
    assert_int_equal(answer.set, MEMBER_SAY_ABANDONED);
    assert_int_equal(answer.bytes, 9);
}

TESTS(cmocka_unit_test(a_member_receives_version_after_version),
      cmocka_unit_test(a_member_answers_abandon_in_every_state),
      cmocka_unit_test(a_member_leaves_by_itself_when_the_learner_is_gone),
      cmocka_unit_test(an_invitation_during_a_session_ends_it_first),
      cmocka_unit_test(a_failure_is_said_and_then_answered))
