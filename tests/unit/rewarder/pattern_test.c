/* Searches have one budget over all places where they may begin. What is given up follows from
 * pattern and text, whatever the threads and the clock do; a stop ends what has no end. */
#include "base/clock.h"
#include "base/env.h"
#include "base/mem.h"
#include "rewarder/pipeline.h"
#include "rewarder/scorers/pattern.h"
#include "svc/cell.h"
#include "svc/loop.h"
#include "svc/metrics.h"
#include "testing/testing.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Far longer than any search within its limits takes, on a loaded machine under a sanitizer. */
enum { SOON_S = 60 };

static const struct pattern_limits usual = {10000000, 64};

static err_t find(const char *pattern, const struct pattern_limits *limits, const char *text,
                  size_t len, bool *ret)
{
    struct pattern_match match;
    SCOPED(pattern) made = NULL;
    TRY(pattern_new(pattern, false, limits, &made));
    TRY(pattern_find(made, (struct text_slice){text, len}, NULL, &match));
    *ret = match.found;
    return OK;
}

static char *repeat(const char *unit, size_t len)
{
    char *text = mem_array(len + 1, 1);
    for (size_t i = 0; i < len; i++)
        text[i] = unit[i % strlen(unit)];
    return text;
}

/* The least match_limit under which the search comes to its end. */
static int64_t steps_of(const char *pattern, const char *text, size_t len)
{
    int64_t low = 0, high = usual.match_limit;
    while (low + 1 < high) {
        const int64_t middle = (low + high) / 2;
        bool found;
        err_t e = find(pattern, &(struct pattern_limits){middle, 64}, text, len, &found);
        *(err_failed(e) ? &low : &high) = middle;
        err_free(e);
    }
    return high;
}

static void take_overruns(void *arg, const char *name, double value)
{
    if (strcmp(name, "rlhfd_scorer_overruns_total") == 0)
        *(double *)arg = value;
}

/* ---- the budget */

/* PCRE2's own limit let each of the 8000 places have a million. */
static void one_budget_holds_over_all_places(void **)
{
    static const char *const endless[] = {"[a-z]*[a-z]*[0-9]", "^(([a-z]+)*)*[0-9]",
                                          "(?:[a-z]?){60}[0-9]", "(?<=(?=a))[a-z]*[a-z]*[0-9]"};
    SCOPED_MEM char *text = repeat("a", 8000);
    double before = 0, after = 0;
    metrics_each(take_overruns, &before);
    for (size_t i = 0; i < sizeof endless / sizeof *endless; i++) {
        bool found;
        const double begun = clock_s();
        assert_err(ERR_RANGE, "more than 10000000 steps (match_limit) on 8000 bytes of text",
                   find(endless[i], &usual, text, 8000, &found));
        assert_true(clock_s() - begun < SOON_S);
    }
    metrics_each(take_overruns, &after);
    assert_near(after - before, sizeof endless / sizeof *endless, 0);
}

/* From each place PCRE2 would seek the last letter up to the text's end, once per case and
 * uncounted: 13 s for a million letters. Without that every place is tried. */
static void letters_of_either_case_are_counted(void **)
{
    enum { LEN = 1 << 14 };
    SCOPED_MEM char *text = repeat("Z", LEN), *other = repeat("b", LEN);
    bool found = false;
    assert_true(steps_of("(?i)[a-z]z[0-9]", other, LEN) > LEN);
    assert_true(steps_of("a|(?xi-s:[a-z] z[0-9])", other, LEN) > LEN);
    assert_int_equal(steps_of("[a-z]z[0-9]", other, LEN), 1); // there is no z: none is tried
    text[LEN - 1] = '7';
    assert_ok(find("(?i)[a-z]z[0-9]", &usual, text, LEN, &found));
    assert_true(found);
}

