/* A pipeline with stages of a test's own, in its real threads and loop.
 *
 *     SCOPED(line) line = line_open("scorers: [{kind: pool, fails: 2}]", &after);
 *     put(line, 1);
 *     run(line);                                     -- until every group has left
 *     assert_string_equal(line->failure[0], "");
 */
#pragma once
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
static const struct stage_class shared = {.name = "shared",
                                          .under = "rewarder.scorers",
                                          STAGE_KEYS(struct stage_keys, test_rows),
                                          .thread = STAGE_TOGETHER,
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
    const struct stage_class *const classes[] = {&pool, &shared, &asleep, reference, NULL};
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

static inline void put(struct line *line, size_t count)
{
    const size_t first = line->wanted;
    line->wanted += count;
    for (size_t slot = first; slot < first + count; slot++)
        pipeline_put(line->pipeline, group_of(slot), line);
}

/* Until every group has left; returns seconds. */
static inline double run(struct line *line)
{
    const double begun = clock_s();
    if (line->left < line->wanted)
        assert_ok(loop_run(line->loop));
    assert_int_equal(line->left, line->wanted);
    assert_int_equal(pipeline_count(line->pipeline), 0);
    return clock_s() - begun;
}

static inline void assert_failed(const struct line *line, size_t slot, const char *part)
{
    if (!strstr(line->failure[slot], part))
        fail_msg("slot %zu: '%s', wanted '%s'", slot, line->failure[slot], part);
}
