/* Stages that fail, hang and wait for one another, in the pipeline's real threads and loop: what
 * becomes of the groups. */
#include "unit/rewarder/pipeline_kit.h"

/* ---- order */

static void stages_run_side_by_side_or_after_one_another(void **state)
{
    (void)state;
    static const char stages[] = "threads: 2, reference: {kind: frozen, sleep_ms: 100}, scorers: "
                                 "[{kind: pool, sleep_ms: 100, weight: 2}, {kind: pool, "
                                 "sleep_ms: 100, score: 10}]";
    SCOPED(line) together = line_open(stages, &beside);
    put(together, 1);
    const double at_once = run(together);
    assert_int_equal(seen.most_running, 3);
    assert_near(together->reward[0], 2 * (2.0 * 1) + 2 * 10, 0);
    assert_near(together->reference[0], -1000, 0); // without a reward, as it asks for none
    SCOPED(line) ordered = line_open(stages, &after);
    put(ordered, 1);
    const double in_turn = run(ordered);
    assert_int_equal(seen.most_running, 2);
    assert_near(ordered->reference[0], -24, 0);
    print_message("side by side %.3f s, one after the other %.3f s\n", at_once, in_turn);
}

/* One thread for both of the class, beside the pool's for others. */
static void stages_of_a_class_that_runs_together_take_turns(void **state)
{
    (void)state;
    static const char stages[] = "threads: 2, scorers: [{kind: shared, sleep_ms: 30}, {kind: "
                                 "shared, sleep_ms: 30, score: 10}";
    SCOPED_MEM char *two = mem_printf("%s]", stages);
    SCOPED_MEM char *three = mem_printf("%s, {kind: pool, sleep_ms: 30}]", stages);
    SCOPED(line) alone = line_open(two, &after);
    put(alone, 4);
    run(alone);
    assert_int_equal(seen.most_running, 1);
    SCOPED(line) mixed = line_open(three, &after);
    put(mixed, 4);
    run(mixed);
    assert_in_range(seen.most_running, 2, 3);
    for (size_t i = 0; i < 4; i++) {
        assert_near(alone->reward[i], 2 * 1 + 2 * 10, 0);
        assert_near(mixed->reward[i], 2 * 1 + 2 * 10 + 2 * 1, 0);
    }
}

static void many_groups_keep_their_own(void **state)
{
    (void)state;
    SCOPED(line)
    line =
        line_open("threads: 3, reference: frozen, scorers: [{kind: pool}, {kind: pool, score: 3, "
                  "weight: 0.5}, {kind: pool, score: 2, weight: 0}]",
                  &after);
    put(line, MOST);
    run(line);
    for (size_t i = 0; i < MOST; i++) {
        assert_string_equal(line->failure[i], "");
        assert_near(line->reward[i], 5, 0);
        assert_near(line->reference[i], -5, 0);
    }
    assert_int_equal(seen.calls, MOST * 4);
}

/* ---- failures */

static void what_may_pass_is_tried_again(void **state)
{
    (void)state;
    SCOPED(line) line = line_open("scorers: [{kind: pool, fails: 2}]", &after);
    put(line, 1);
    assert_true(run(line) >= 0.3); // pauses of 100 and 200 ms
    assert_string_equal(line->failure[0], "");
    assert_near(line->reward[0], 2, 0);
    assert_int_equal(seen.calls, 3);
}

static void what_always_fails_leaves_with_its_reason(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open("scorers: [{kind: pool}, {kind: pool, fails: 1000, breaker: 0}]", &after);
    put(line, 2);
    run(line);
    for (size_t i = 0; i < 2; i++) {
        assert_failed(line, i, "rewarder.scorers[1]: kind 'pool': attempt 3 of 3: failure ");
        assert_near(line->reward[i], 0, 0); // absent
    }
    SCOPED(line) final = line_open("scorers: [{kind: pool, mode: refuse}]", &after);
    put(final, 1);
    run(final);
    assert_int_equal(line->unscored, 2); // another time they may be scored
    assert_int_equal(final->unscored, 0);
    assert_string_equal(final->failure[0], "rewarder.scorers[0]: kind 'pool': it is not to be");
    assert_int_equal(seen.calls, 1);
}

static void attempts_end_with_the_deadline(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open(
        "scorers: [{kind: pool, fails: 1000, attempts: 100, deadline_ms: 250, breaker: 0}]",
        &after);
    put(line, 1);
    run(line);
    assert_failed(line, 0, "attempt 2 of 100: failure 2"); // a third would begin at 300 ms
}

