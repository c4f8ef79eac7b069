/* Stages that fail, hang and wait for one another, in the pipeline's real threads and loop: what
 * becomes of the groups. */
#include "base/clock.h"
#include "base/mem.h"
#include "rewarder/pipeline.h"
#include "svc/loop.h"
#include "testing/testing.h"
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { COMPLETIONS = 3, MOST = 600 };

/* The doings of a test's stages. */
static struct {
    _Atomic int running, most_running, calls, held, cancelled;
    _Atomic bool release; // stages that hang go on
    _Atomic bool down;    // every call fails in a way that may pass
    struct stage_call *asleep;
} seen;

struct stage_keys {
    int mode;
    double score;
    int64_t fails, sleep_ms, poison;
};
static const struct recipe_option test_rows[] = {
    STAGE_KEY(struct stage_keys, choice, mode, "score", "", .words = "score|hang|refuse"),
    STAGE_KEY(struct stage_keys, number, score, "1.0", "", .max = 1e6),
    STAGE_KEY(struct stage_keys, count, fails, "0", "calls of its first", .max = 1e6),
    STAGE_KEY(struct stage_keys, count, sleep_ms, "0", "", .max = 1e6),
    STAGE_KEY(struct stage_keys, count, poison, "1000000", "slot that always fails", .max = 1e6),
};
enum mode { SCORES, HANGS, REFUSES };

static void enter(void)
{
    const int now = ++seen.running;
    for (int most = seen.most_running;
         now > most && !atomic_compare_exchange_weak(&seen.most_running, &most, now);)
        ;
    seen.calls++;
}

static err_t work(const struct stage_keys *k, struct stage_call *call)
{
    if (k->mode == HANGS) {
        seen.held++;
        while (!seen.release)
            clock_sleep_ms(1);
    }
    if (k->sleep_ms)
        clock_sleep_ms(k->sleep_ms);
    if (k->mode == REFUSES)
        return err_new(ERR_INVALID, "it is not to be");
    if (seen.down)
        return err_new(ERR_UNAVAILABLE, "connection refused");
    if (call->group->slot == (uint64_t)k->poison)
        return err_new(ERR_UNAVAILABLE, "status 500");
    if (seen.calls <= k->fails)
        return err_new(ERR_UNAVAILABLE, "failure %d", seen.calls);
    double *to = group_add(call->added, COLUMN_SCORES, 1);
    for (uint32_t i = 0; i < call->group->completions; i++)
        to[i] = k->score * (i + 1);
    return OK;
}

static void pool_start(void *state, struct stage_call *call)
{
    enter();
    err_t failed = work(state, call);
    seen.running--;
    call->done(call, failed);
}

/* Needs the reward and adds it as a column of tokens. */
static void reader_start(void *state, struct stage_call *call)
{
    const struct stage_keys *k = state;
    enter();
    if (k->sleep_ms)
        clock_sleep_ms(k->sleep_ms);
    float *to = group_add(call->added, COLUMN_REFERENCE_LOGP, 1);
    for (uint32_t i = 0; i < call->group->completions; i++)
        to[i] = group_values(call->group, COLUMN_REWARD, i)
                    ? -(float)group_value(call->group, COLUMN_REWARD, i)
                    : -1000;
    seen.running--;
    call->done(call, OK);
}

/* On the loop: answers never, but to cancel. */
static void asleep_start(void *state, struct stage_call *call)
{
    (void)state;
    seen.asleep = call;
}

static void asleep_cancel(void *state, struct stage_call *call)
{
    (void)state;
    seen.cancelled++;
    if (call != seen.asleep)
        return;
    seen.asleep = NULL;
    call->done(call, err_new(ERR_CANCELLED, "nobody waits"));
}

static uint64_t needs_reward(const struct recipe *recipe)
{
    (void)recipe;
    return COLUMN_BIT(COLUMN_REWARD);
}

static const struct stage_class pool = {.name = "pool",
                                        .under = "rewarder.scorers",
                                        STAGE_KEYS(struct stage_keys, test_rows),
                                        .thread = STAGE_IN_POOL,
                                        .outside = true,
                                        .fills = STAGE_SCORES,
                                        .start = pool_start};
static const struct stage_class asleep = {.name = "asleep",
                                          .under = "rewarder.scorers",
                                          STAGE_KEYS(struct stage_keys, test_rows),
                                          .thread = STAGE_ON_LOOP,
                                          .outside = true,
                                          .fills = STAGE_SCORES,
                                          .start = asleep_start,
                                          .cancel = asleep_cancel};
static const struct stage_class beside = {.name = "frozen",
                                          .under = "rewarder.reference",
                                          STAGE_KEYS(struct stage_keys, test_rows),
                                          .thread = STAGE_ALONE,
                                          .outside = true,
                                          .fills = COLUMN_BIT(COLUMN_REFERENCE_LOGP),
                                          .start = reader_start};
static const struct stage_class after = {.name = "frozen",
                                         .under = "rewarder.reference",
                                         STAGE_KEYS(struct stage_keys, test_rows),
                                         .thread = STAGE_ALONE,
                                         .outside = true,
                                         .fills = COLUMN_BIT(COLUMN_REFERENCE_LOGP),
                                         .needs = needs_reward,
                                         .start = reader_start};

/* ---- a pipeline of these */

