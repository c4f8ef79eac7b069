/* The three daemons as real processes over loopback: the run completes, the lag holds, what is
 * killed comes back. */
#include "testing/daemons.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>

enum { RUN_MS = 120000 };

/* Waits for the end of `rlhfctl up`; fails the test with its output. */
static void wait_up(const struct ring *ring, struct process *up)
{
    int status = process_wait(up, RUN_MS);
    if (status) {
        char *log = file_text(ring->log);
        print_error("rlhfctl up: exit status %d\n%s\n", status, log);
        free(log);
        process_kill(up, SIGKILL);
    }
    assert_int_equal(status, 0);
}

/* `rlhfctl up` from start to end. */
static struct ring_result run_ring(const struct ring *ring)
{
    struct process up =
        process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, NULL);
    wait_up(ring, &up);
    ring_audit(ring);
    return ring_read(ring);
}

static void print_result(const char *name, const struct ring_result *r)
{
    print_message("%s: rounds %d, largest lag by rounds", name, r->rounds);
    for (int i = 0; i < 8; i++)
        print_message(" %d:%d", i, r->lag_histogram[i]);
    print_message(", stale %.0f, idle: learner %.0f %%, generator %.0f %%\n", r->stale,
                  100 * r->learner_idle_s / (r->learner_idle_s + r->learner_busy_s),
                  100 * r->generator_idle_s / (r->generator_idle_s + r->generator_busy_s));
}

static void at_lag_0_every_token_has_the_bits_of_our_forward(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 8, .groups = 16, .lag = 0});
    struct ring_result r = run_ring(&ring);
    assert_int_equal(r.rounds, 8);
    assert_int_equal((int)r.lag_max, 0);
    assert_true(r.logp_compared > 8 * 16 * 4);
    assert_int_equal((int)r.logp_differing, 0);
}

/* All that bends the distribution, stop texts, keys and values in 16 bits, and memory for a few
 * sequences only: what ratios use is still the learner's own forward. */
static void sampling_settings_and_small_memory_change_no_bit(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 6, .groups = 16, .lag = 0});
    struct process up = process_start(
        ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set", "model.kv=fp32",
        "--set", "generator.kv_bytes=200000", "--set", "generator.temperature=0.9", "--set",
        "generator.top_k=12", "--set", "generator.top_p=0.95", "--set", "generator.min_p=0.01",
        "--set", "generator.repetition_penalty=1.2", "--set", "generator.stop=[e, ab]", NULL);
    wait_up(&ring, &up);
    ring_audit(&ring);
    struct ring_result r = ring_read(&ring);
    assert_int_equal(r.rounds, 6);
    assert_true(r.logp_compared > 6 * 16 * 4);
    assert_int_equal((int)r.logp_differing, 0);
}

static void lag_stays_within_its_limit(void **state)
{
    (void)state;
    static const int limits[] = {0, 1, 4};
    static const char *const stragglers[] = {"wait", "drop"};
    for (int l = 0; l < 3; l++)
        for (int s = 0; s < 2; s++) {
            struct ring ring = ring_prepare(&(struct ring_options){.rounds = 16,
                                                                   .groups = 8,
                                                                   .lag = limits[l],
                                                                   .straggler = stragglers[s],
                                                                   .slow_permille = 20});
            struct ring_result r = run_ring(&ring);
            char name[32];
            snprintf(name, sizeof name, "lag %d %s", limits[l], stragglers[s]);
            print_result(name, &r);
            assert_int_equal(r.rounds, 16);
            assert_true(r.lag_max <= limits[l]);
        }
}

static void a_finite_prompt_set_ends(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 0, .groups = 8, .lag = 2, .prompts = 45, .epochs = 2, .slow_permille = 50});
    struct ring_result r = run_ring(&ring);
    assert_int_equal(r.rounds, 12); // 90 groups: eleven rounds of 8, then one of 2
}

static void killed_generator_and_rewarder_come_back(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 60, .groups = 8, .lag = 1});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 3, RUN_MS);
    kill(ring_pid(&ring, "generator"), SIGKILL);
    ring_wait_rounds(&ring, 10, RUN_MS);
    kill(ring_pid(&ring, "rewarder"), SIGKILL);
    ring_wait_rounds(&ring, 18, RUN_MS);
    kill(ring_pid(&ring, "rewarder"), SIGKILL);
    kill(ring_pid(&ring, "generator"), SIGKILL);
    wait_up(&ring, &up);
    struct ring_result r = ring_read(&ring);
    assert_int_equal(r.rounds, 60);
    assert_true(r.lag_max <= 1);
    ring_audit(&ring);
}

static void a_killed_learner_continues(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 30, .groups = 8, .lag = 1});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 6, RUN_MS);
    kill(ring_pid(&ring, "learner"), SIGKILL);
    wait_up(&ring, &up);
    struct ring_result r = ring_read(&ring);
    assert_int_equal(r.rounds, 30);
    ring_audit(&ring);
}

static void a_drained_run_goes_on(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    ring_wait_rounds(&ring, 4, RUN_MS);
    process_kill(&up, SIGINT);
    wait_up(&ring, &up);
    const int all = ring_read(&ring).rounds + 8;
    char set[32];
    snprintf(set, sizeof set, "run.rounds=%d", all);
    up = process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, "--set", set,
                       NULL);
    wait_up(&ring, &up);
    ring_audit(&ring);
    assert_int_equal(ring_read(&ring).rounds, all);
}

/* Who reads an address may stop the daemon at once, and it ends as it does later. */
static void an_announced_daemon_heeds_a_signal(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 400, .groups = 8, .lag = 1});
    struct daemons d = daemons_start(&ring, "");
    static const enum daemon_kind kinds[] = {GENERATOR, LEARNER, REWARDER};
    for (int i = 0; i < 3; i++) {
        daemons_kill(&d, kinds[i]);
        daemons_start_one(&d, kinds[i], "");
        daemons_announced(&d, kinds[i]);
        process_kill(&d.process[kinds[i]], SIGTERM);
        assert_int_equal(process_wait(&d.process[kinds[i]], RUN_MS), 0);
    }
}

TESTS(cmocka_unit_test(at_lag_0_every_token_has_the_bits_of_our_forward),
      cmocka_unit_test(sampling_settings_and_small_memory_change_no_bit),
      cmocka_unit_test(lag_stays_within_its_limit), cmocka_unit_test(a_finite_prompt_set_ends),
      cmocka_unit_test(killed_generator_and_rewarder_come_back),
      cmocka_unit_test(a_killed_learner_continues), cmocka_unit_test(a_drained_run_goes_on),
      cmocka_unit_test(an_announced_daemon_heeds_a_signal))