/* ---- deadlines */

static void a_stage_that_never_answers_loses_its_groups_alone(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open(
        "threads: 2, scorers: [{kind: pool, mode: hang, deadline_ms: 100, breaker: 0}]", &after);
    put(line, 4);
    const double took = run(line);
    assert_int_equal(seen.held, 2);
    size_t late = 0, held = 0;
    for (size_t i = 0; i < 4; i++) {
        late += strstr(line->failure[i], "no answer in 100 ms (deadline_ms)") != NULL;
        held += strstr(line->failure[i], "attempt 3 of 3: its threads are held by groups") != NULL;
    }
    assert_int_equal(late, 2);
    assert_int_equal(held, 2);
    assert_true(took < 20);
    seen.release = true; // late answers are dropped, the threads are free again
    put(line, 3);
    run(line);
    for (size_t i = 4; i < 7; i++) {
        assert_string_equal(line->failure[i], "");
        assert_near(line->reward[i], 2, 0);
    }
}

static void one_that_hangs_holds_one_thread(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open(
        "threads: 2, scorers: [{kind: pool, mode: hang, deadline_ms: 50, breaker: 0}, {kind: pool}]",
        &after);
    put(line, 1);
    run(line);
    assert_failed(line, 0, "rewarder.scorers[0]: kind 'pool': no answer in 50 ms");
    for (int ms = 0; seen.calls < 2 && ms < 20000; ms++)
        clock_sleep_ms(1);
    assert_int_equal(seen.calls, 2); // the other scorer has run beside the one that hangs
    assert_int_equal(seen.held, 1);
}

static void a_stage_of_the_loop_is_cancelled(void **state)
{
    (void)state;
    SCOPED(line)
    line =
        line_open("scorers: [{kind: pool}, {kind: asleep, deadline_ms: 60, breaker: 0}]", &after);
    put(line, 1);
    run(line);
    assert_failed(line, 0, "rewarder.scorers[1]: kind 'asleep': no answer in 60 ms");
    assert_int_equal(seen.cancelled, 1);
}

static void groups_wait_without_a_deadline(void **state)
{
    (void)state;
    SCOPED(line)
    line = line_open("scorers: [{kind: pool, sleep_ms: 20, deadline_ms: 2000}]", &after);
    put(line, 150); // 3 s of work in one thread
    run(line);
    for (size_t i = 0; i < 150; i++)
        assert_string_equal(line->failure[i], "");
}

/* ---- begin and end */

static void a_row_that_is_none_leaves_at_once(void **state)
{
    (void)state;
    static const char *const bad[] = {"[1]", "{", "", "3"};
    SCOPED(line) line = line_open("scorers: [{kind: pool}]", &after);
    for (size_t i = 0; i < 4; i++) {
        struct group *group = group_of(i);
        mem_free(group->row);
        group->row = mem_string(bad[i]);
        line->wanted++;
        pipeline_put(line->pipeline, group, line);
        assert_failed(line, i, "row");
    }
    assert_int_equal(seen.calls, 0);
}

static void what_is_under_way_at_the_end_is_dropped(void **state)
{
    (void)state;
    struct line *line = line_open(
        "scorers: [{kind: pool, sleep_ms: 30}, {kind: asleep}, {kind: pool, fails: 9}]", &after);
    put(line, 1);
    pipeline_put(line->pipeline, group_of(5), line);
    seen.asleep = NULL; // the first one's never answers, not even in the end
    pipeline_free(STEAL(line->pipeline));
    assert_int_equal(line->dropped, 2);
    assert_int_equal(line->left, 0);
    line_free(line);
}

TESTS(cmocka_unit_test(stages_run_side_by_side_or_after_one_another),
      cmocka_unit_test(stages_of_a_class_that_runs_together_take_turns),
      cmocka_unit_test(many_groups_keep_their_own), cmocka_unit_test(what_may_pass_is_tried_again),
      cmocka_unit_test(what_always_fails_leaves_with_its_reason),
      cmocka_unit_test(attempts_end_with_the_deadline),
      cmocka_unit_test(a_stage_that_never_answers_loses_its_groups_alone),
      cmocka_unit_test(one_that_hangs_holds_one_thread),
      cmocka_unit_test(a_stage_of_the_loop_is_cancelled),
      cmocka_unit_test(groups_wait_without_a_deadline),
      cmocka_unit_test(a_row_that_is_none_leaves_at_once),
      cmocka_unit_test(what_is_under_way_at_the_end_is_dropped))
