/* What the ring keeps in memory and sends: weights that a generator has loaded itself do not come
 * again. */
#include "base/clock.h"
#include "base/mem.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdlib.h>

enum { RUN_MS = 120000 };

static void wait_for(const struct daemons *ring, const char *name, double least)
{
    for (int64_t until = clock_ms() + RUN_MS; daemons_metric(ring, LEARNER, name) < least;) {
        daemons_assert_running(ring, LEARNER);
        if (clock_ms() > until)
            fail_msg("%s stays below %g", name, least);
        clock_sleep_ms(20);
    }
}

static void a_generator_starts_without_a_transfer(void **state)
{
    (void)state;
    struct ring prepared = ring_prepare(&(struct ring_options){
        .rounds = 1000000, .groups = 8, .lag = 1, .extra = "eval: {every: 1000000, prompts: 4}"});
    /* So small a step that changes are few, and never sent as all values. */
    struct daemons ring = daemons_start(&prepared, "learner.optimizer.lr=1e-6");
    wait_for(&ring, "rlhfd_round", 4);
    assert_true(daemons_metric(&ring, LEARNER, "rlhfd_weights_sent_total{kind=\"same\"}") >= 1);
    assert_true(daemons_metric(&ring, LEARNER, "rlhfd_weights_sent_total{kind=\"full\"}") == 0);
    assert_true(daemons_metric(&ring, LEARNER, "rlhfd_weights_sent_total{kind=\"changes\"}") >= 1);
    assert_true(daemons_metric(&ring, LEARNER, "rlhfd_logp_differing_total") == 0);
    /* One that comes later has loaded what is no version any more: all values come. */
    daemons_kill(&ring, GENERATOR);
    daemons_start_one(&ring, GENERATOR, "");
    wait_for(&ring, "rlhfd_weights_sent_total{kind=\"full\"}", 1);
    const double now = daemons_metric(&ring, LEARNER, "rlhfd_round");
    wait_for(&ring, "rlhfd_round", now + 2);
    assert_true(daemons_metric(&ring, LEARNER, "rlhfd_logp_differing_total") == 0);
    for (int kind = 0; kind < DAEMON_KINDS; kind++)
        daemons_kill(&ring, (enum daemon_kind)kind);
}

TESTS(cmocka_unit_test(a_generator_starts_without_a_transfer))
