/* The real ring under each replay policy and with groups that several rounds train; the learner
 * killed in the middle trains the recorded rounds again to the same bits; a copy of a run goes on
 * from where it was made. */
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "learner/replay/backup.h"
#include "learner/store/audit/audit.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>

enum { RUN_MS = 120000, ROUNDS = 14, GROUPS = 8, LAG = 2 };

static struct process start(const struct ring *ring, const char *policy, const char *uses)
{
    return process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, "--set",
                         policy, "--set", uses, NULL);
}

static void wait_end(const struct ring *ring, struct process *up)
{
    int status = process_wait(up, RUN_MS);
    if (status) {
        SCOPED_MEM char *learner = file_join(ring->run, "logs/learner.log");
        print_error("rlhfctl up: exit status %d\n", status);
        file_print_end("up", ring->log);
        file_print_end("learner", learner);
    }
    assert_int_equal(status, 0);
}

static struct audit audit_of(const struct ring *ring)
{
    struct audit audit;
    SCOPED_MEM char *store = file_join(ring->run, "store");
    assert_ok(store_audit(store, NULL, &audit));
    assert_int_equal(audit.errors, 0);
    return audit;
}

static void check_end(const struct ring *ring, int uses)
{
    struct ring_result r = ring_read(ring);
    struct audit audit = audit_of(ring);
    int rounds = ring->options.rounds;
    assert_int_equal(r.rounds, rounds);
    assert_true(r.lag_max <= LAG);
    assert_int_equal(audit.trained, rounds * GROUPS);
    if (uses == 1)
        assert_int_equal(audit.trained_groups, audit.trained);
    else
        assert_true(audit.trained_groups < audit.trained && // several rounds trained some
                    audit.trained_groups * (uint64_t)uses >= audit.trained);
    print_message("%d rounds of %d: %d groups, %d left as stale\n", rounds, GROUPS,
                  (int)audit.trained_groups, (int)audit.groups[REASON_STALE]);
}

static void every_policy_trains_to_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *policy, *uses;
        int n;
    } runs[] = {{"replay.policy=uniform", "replay.max_uses=1", 1},
                {"replay.policy=priority", "replay.max_uses=2", 2},
                {"replay.policy=fifo", "replay.max_uses=3", 3}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct ring ring = ring_prepare(&(struct ring_options){
            .rounds = ROUNDS, .groups = GROUPS, .lag = LAG, .slow_permille = 20});
        struct process up = start(&ring, runs[i].policy, runs[i].uses);
        wait_end(&ring, &up);
        check_end(&ring, runs[i].n);
    }
}

/* Every version made again is compared with its recorded digest: another bit would end the
 * learner. */
static void a_killed_learner_trains_what_was_drawn(void **state)
{
    (void)state;
    static const char *const policies[] = {"replay.policy=uniform", "replay.policy=priority"};
    for (int i = 0; i < 2; i++) {
        struct ring ring =
            ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = GROUPS, .lag = LAG});
        struct process up = start(&ring, policies[i], "replay.max_uses=2");
        for (int rounds = 3; rounds <= 9; rounds += 3) {
            ring_wait_rounds(&ring, rounds, RUN_MS);
            kill(ring_pid(&ring, "learner"), SIGKILL);
        }
        wait_end(&ring, &up);
        check_end(&ring, 2);
    }
}

/* ---- a copy to begin from */

static void make_backup(const struct ring *ring, const char *name)
{
    char *said;
    int status = process_run(&said, RUN_MS, "rlhfctl", "backup", name, "--run", ring->run, NULL);
    if (status)
        fail_msg("backup: %s", said);
    free(said);
}

static void a_learner_starts_from_a_backup(void **state)
{
    (void)state;
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 60, .groups = GROUPS, .lag = LAG});
    struct process up = start(&ring, "replay.policy=priority", "replay.max_uses=2");
    ring_wait_rounds(&ring, 5, RUN_MS);
    const int generator = ring_pid(&ring, "generator");
    kill(generator, SIGSTOP);    // the run does not end while its learner is asked
    make_backup(&ring, "first"); // rounds without a checkpoint lie behind it
    kill(generator, SIGCONT);
    process_kill(&up, SIGINT);
    process_wait(&up, RUN_MS);
    struct audit before = audit_of(&ring);
    struct ring copy = ring;
    copy.run = testing_path(ring.directory, "run/backups/first");
    assert_in_range(audit_of(&copy).rounds, 5, before.rounds);
    up = start(&copy, "replay.policy=priority", "replay.max_uses=2");
    wait_end(&copy, &up);
    check_end(&copy, 2);
    struct audit after = audit_of(&ring); // the run stands as it did
    assert_memory_equal(&after, &before, sizeof before);
    up = start(&ring, "replay.policy=priority", "replay.max_uses=2");
    wait_end(&ring, &up);
    check_end(&ring, 2);
}

TESTS(cmocka_unit_test(every_policy_trains_to_the_end),
      cmocka_unit_test(a_killed_learner_trains_what_was_drawn),
      cmocka_unit_test(a_learner_starts_from_a_backup))
