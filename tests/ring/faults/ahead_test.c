/* Deaths while slots are leased ahead, for the version that the round under way will make. At lag 0
 * the version decides every token: the end must have the bytes of a run that nothing happened to. A
 * round that is given up takes its leases back, and the run goes on. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <signal.h>
#include <string.h>

enum { GROUPS = 8, END_MS = 120000, AHEAD_MS = 60000, STARTS_MAX = 200 };

/* Rounds of 64 updates, some 0.1 s, and of 512. */
#define UPDATES(n) "objective: rloo, epochs: " #n ", updates_per_round: " #n
static const char slow[] = UPDATES(64), slower[] = UPDATES(512);

static struct ring slow_ring(int rounds, int lag, const char *learner)
{
    return ring_prepare(
        &(struct ring_options){.rounds = rounds, .groups = GROUPS, .lag = lag, .learner = learner});
}

static struct audit audit_of(const struct ring *ring)
{
    struct audit audit;
    SCOPED_MEM char *store = file_join(ring->run, "store");
    assert_ok(store_audit(store, NULL, &audit));
    assert_int_equal(audit.errors, 0);
    return audit;
}

/* Until more slots have been leased ahead than before: the learner has begun a round. */
static void wait_ahead(const struct daemons *d, double before)
{
    for (int64_t until = clock_ms() + AHEAD_MS;
         daemons_metric(d, LEARNER, "rlhfd_leases_ahead_total") <= before; clock_sleep_ms(2))
        assert_true(clock_ms() < until);
}

static struct bytes weights_of(const struct ring *ring)
{
    SCOPED_MEM char *path = mem_printf("%s/checkpoints/latest/model.safetensors", ring->run);
    struct bytes bytes = {0};
    assert_ok(file_read(path, 1 << 26, &bytes));
    return bytes;
}

/* Returns whether leases were out for a round that was under way: at lag 0 there are no others. */
static bool kill_learner(struct daemons *d)
{
    daemons_kill(d, LEARNER);
    const struct audit audit = audit_of(d->ring);
    daemons_start_one(d, LEARNER, "");
    daemons_announced(d, LEARNER);
    return audit.rounds > audit.rounds_done && audit.leased;
}

/* A kill may come between two rounds: others follow. */
static void at_lag_0_deaths_change_no_bit(void **)
{
    enum { ROUNDS = 24, KILLS_MAX = 10, OUT = 2 };
    struct ring undisturbed = slow_ring(ROUNDS, 0, slow), ring = slow_ring(ROUNDS, 0, slow);
    struct daemons d = daemons_start(&undisturbed, "");
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    d = daemons_start(&ring, "");
    for (int kills = 0, out = 0; out < OUT; kills++) {
        assert_true(kills < KILLS_MAX);
        wait_ahead(&d, 0);
        out += kill_learner(&d);
    }
    wait_ahead(&d, 0);
    daemons_kill(&d, GENERATOR); // a new process of its name gets its slots anew
    daemons_start_one(&d, GENERATOR, "");
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    SCOPED_VALUE(bytes) wanted = weights_of(&undisturbed);
    SCOPED_VALUE(bytes) found = weights_of(&ring);
    assert_int_equal(found.len, wanted.len);
    assert_memory_equal(found.data, wanted.data, wanted.len);
    const struct audit audit = audit_of(&ring);
    assert_true(audit.rounds_done == ROUNDS && audit.lag_max == 0 && audit.voided == 0);
    const struct ring_result result = ring_read(&ring);
    assert_true(result.logp_compared > 0);
    assert_int_equal((int)result.logp_differing, 0);
}

static void at_lag_1_deaths_keep_the_limit(void **)
{
    enum { ROUNDS = 14 };
    struct ring ring = slow_ring(ROUNDS, 1, slow);
    struct daemons d = daemons_start(&ring, "");
    for (int i = 0; i < 3; i++) {
        wait_ahead(&d, 0);
        (void)kill_learner(&d);
        wait_ahead(&d, 0);
        daemons_kill(&d, GENERATOR);
        daemons_start_one(&d, GENERATOR, "");
    }
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    const struct audit audit = audit_of(&ring);
    assert_true(audit.rounds_done == ROUNDS && audit.lag_max <= 1 && audit.voided == 0);
    assert_int_equal((int)ring_read(&ring).logp_differing, 0);
}

/* A learner that dies in every start gives the round up. Slots were leased for its version. */
static void a_round_given_up_takes_its_leases_back(void **)
{
    enum { ROUNDS = 4 };
    struct ring ring = slow_ring(ROUNDS, 0, slower);
    SCOPED_MEM char *log = mem_printf("%s/learner.log", ring.run);
    struct daemons d = daemons_start(&ring, "");
    wait_ahead(&d, 0);
    bool voided = false, out = false;
    for (int i = 0; i < STARTS_MAX && !voided; i++) {
        clock_sleep_ms(50 + 5 * i); // it has begun the round, or this start does not count
        out |= kill_learner(&d);
        SCOPED_MEM char *text = file_text(log);
        voided = strstr(text, "round voided") != NULL;
    }
    assert_true(voided && out);
    assert_int_equal(daemons_wait_learner(&d, END_MS), 0);
    SCOPED_MEM char *text = file_text(log);
    assert_non_null(strstr(text, "why=void"));
    const struct audit audit = audit_of(&ring);
    assert_true(audit.rounds_done == ROUNDS && audit.voided == 1 && audit.lag_max == 0);
    assert_int_equal(audit.groups[REASON_ERRORED], GROUPS);
}

TESTS(cmocka_unit_test(at_lag_0_deaths_change_no_bit),
      cmocka_unit_test(at_lag_1_deaths_keep_the_limit),
      cmocka_unit_test(a_round_given_up_takes_its_leases_back))
