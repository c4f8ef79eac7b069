/* Runs end by themselves: when their rounds are done or their data is used up, at every lag, also
 * when they were drained on the way, whatever the store held then. Nothing is left over: what was
 * not trained has left as ended. */
#include "base/file.h"
#include "base/mem.h"
#include "learner/store/audit/audit.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>

enum { RUN_MS = 120000, ROUNDS = 10, GROUPS = 8 };
static const int lags[] = {0, 1, 2, 8};
enum { LAGS = sizeof lags / sizeof *lags };

static struct process start(const struct ring *ring, const char *set)
{
    remove(ring->log);
    return process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, "--set",
                         set ? set : "learner.threads=1", NULL);
}

static void wait_end(const struct ring *ring, struct process *up)
{
    int status = process_wait(up, RUN_MS);
    if (status) {
        char *log = file_text(ring->log);
        print_error("rlhfctl up: exit status %d\n%s\n", status, log);
        free(log);
    }
    assert_int_equal(status, 0);
}

static struct audit audit_of(const struct ring *ring)
{
    struct audit audit;
    SCOPED_MEM char *store = file_join(ring->run, "store");
    assert_ok(store_audit(store, NULL, &audit));
    if (audit.errors)
        assert_ok(store_audit(store, stderr, &audit));
    assert_int_equal(audit.errors, 0);
    return audit;
}

static void drain_after(const struct ring *ring, int rounds, const char *set)
{
    struct process up = start(ring, set);
    ring_wait_rounds(ring, rounds, RUN_MS);
    process_kill(&up, SIGINT);
    wait_end(ring, &up);
    assert_true(audit_of(ring).leased == 0); // given back, or delivered
}

/* As `rounds` rounds with `trained` groups in all must leave it. */
static struct audit assert_ended(const struct ring *ring, uint64_t rounds, uint64_t trained,
                                 int lag)
{
    struct audit audit = audit_of(ring);
    assert_int_equal(audit.rounds_done, rounds);
    assert_int_equal(audit.rounds, rounds);
    assert_int_equal(audit.trained, trained);
    assert_int_equal(audit.leased + audit.stored + audit.free, 0);
    assert_true(audit.lag_max <= (uint64_t)lag);
    assert_int_equal(ring_read(ring).rounds, (int)rounds);
    SCOPED_MEM char *tokenizer = file_join(ring->run, "checkpoints/latest/tokenizer.json");
    assert_true(file_exists(tokenizer)); // also when the one it was resumed from is gone
    assert_int_equal(audit.fate[REASON_TRAINED], trained);
    assert_int_equal(audit.fate[REASON_ENDED], audit.slots - trained); // and for nothing else
    return audit;
}

static void when_their_rounds_are_done(void **)
{
    for (int i = 0; i < LAGS; i++) {
        struct ring ring = ring_prepare(
            &(struct ring_options){.rounds = ROUNDS, .groups = GROUPS, .lag = lags[i]});
        drain_after(&ring, 3, NULL);
        struct process up = start(&ring, NULL);
        wait_end(&ring, &up);
        assert_ended(&ring, ROUNDS, ROUNDS * GROUPS, lags[i]);
        up = start(&ring, NULL); // once more: there is nothing to do
        wait_end(&ring, &up);
        assert_ended(&ring, ROUNDS, ROUNDS * GROUPS, lags[i]);
    }
}

enum { PROMPTS = 51, WHOLE = PROMPTS / GROUPS };

static void end_of_the_data(int lag, bool drop)
{
    struct ring ring = ring_prepare(&(struct ring_options){
        .prompts = PROMPTS,
        .epochs = 1,
        .groups = GROUPS,
        .lag = lag,
        .learner = drop ? "objective: rloo, last_batch: drop" : "objective: rloo"});
    drain_after(&ring, 2, NULL);
    struct process up = start(&ring, NULL);
    wait_end(&ring, &up);
    uint64_t rounds = drop ? WHOLE : WHOLE + 1, trained = drop ? WHOLE * GROUPS : PROMPTS;
    struct audit audit = assert_ended(&ring, rounds, trained, lag);
    assert_int_equal(audit.slots, PROMPTS);
    assert_int_equal(audit.groups[REASON_ENDED], drop ? PROMPTS % GROUPS : 0); // they had come
    assert_int_equal(audit.groups[REASON_STALE], 0);
}

static void with_a_shorter_round_when_the_data_is_used_up(void **)
{
    end_of_the_data(0, false);
    end_of_the_data(2, false);
}

static void without_it(void **)
{
    end_of_the_data(1, true);
    end_of_the_data(8, true);
}

/* Two passes, so that a round can hold a prompt twice and the drained run begins in the middle of
 * the second. */
static void after_two_passes(void **)
{
    struct ring ring = ring_prepare(
        &(struct ring_options){.prompts = 20, .epochs = 2, .groups = GROUPS, .lag = 8});
    drain_after(&ring, 3, NULL);
    struct process up = start(&ring, NULL);
    wait_end(&ring, &up);
    assert_ended(&ring, 5, 40, 8);
}

TESTS(cmocka_unit_test(when_their_rounds_are_done),
      cmocka_unit_test(with_a_shorter_round_when_the_data_is_used_up), cmocka_unit_test(without_it),
      cmocka_unit_test(after_two_passes))