/* By hand: each item that is tried, the end of the pattern, and a step per 16 bytes passed. */
static void a_step_is_an_item_or_sixteen_bytes(void **)
{
    SCOPED_MEM char *text = repeat("a", 1600);
    assert_int_equal(steps_of("a", "a", 1), 2);
    assert_int_equal(steps_of("ab", "ab", 2), 3);
    assert_int_equal(steps_of("^a*+$", text, 1600), 4 + 1600 / 16);
    assert_int_equal(steps_of("^a*+[0-9]", text, 1600), 3 + 1600 / 16);
    assert_true(steps_of("[a-z]*[0-9]", text, 1600) >= 1600 * (1600 / 2) / 16);
}

/* A counted item and a reference scan up to their end before they fail, a look behind goes back. */
static void what_fails_late_costs_what_it_scans(void **)
{
    enum { LEN = 4096, STEPS = LEN / 16 };
    SCOPED_MEM char *text = repeat("a", 3 * LEN);
    text[LEN] = 'b';           // ends the group
    text[2 * LEN - 100] = 'c'; // and here what repeats it differs
    const int64_t plain = steps_of("^(a*+)b[0-9]", text, 3 * LEN);
    assert_true(steps_of("^(a*+)b\\1", text, 3 * LEN) >= plain + STEPS);
    assert_true(steps_of("^(?<n>a*+)b\\k<n>", text, 3 * LEN) >= plain + STEPS);
    assert_true(steps_of("^(a*+)b[a-b]{4000}", text, 3 * LEN) >= plain + 4000 / 16);
    assert_true(steps_of("^(a*+)b(?<![0-9]{4000})[0-9]", text, 3 * LEN) >= plain + 4000 / 16);
}

/* A character's number and a brace among others are no count. */
static void braces_may_be_no_count(void **)
{
    enum { COUNT = 4000 };
    SCOPED_MEM char *quotes = repeat("\xe2\x80\x99", 3 * COUNT);
    assert_int_equal(steps_of("\\x{2019}", quotes, 3), 2);
    assert_int_equal(steps_of("[{4000}]", "{", 1), 2);
    assert_true(steps_of("\\x{2019}{4000}", quotes, 3 * COUNT) >= COUNT / 16);
    assert_true(steps_of("\\x{2019}{3,4000}?", quotes, 3 * COUNT) >= COUNT / 16);
}

static void usual_patterns_stay_far_below(void **)
{
    enum { LEN = 1 << 20 };
    SCOPED_MEM char *prose = repeat("the quick brown fox jumps over it. ", LEN);
    bool found = true;
    assert_ok(find("answer is ([0-9]+)", &usual, prose, LEN, &found));
    assert_false(found);
    assert_ok(find("\\b(\\w+) \\1\\b", &usual, prose, LEN, &found));
    assert_false(found);
    memcpy(prose, "<think>", 7);
    memcpy(prose + LEN / 2, "</think> <answer>", 17);
    memcpy(prose + LEN - 9, "</answer>", 9);
    assert_ok(find("(?s)^<think>.*</think>\\s*<answer>.*</answer>$", &usual, prose, LEN, &found));
    assert_true(found);
    prose[LEN - 30] = '4';
    assert_ok(find("[0-9]", &usual, prose, LEN, &found));
    assert_true(found);
}

static void memory_has_its_own_limit(void **)
{
    enum { LEN = 400000 };
    SCOPED_MEM char *text = repeat("ab", LEN);
    bool found = false;
    assert_err(ERR_RANGE, "more than 1 MiB (heap_limit_mib) on 400000 bytes",
               find("^(?:a|b)*$", &(struct pattern_limits){10000000, 1}, text, LEN, &found));
    assert_ok(find("^(?:a|b)*$", &(struct pattern_limits){10000000, 1024}, text, LEN, &found));
    assert_true(found);
}

