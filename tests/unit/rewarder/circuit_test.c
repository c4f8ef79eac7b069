/* Stages that do not answer at all: groups wait, probes ask, and a group that alone is at fault is
 * found out. */
#include "unit/rewarder/pipeline_kit.h"

/* The loop for so long, or until every group has left. */
static void run_for(struct line *line, double seconds)
{
    struct loop_timer *end = loop_timer_new(line->loop, (void (*)(void *))loop_stop, line->loop);
    loop_timer_start(end, (uint64_t)(seconds * 1000), 0);
    assert_ok(loop_run(line->loop));
    loop_timer_free(end);
}

static void groups_wait_for_a_stage_that_is_down(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open("threads: 2, scorers: [{kind: pool, attempts: 2, deadline_ms: 400}]", &after);
    put(line, 3);
    run(line);
    assert_int_equal(seen.calls, 3);
    seen.down = true;
    put(line, 20);
    run_for(line, 1.6); // four deadlines; probes after .25, .5, 1 s and up to a half more
    assert_int_equal(line->left, 3);
    assert_string_equal(line->held, "rewarder.scorers[0] (kind 'pool') does not answer: "
                                    "connection refused");
    assert_int_equal(line->holds, 1);
    /* five open it, at most two more are under way then; three probes at most */
    assert_in_range(seen.calls, 3 + 5 + 1, 3 + 5 + 20 + 3);
    const int calls = seen.calls;
    put(line, 5);
    run_for(line, 0.1);
    assert_in_range(seen.calls, calls, calls + 1); // later ones wait, too
    seen.down = false;
    run(line);
    assert_string_equal(line->held, "");
    assert_int_equal(line->unscored, 0);
    for (size_t i = 0; i < line->wanted; i++) {
        assert_string_equal(line->failure[i], "");
        assert_near(line->reward[i], 2, 0);
    }
}

/* The first group of all cannot be told from a dead stage by itself. */
static void one_group_alone_waits(void **state)
{
    (void)state;
    SCOPED(line) line = line_open("scorers: [{kind: pool, fails: 4, breaker: 100}]", &after);
    put(line, 1);
    run(line); // the third attempt is the last; nothing else was answered, so it may go on
    assert_string_equal(line->failure[0], "");
    assert_int_equal(line->holds, 1);
    assert_int_equal(seen.calls, 5);
}

static void a_group_that_fails_among_others_leaves(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open("threads: 2, scorers: [{kind: pool, poison: 5, sleep_ms: 1}]", &after);
    put(line, 400);
    run(line);
    for (size_t i = 0; i < line->wanted; i++)
        if (i != 5)
            assert_string_equal(line->failure[i], "");
    assert_failed(line, 5, "rewarder.scorers[0]: kind 'pool': attempt 3 of 3: status 500");
    assert_int_equal(line->unscored, 1);
    assert_near(line->reward[5], 0, 0);
}

/* Nothing else waits: the stage is asked again for what it has answered before. */
static void a_group_that_fails_alone_leaves(void **state)
{
    (void)state;
    SCOPED(line) line = line_open("scorers: [{kind: pool, poison: 1, breaker: 2}]", &after);
    put(line, 1);
    run(line);
    put(line, 1);
    const double took = run(line);
    assert_failed(line, 1, "attempt 3 of 3: status 500");
    assert_int_equal(line->unscored, 1);
    assert_string_equal(line->held, "");
    assert_true(took < 20);
    print_message("left after %.2f s and %d calls\n", took, seen.calls);
}

/* A stage that hangs is one that does not answer; a group at which alone it hangs leaves. */
static void a_stage_that_hangs_is_waited_for(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open("threads: 4, scorers: [{kind: pool, mode: hang, deadline_ms: 100}]", &after);
    put(line, 2);
    run_for(line, 0.3);
    assert_int_equal(line->left, 0);
    assert_string_equal(line->held, "rewarder.scorers[0] (kind 'pool') does not answer: "
                                    "no answer in 100 ms (deadline_ms)");
    seen.release = true;
    run(line);
    assert_string_equal(line->failure[0], "");
    assert_string_equal(line->held, "");
    SCOPED(line)
    loop = line_open("scorers: [{kind: asleep, deadline_ms: 60}]", &after);
    put(loop, 1);
    run_for(loop, 0.8);
    assert_int_equal(loop->left, 0);
    assert_in_range(seen.cancelled, 2, 3); // the attempt, and a probe
}

static void a_refusal_opens_nothing(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open("scorers: [{kind: pool, mode: refuse, breaker: 1}]", &after);
    put(line, 30);
    run(line);
    assert_int_equal(seen.calls, 30);
    assert_int_equal(line->holds, 0);
    assert_int_equal(line->unscored, 0);
}

static void groups_that_wait_at_the_end_are_dropped(void **state)
{
    (void)state;
    struct line *line = line_open("scorers: [{kind: pool}, {kind: asleep}]", &after);
    seen.down = true;
    put(line, 9);
    run_for(line, 0.9); // with a probe under way or not
    pipeline_free(STEAL(line->pipeline));
    assert_int_equal(line->dropped, 9);
    line_free(line);
}

TESTS(cmocka_unit_test(groups_wait_for_a_stage_that_is_down),
      cmocka_unit_test(one_group_alone_waits),
      cmocka_unit_test(a_group_that_fails_among_others_leaves),
      cmocka_unit_test(a_group_that_fails_alone_leaves),
      cmocka_unit_test(a_stage_that_hangs_is_waited_for), cmocka_unit_test(a_refusal_opens_nothing),
      cmocka_unit_test(groups_that_wait_at_the_end_are_dropped))