struct line {
    struct recipe *recipe;
    struct loop *loop;
    struct pipeline *pipeline;
    size_t wanted, left, dropped, unscored, holds;
    char held[400];          // as told last; "": by no stage
    char failure[MOST][200]; // by slot; "": it has left with its columns
    double reward[MOST], reference[MOST];
};

static void on_left(void *arg, const struct group *group, void *tag)
{
    struct line *line = arg;
    assert_ptr_equal(tag, line);
    snprintf(line->failure[group->slot], sizeof *line->failure, "%s",
             group->failure ? group->failure : "");
    assert_true(!group->failure || group->columns.count == 1);
    line->unscored += group->unscored;
    assert_true(!group->unscored || group->failure);
    assert_true(group->failure || group_values(group, COLUMN_BEHAVIOUR_LOGP, 0));
    line->reward[group->slot] = group_value(group, COLUMN_REWARD, 1);
    const float *reference = group_values(group, COLUMN_REFERENCE_LOGP, 1);
    line->reference[group->slot] = reference ? (double)*reference : 1;
    if (++line->left == line->wanted)
        loop_stop(line->loop);
}

static void on_held(void *arg, const char *why)
{
    struct line *line = arg;
    line->holds += !*line->held && why;
    snprintf(line->held, sizeof line->held, "%s", why ? why : "");
}

static void on_dropped(void *tag)
{
    struct line *line = tag;
    line->dropped++;
}

static void line_done(struct line *line)
{
    seen.release = true;
    pipeline_free(line->pipeline);
    loop_free(line->loop);
    recipe_free(line->recipe);
}

static struct line *line_open(const char *rewarder, const struct stage_class *reference)
{
    const struct stage_class *const classes[] = {&pool, &asleep, reference, NULL};
    struct line *line = mem_new(sizeof *line);
    SCOPED_MEM char *text = mem_printf("rewarder: {%s}\n", rewarder);
    memset(&seen, 0, sizeof seen);
    assert_ok(recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, &line->recipe));
    assert_ok(loop_new(&line->loop));
    struct pipeline_options options = {
        .loop = line->loop, .left = on_left, .dropped = on_dropped, .held = on_held, .arg = line};
    const struct stage_list_options list = {
        .recipe = line->recipe, .loop = line->loop, .classes = classes};
    assert_ok(stage_list_open(&list, &options.list));
    assert_ok(pipeline_open(&options, &line->pipeline));
    return line;
}

static void line_free(struct line *line)
{
    line_done(line);
    mem_free(line);
}
DEFINE_SCOPED(line)

static struct group *group_of(uint64_t slot)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.slot = slot,
                            .row = mem_string("{\"prompt\": \"a\"}"),
                            .completions = COMPLETIONS,
                            .completion = mem_array(COMPLETIONS, sizeof(struct completion))};
    for (uint32_t i = 0; i < COMPLETIONS; i++)
        group->completion[i] = (struct completion){.tokens = 1, .text = mem_string("x")};
    group_add(group, COLUMN_BEHAVIOUR_LOGP, 1);
    return group;
}

static void put(struct line *line, size_t count)
{
    const size_t first = line->wanted;
    line->wanted += count;
    for (size_t slot = first; slot < first + count; slot++)
        pipeline_put(line->pipeline, group_of(slot), line);
}

/* Until every group has left; returns seconds. */
static double run(struct line *line)
{
    const double begun = clock_s();
    if (line->left < line->wanted)
        assert_ok(loop_run(line->loop));
    assert_int_equal(line->left, line->wanted);
    assert_int_equal(pipeline_count(line->pipeline), 0);
    return clock_s() - begun;
}

static void assert_failed(const struct line *line, size_t slot, const char *part)
{
    if (!strstr(line->failure[slot], part))
        fail_msg("slot %zu: '%s', wanted '%s'", slot, line->failure[slot], part);
}

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

/* ---- a stage that does not answer at all */

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
    assert_in_range(seen.calls, calls, calls + 1); // what comes meanwhile waits, too
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

TESTS(cmocka_unit_test(stages_run_side_by_side_or_after_one_another),
      cmocka_unit_test(many_groups_keep_their_own), cmocka_unit_test(what_may_pass_is_tried_again),
      cmocka_unit_test(what_always_fails_leaves_with_its_reason),
      cmocka_unit_test(attempts_end_with_the_deadline),
      cmocka_unit_test(a_stage_that_never_answers_loses_its_groups_alone),
      cmocka_unit_test(one_that_hangs_holds_one_thread),
      cmocka_unit_test(a_stage_of_the_loop_is_cancelled),
      cmocka_unit_test(groups_wait_without_a_deadline),
      cmocka_unit_test(a_row_that_is_none_leaves_at_once),
      cmocka_unit_test(groups_wait_for_a_stage_that_is_down),
      cmocka_unit_test(one_group_alone_waits),
      cmocka_unit_test(a_group_that_fails_among_others_leaves),
      cmocka_unit_test(a_group_that_fails_alone_leaves),
      cmocka_unit_test(a_stage_that_hangs_is_waited_for), cmocka_unit_test(a_refusal_opens_nothing),
      cmocka_unit_test(what_is_under_way_at_the_end_is_dropped),
      cmocka_unit_test(groups_that_wait_at_the_end_are_dropped))