/* A pattern may ask for less by itself, and one that calls itself at the same place has no end. */
static void what_pcre2_gives_up_is_no_score(void **)
{
    SCOPED_MEM char *text = repeat("a", 200);
    bool found;
    assert_err(ERR_RANGE, "steps (match_limit)",
               find("(*LIMIT_MATCH=10)^(a+)+b|c", &usual, text, 200, &found));
    assert_err(ERR_RANGE,
               "no end on 200 bytes of text: ", find("^(?:(?R)|b)*+a", &usual, text, 200, &found));
}

static void items_without_a_bound_are_refused(void **)
{
    bool found;
    assert_err(ERR_INVALID, "at byte 3: \\X and script runs are not allowed",
               find("a+(\\X)*", &usual, "a", 1, &found));
    assert_err(ERR_INVALID, "at byte 1: \\X and script runs",
               find("a(*script_run:\\w+)", &usual, "a", 1, &found));
    assert_err(ERR_INVALID, "at byte 0: \\X and script runs",
               find("(*asr:b)", &usual, "a", 1, &found));
    assert_ok(find("\\\\X|[\\\\X]", &usual, "\\X", 2, &found)); // a backslash, an X
    assert_true(found);
    assert_ok(find("\\Q\\X\\E", &usual, "\\X", 2, &found));
    assert_true(found);
}

/* ---- threads and clocks */

enum { GROUPS = 48, COMPLETIONS = 2 };

struct line {
    struct recipe *recipe;
    struct loop *loop;
    struct pipeline *pipeline;
    size_t left;
    char outcome[GROUPS][256];
};

static void on_left(void *arg, const struct group *group, void *tag)
{
    struct line *line = arg;
    char *to = line->outcome[group->slot];
    assert_null(tag);
    if (group->failure)
        snprintf(to, sizeof line->outcome[0], "%s", group->failure);
    else
        snprintf(to, sizeof line->outcome[0], "%g", group_value(group, COLUMN_REWARD, 1));
    if (++line->left == GROUPS)
        loop_stop(line->loop);
}

static void line_open(const char *rewarder, struct line *ret)
{
    SCOPED_MEM char *text = mem_printf("rewarder: {%s}\n", rewarder);
    assert_ok(recipe_parse(text, strlen(text), "ring.yaml", ".", NULL, &ret->recipe));
    assert_ok(loop_new(&ret->loop));
    struct pipeline_options options = {.loop = ret->loop, .left = on_left, .arg = ret};
    const struct stage_list_options list = {.recipe = ret->recipe, .loop = ret->loop};
    assert_ok(stage_list_open(&list, &options.list));
    assert_ok(pipeline_open(&options, &ret->pipeline));
}

static void line_done(struct line *line)
{
    pipeline_free(line->pipeline);
    loop_free(line->loop);
    recipe_free(line->recipe);
}

/* The second completion has 40 letters more in each later group, and a digit in every third. */
static void put(struct line *line, uint64_t slot)
{
    struct group *group = mem_new(sizeof *group);
    *group = (struct group){.slot = slot,
                            .row = mem_string("{}"),
                            .completions = COMPLETIONS,
                            .completion = mem_array(COMPLETIONS, sizeof(struct completion))};
    for (uint32_t i = 0; i < COMPLETIONS; i++) {
        const uint32_t len = i ? 40 * (uint32_t)slot + 1 : 1;
        group->completion[i] =
            (struct completion){.tokens = 1, .text = repeat("a", len), .text_len = len};
        if (slot % 3 == 0)
            group->completion[i].text[len - 1] = '7';
    }
    pipeline_put(line->pipeline, group, NULL);
}

static int64_t stopped_ns(void)
{
    return 5000000000;
}

