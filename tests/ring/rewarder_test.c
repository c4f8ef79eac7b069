/* Real rings with stages that are late, and with a rewarder that is killed. Groups leave with their
 * reason or come again, and the run goes on. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 180000, KILLS = 4 };

/* Backtracks until its work is over: 10 to 20 ms a completion. */
#define SLOW "(?:[a-z]?){60}[0-9]"

static double rejected(const struct daemons *d)
{
    return daemons_metric(d, LEARNER, "rlhfd_groups_appended_total{outcome=\"rejected\"}");
}

/* A group is late if several of its completions have an early x, y or z. */
static void what_is_late_leaves_and_the_ring_goes_on(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 6,
        .groups = 8,
        .lag = 1,
        .scorers =
            "[{kind: length, max: 6}, {kind: regex, deadline_ms: 5, pattern: '[x-z]" SLOW "'}]"});
    struct daemons d = daemons_start(&ring, "");
    assert_int_equal(daemons_wait_learner(&d, RUN_MS), 0);
    assert_int_equal(ring_read(&ring).rounds, 6);
    ring_audit(&ring);
    SCOPED_MEM char *path = mem_printf("%s/learner.log", ring.run);
    SCOPED_MEM char *log = file_text(path);
    const char *said = strstr(log, "\"group rejected\"");
    assert_non_null(said);
    assert_non_null(
        strstr(said, "rewarder.scorers[1]: kind 'regex': no answer in 5 ms (deadline_ms)"));
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

TESTS(cmocka_unit_test(what_is_late_leaves_and_the_ring_goes_on),
      cmocka_unit_test(a_killed_rewarder_costs_no_group))
