/* Clocks that jump under real daemons. The wall clock goes a day ahead and two days back; a learner
 * that is stopped for longer than its leases last sees its own clock jump. At lag 0 the weights are
 * those of a run without. */
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "learner/store/counts.h"
#include "learner/store/history.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include "testing/weights.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 48, TRAIN_MS = 120000, LEASE_MS = 1000, DAY_MS = 86400000 };

static struct ring prepare(void)
{
    return ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8});
}

/* Owned. */
static json_t *weights_after(struct daemons *d)
{
    SCOPED_MEM char *latest = file_join(d->ring->run, "checkpoints/latest");
    assert_int_equal(daemons_wait_learner(d, TRAIN_MS), 0);
    assert_int_equal(ring_read(d->ring).rounds, ROUNDS);
    ring_audit(d->ring);
    return weights_of_directory(latest);
}

static json_t *expected(void)
{
    static json_t *weights;
    if (!weights) {
        struct ring ring = prepare();
        struct daemons d = daemons_start(&ring, "");
        weights = weights_after(&d);
    }
    return weights;
}

static uint64_t leases_expired(const struct ring *ring)
{
    struct store_counts counts;
    SCOPED(store) store = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "store");
    assert_ok(store_read(path, &store));
    store_counts(store, &counts);
    print_message("%d leases expired\n", (int)counts.expired);
    return counts.expired;
}

static void jump(const char *path, int64_t ms)
{
    SCOPED_MEM char *text = mem_printf("%" PRId64, ms);
    assert_ok(file_write(path, text, strlen(text)));
}

/* The last line of the learner's log is of an earlier day. */
static void assert_day_before(const struct ring *ring)
{
    SCOPED_MEM char *path = file_join(ring->run, "learner.log");
    SCOPED_MEM char *text = file_text(path);
    const time_t now = (time_t)(clock_wall_ms() / 1000);
    char today[16];
    const char *last = NULL;
    for (const char *at = text; (at = strstr(at, " info learner ")); at++)
        last = at;
    assert_non_null(last);
    while (last > text && last[-1] != '\n')
        last--;
    strftime(today, sizeof today, "%Y-%m-%d", gmtime(&now));
    assert_true(strncmp(last, today, 10) < 0);
}

static void the_wall_clock_jumps_both_ways(void **)
{
    struct ring ring = prepare();
    SCOPED_MEM char *clock = file_join(ring.directory, "clock");
    setenv("FAULT_CLOCK", clock, 1);
    setenv("LD_PRELOAD", FAILING_CALLS_LIBRARY, 1);
    struct daemons d = daemons_start(&ring, "");
    unsetenv("LD_PRELOAD");
    ring_wait_rounds(&ring, 3, TRAIN_MS);
    jump(clock, DAY_MS);
    ring_wait_rounds(&ring, 7, TRAIN_MS);
    jump(clock, -DAY_MS);
    json_t *weights = weights_after(&d);
    assert_day_before(&ring);
    assert_true(json_equal(weights, expected()));
    json_decref(weights);
}

static double leases(const struct daemons *d, const char *metric)
{
    return daemons_metric(d, LEARNER, metric);
}

static void wait_above(const struct daemons *d, const char *metric, double least)
{
    for (const int64_t until = clock_ms() + TRAIN_MS; leases(d, metric) <= least;
         clock_sleep_ms(10))
        if (clock_ms() > until)
            fail_msg("%s is not above %g", metric, least);
}

/* All its deadlines pass at once. */
static void stand_still(const struct daemons *d)
{
    process_kill(&d->process[LEARNER], SIGSTOP);
    clock_sleep_ms(3 * LEASE_MS);
    process_kill(&d->process[LEARNER], SIGCONT);
}

/* A rewarder that stands still, too, keeps the groups: leases are out, and stay so. */
static void stand_still_with_leases_out(const struct daemons *d)
{
    static const char out[] = "rlhfd_slots{state=\"leased\"}",
                      expired[] = "rlhfd_leases_revoked_total{reason=\"expired\"}";
    process_kill(&d->process[REWARDER], SIGSTOP);
    wait_above(d, out, 0);
    const double before = leases(d, expired);
    stand_still(d);
    wait_above(d, expired, before);
    process_kill(&d->process[REWARDER], SIGCONT);
}

/* Groups that come back under leases that have ended are of an old attempt. The second time they
 * may lie in the learner's sockets when it goes on. */
static void a_learner_stands_still(void **)
{
    struct ring ring = prepare();
    struct daemons d = daemons_start(&ring, "learner.lease_ms=1000");
    ring_wait_rounds(&ring, 3, TRAIN_MS);
    stand_still_with_leases_out(&d);
    stand_still(&d);
    json_t *weights = weights_after(&d);
    assert_true(leases_expired(&ring) > 0);
    assert_true(json_equal(weights, expected()));
    json_decref(weights);
}

TESTS(cmocka_unit_test(the_wall_clock_jumps_both_ways), cmocka_unit_test(a_learner_stands_still))