/* A stopped clock: no deadline comes, so what ends a search is its count. */
static void threads_and_clocks_decide_nothing(void **)
{
    static struct line line[3];
    size_t given_up = 0;
    for (int i = 0; i < 3; i++) {
        const struct env *before = env();
        struct env own = *before;
        if (i == 2)
            own.monotonic_ns = stopped_ns;
        SCOPED_MEM char *text = mem_printf("threads: %d, scorers: [{kind: regex, match_limit: "
                                           "100000, pattern: '[a-z]*[a-z]*[0-9]'}]",
                                           i ? 8 : 1);
        line_open(text, &line[i]);
        env_replace(&own);
        for (uint64_t slot = 0; slot < GROUPS; slot++)
            put(&line[i], slot);
        assert_ok(loop_run(line[i].loop));
        env_replace(before);
        line_done(&line[i]);
    }
    for (size_t slot = 0; slot < GROUPS; slot++) {
        const char *outcome = line[0].outcome[slot];
        assert_string_equal(line[1].outcome[slot], outcome);
        assert_string_equal(line[2].outcome[slot], outcome);
        given_up += strstr(outcome, "rewarder.scorers[0]: kind 'regex': completion 1: the pattern "
                                    "takes more than 100000 steps (match_limit)") != NULL;
        if (slot % 3 == 0) // found at the first place
            assert_string_equal(outcome, "1");
        else if (slot < 4)
            assert_string_equal(outcome, "0");
    }
    assert_true(given_up > GROUPS / 2);
}

/* ---- a stop */

static void *stop_soon(void *cell)
{
    clock_sleep_ms(50);
    cell_set(cell, 1);
    return NULL;
}

static void a_stop_ends_a_search(void **)
{
    pthread_t thread;
    struct cell stop = {0};
    struct pattern_match match;
    double before = 0, after = 0;
    SCOPED(pattern) pattern = NULL;
    SCOPED_MEM char *text = repeat("a", 8000);
    assert_ok(pattern_new("[a-z]*[a-z]*[0-9]", false, &(struct pattern_limits){1000000000000, 64},
                          &pattern));
    metrics_each(take_overruns, &before);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stop), 0);
    const double begun = clock_s();
    assert_err(ERR_CANCELLED, "stopped",
               pattern_find(pattern, (struct text_slice){text, 8000}, &stop, &match));
    assert_true(clock_s() - begun < SOON_S);
    pthread_join(thread, NULL);
    metrics_each(take_overruns, &after);
    assert_near(after, before, 0); // its limit had nothing to do with it
}

/* A search that would take days: its group leaves at the deadline, and then its thread is free for
 * the next one. Freeing the pipeline stops another one under way. */
static void a_deadline_frees_the_thread(void **)
{
    static struct line line;
    line_open("threads: 1, scorers: [{kind: regex, deadline_ms: 100, match_limit: 1000000000000, "
              "pattern: '^(([a-z]+)*)*[0-9]'}]",
              &line);
    const double begun = clock_s();
    for (uint64_t slot = 0; slot < 2; slot++) {
        put(&line, 4 + slot); // 161, 201 letters
        line.left = GROUPS - 1;
        assert_ok(loop_run(line.loop));
        assert_non_null(strstr(line.outcome[4 + slot], "no answer in 100 ms (deadline_ms)"));
    }
    put(&line, 7);
    clock_sleep_ms(50);
    line_done(&line);
    assert_true(clock_s() - begun < SOON_S);
}

TESTS(cmocka_unit_test(one_budget_holds_over_all_places),
      cmocka_unit_test(letters_of_either_case_are_counted),
      cmocka_unit_test(a_step_is_an_item_or_sixteen_bytes),
      cmocka_unit_test(what_fails_late_costs_what_it_scans),
      cmocka_unit_test(braces_may_be_no_count), cmocka_unit_test(usual_patterns_stay_far_below),
      cmocka_unit_test(memory_has_its_own_limit), cmocka_unit_test(what_pcre2_gives_up_is_no_score),
      cmocka_unit_test(items_without_a_bound_are_refused),
      cmocka_unit_test(threads_and_clocks_decide_nothing), cmocka_unit_test(a_stop_ends_a_search),
      cmocka_unit_test(a_deadline_frees_the_thread))
