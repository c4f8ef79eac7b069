/* /livez of a learner whose disk hangs: the storage thread makes no step, and the probe says so; it
 * takes it back when the disk goes on. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 60000 };

static void wait_alive(const struct daemons *d, const char *status, const char *reason)
{
    for (int64_t until = clock_ms() + WAIT_MS;; clock_sleep_ms(50)) {
        SCOPED_MEM char *probe = daemons_get(d->probes[LEARNER], "/livez");
        SCOPED_MEM char *page = daemons_get(d->metrics[LEARNER], "/livez");
        if (strstr(probe, status) && strstr(page, status) && strstr(page, reason))
            return;
        if (clock_ms() > until)
            fail_msg("/livez is not%swith '%s':\n%s%s", status, reason, probe, page);
    }
}

static void a_disk_that_hangs(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 100000, .groups = 8, .lag = 1});
    SCOPED_MEM char *plan = file_join(ring.directory, "plan");
    static const char hangs[] = "sync 1 9999 lasting run/store", goes_on[] = "sync 0 5 once /";
    setenv("FAULT_PLAN", plan, 1);
    setenv("LD_PRELOAD", FAILING_CALLS_LIBRARY, 1);
    struct daemons d = daemons_start(&ring, "metrics.stuck_s=5");
    unsetenv("LD_PRELOAD");
    ring_wait_rounds(&ring, 2, WAIT_MS);
    wait_alive(&d, " 200 ", "ok\n");

    assert_ok(file_write(plan, hangs, strlen(hangs)));
    wait_alive(&d, " 503 ", "the thread 'storage' has made no step for ");
    SCOPED_MEM char *other = daemons_get(d.probes[GENERATOR], "/livez");
    assert_non_null(strstr(other, " 200 ")); // a generator that waits
    daemons_assert_running(&d, LEARNER);

    assert_ok(file_write(plan, goes_on, strlen(goes_on)));
    wait_alive(&d, " 200 ", "ok\n");
    SCOPED_MEM char *path = file_join(ring.run, "learner.log");
    SCOPED_MEM char *log = file_text(path);
    assert_non_null(strstr(log, "\"stuck\" thread=storage silent_s="));
    for (int kind = GENERATOR; kind >= LEARNER; kind--) {
        process_kill(&d.process[kind], SIGTERM);
        assert_int_equal(process_wait(&d.process[kind], WAIT_MS), 0);
    }
    ring_audit(&ring);
}

/* A checkpoint that does not come into its place: the thread that computes is the one. */
static void a_rename_that_hangs(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 100000, .groups = 8, .lag = 1});
    SCOPED_MEM char *plan = file_join(ring.directory, "plan");
    static const char hangs[] = "rename 1 9999 lasting checkpoints/writing";
    setenv("FAULT_PLAN", plan, 1);
    setenv("LD_PRELOAD", FAILING_CALLS_LIBRARY, 1);
    struct daemons d = daemons_start(&ring, "metrics.stuck_s=2 checkpoint.every=1");
    unsetenv("LD_PRELOAD");
    ring_wait_rounds(&ring, 2, WAIT_MS);
    assert_ok(file_write(plan, hangs, strlen(hangs)));
    wait_alive(&d, " 503 ", "the thread 'compute' has made no step for ");
    for (int kind = GENERATOR; kind >= LEARNER; kind--)
        daemons_kill(&d, (enum daemon_kind)kind); // as who asks would
    daemons_start_one(&d, LEARNER, "run.rounds=3");
    assert_int_equal(process_wait(&d.process[LEARNER], WAIT_MS), 0);
    ring_audit(&ring);
}

/* Threads that only wait are alive, however long nothing comes. */
static void a_daemon_without_peers_is_alive(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 100000, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "metrics.stuck_s=4"); // more than a busy machine takes
    ring_wait_rounds(&ring, 2, WAIT_MS);
    daemons_kill(&d, REWARDER);
    daemons_wait_ready(&d, LEARNER, 200, "no rewarder is connected");
    for (int64_t until = clock_ms() + 10000; clock_ms() < until; clock_sleep_ms(100))
        for (int kind = LEARNER; kind < DAEMON_KINDS; kind++) {
            if (kind == REWARDER)
                continue;
            SCOPED_MEM char *answer = daemons_get(d.probes[kind], "/livez");
            assert_non_null(strstr(answer, " 200 "));
        }
    daemons_kill(&d, GENERATOR);
    daemons_kill(&d, LEARNER);
}

TESTS(cmocka_unit_test(a_disk_that_hangs), cmocka_unit_test(a_rename_that_hangs),
      cmocka_unit_test(a_daemon_without_peers_is_alive))
