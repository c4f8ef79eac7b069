/* Real rings with stages that are late, with texts that a scorer gives up, and with a rewarder that
 * is killed or ended. Groups leave with their reason or come again, and the run goes on. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 180000, KILLS = 4 };

/* Some 20 ms for a completion of eight letters. */
#define SLOW "(?:[a-z]?){18}[0-9]"

static double rejected(const struct daemons *d)
{
    return daemons_metric(d, LEARNER, "rlhfd_groups_appended_total{outcome=\"rejected\"}");
}

/* A group is late if one of its completions begins with z: that search takes years, within its
 * limit. The others are not, on a machine that is slow or busy either. */
static void what_is_late_leaves_and_the_ring_goes_on(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 6,
        .groups = 8,
        .lag = 1,
        .scorers =
            "[{kind: length, max: 6}, {kind: regex, deadline_ms: 200, match_limit: 1000000000000, "
            "pattern: '^z(?:[^0-9]?){200}[0-9]'}]"});
    struct daemons d = daemons_start(&ring, "");
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    assert_int_equal(ring_read(&ring).rounds, 6);
    ring_audit(&ring);
    SCOPED_MEM char *path = mem_printf("%s/learner.log", ring.run);
    SCOPED_MEM char *log = file_text(path);
    const char *said = strstr(log, "\"group rejected\"");
    assert_non_null(said);
    assert_non_null(
        strstr(said, "rewarder.scorers[1]: kind 'regex': no answer in 200 ms (deadline_ms)"));
}

/* Rows that ask for 160 tokens get texts on which the search is given up. They neither earn nor pay
 * for that: their groups leave, and the others are trained. */
static void a_text_that_takes_too_long_costs_its_group(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 8,
        .groups = 8,
        .lag = 1,
        .slow_permille = 100,
        .scorers = "[{kind: length, max: 6}, {kind: regex, weight: -1, match_limit: 10000, "
                   "pattern: '[^0-9]*[^0-9]*[0-9]'}]"});
    struct daemons d = daemons_start(&ring, "");
    ring_wait_rounds(&ring, 6, RUN_MS);
    assert_true(daemons_metric(&d, REWARDER, "rlhfd_scorer_overruns_total") > 0);
    assert_true(rejected(&d) > 0);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    assert_int_equal(ring_read(&ring).rounds, 8);
    ring_audit(&ring);
    SCOPED_MEM char *path = mem_printf("%s/learner.log", ring.run);
    SCOPED_MEM char *log = file_text(path);
    const char *said = strstr(log, "\"group rejected\"");
    assert_non_null(said);
    assert_non_null(strstr(said, "rewarder.scorers[1]: kind 'regex': completion 0: the pattern "
                                 "takes more than 10000 steps (match_limit) on 1"));
}

/* Every thread is in a search that takes years, within its limits. */
static void a_rewarder_ends_in_the_middle_of_a_search(void **state)
{
    enum { PROMISED_MS = 5000 };
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 6,
        .groups = 8,
        .lag = 1,
        .slow_permille = 1000,
        .rewarder = "threads: 2, ",
        .scorers =
            "[{kind: regex, match_limit: 1000000000000, pattern: '(?:[^0-9]?){160}[0-9]'}]"});
    struct daemons d = daemons_start(&ring, "");
    for (int64_t until = clock_ms() + RUN_MS;
         daemons_metric(&d, GENERATOR, "rlhfd_groups_unsettled") < 2; clock_sleep_ms(20))
        assert_true(clock_ms() < until);
    clock_sleep_ms(200); // they are on loopback: both threads have one by now
    const int64_t begun = clock_ms();
    process_kill(&d.process[REWARDER], SIGTERM);
    assert_int_equal(process_wait(&d.process[REWARDER], RUN_MS), 0);
    print_message("the rewarder ended after %d ms\n", (int)(clock_ms() - begun));
    assert_true(clock_ms() - begun < PROMISED_MS);
    assert_int_equal((int)rejected(&d), 0);
}

/* SIGKILL with groups at the stages: their generator sends them again, and none is lost or
 * rejected. */
static void a_killed_rewarder_costs_no_group(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 20,
        .groups = 8,
        .lag = 1,
        .rewarder = "threads: 2, reference: frozen, ",
        .scorers = "[{kind: length, max: 6}, {kind: regex, pattern: '" SLOW "'}]"});
    struct daemons d = daemons_start(&ring, "");
    for (int i = 0; i < KILLS; i++) {
        ring_wait_rounds(&ring, ring_read(&ring).rounds + 2, RUN_MS);
        daemons_kill(&d, REWARDER);
        daemons_start_one(&d, REWARDER, "");
        daemons_announced(&d, REWARDER);
    }
    assert_int_equal((int)rejected(&d), 0);
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    assert_int_equal(ring_read(&ring).rounds, 20);
    ring_audit(&ring);
}

TESTS(cmocka_unit_test(a_text_that_takes_too_long_costs_its_group),
      cmocka_unit_test(a_rewarder_ends_in_the_middle_of_a_search),
      cmocka_unit_test(what_is_late_leaves_and_the_ring_goes_on),
      cmocka_unit_test(a_killed_rewarder_costs_no_group))
