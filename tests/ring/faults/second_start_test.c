/* A run has one owner: who comes second is refused with one line, and nothing of the first's is
 * touched. What a ring was started with stays what its restarted members run with. Real
 * processes. */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/exit_status.h"
#include "svc/run_lock.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { START_MS = 60000, RUN_MS = 120000 };

static struct ring long_ring(int rounds)
{
    return ring_prepare(&(struct ring_options){.rounds = rounds, .groups = 8, .lag = 1});
}

static struct process up(const struct ring *ring, const char *set)
{
    return process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, "--set",
                         set ? set : "learner.threads=1", NULL);
}

static void assert_ends_well(const struct ring *ring, struct process *process)
{
    int status = process_wait(process, RUN_MS);
    if (status) {
        char *log = file_text(ring->log);
        print_error("exit status %d:\n%s\n", status, log);
        free(log);
    }
    assert_int_equal(status, 0);
}

static void wait_for_file(const char *path)
{
    for (int64_t until = clock_ms() + START_MS; clock_ms() < until; clock_sleep_ms(10))
        if (file_exists(path))
            return;
    fail_msg("there is no %s", path);
}

/* What a second start could overwrite: names, text and inodes of the files that say what runs. The
 * caller's. */
static void add_files(const char *directory, struct bytes *ret)
{
    static const char *const names[] = {
        "lock",         "recipe.yaml",       "run.json",           "endpoints.json",
        "learner.json", "logs/learner.json", "logs/rewarder.json", "logs/generator.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        SCOPED_MEM char *path = file_join(directory, names[i]);
        struct stat status = {0};
        char *text = file_text(path);
        stat(path, &status);
        bytes_printf(ret, "%s %lu:\n%s\n", path, (unsigned long)status.st_ino, text);
        free(text);
    }
}

static char *files_of(const struct ring *ring)
{
    SCOPED_VALUE(bytes) all = {0};
    add_files(ring->run, &all);
    return mem_string((const char *)all.data);
}

static size_t lines_of(const char *text)
{
    size_t lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* One line that names the run, the holder and what to do; the run's files are as they were. Takes
 * output. */
static void assert_refused(const struct ring *ring, int status, int wanted, char *output,
                           int holder, const char *before)
{
    SCOPED_MEM char *after = files_of(ring);
    SCOPED_MEM char *pid = mem_printf("process %d ", holder);
    if (status != wanted || lines_of(output) != 1)
        print_error("status %d: %s\n", status, output);
    assert_int_equal(status, wanted);
    assert_int_equal((int)lines_of(output), 1);
    assert_non_null(strstr(output, ring->run));
    assert_non_null(strstr(output, pid));
    assert_non_null(strstr(output, "kill -TERM"));
    assert_string_equal(before, after);
    free(output);
}

static void a_second_up_leaves_the_first_alone(void **)
{
    struct ring ring = long_ring(200000);
    struct process first = up(&ring, NULL);
    char *output;
    ring_wait_rounds(&ring, 2, RUN_MS);
    SCOPED_MEM char *before = files_of(&ring);
    int status = process_run(&output, START_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run,
                             "--set", "run.rounds=7", "--set", "learner.groups=4", NULL);
    assert_refused(&ring, status, 5, output, first.pid, before);
    int generator = ring_pid(&ring, "generator");
    kill(generator, SIGKILL); // it comes again, with the settings of the first
    for (int64_t until = clock_ms() + START_MS; ring_pid(&ring, "generator") == generator;) {
        assert_true(clock_ms() < until);
        clock_sleep_ms(20);
    }
    int rounds = ring_read(&ring).rounds;
    ring_wait_rounds(&ring, rounds + 5, RUN_MS);
    process_kill(&first, SIGINT);
    assert_ends_well(&ring, &first);
    ring_audit(&ring);
    struct process again =
        up(&ring, "run.rounds=7"); // nobody holds it any more: there is nothing to do
    assert_ends_well(&ring, &again);
}

/* Of those that begin in the same moment one has the run. */
static void two_ups_at_once(void **)
{
    struct ring ring = long_ring(200000);
    SCOPED_MEM char *other_log = file_join(ring.directory, "other.log");
    struct process two[2] = {up(&ring, NULL),
                             process_start(other_log, "rlhfctl", "up", ring.recipe, "--run",
                                           ring.run, "--set", "learner.threads=1", NULL)};
    ring_wait_rounds(&ring, 3, RUN_MS);
    int refused = 0, status = process_wait(&two[0], 100);
    for (int64_t until = clock_ms() + START_MS; status < 0 && clock_ms() < until;
         refused = !refused)
        status = process_wait(&two[!refused], 100);
    assert_int_equal(status, 5);
    process_kill(&two[!refused], SIGINT);
    assert_ends_well(&ring, &two[!refused]);
    ring_audit(&ring);
}

static void learners_and_their_jobs_take_the_same_lock(void **)
{
    struct ring ring = long_ring(200000);
    struct daemons first = daemons_start(&ring, "learner.threads=1");
    ring_wait_rounds(&ring, 2, RUN_MS);
    SCOPED_MEM char *before = files_of(&ring);
    const int holder = first.process[LEARNER].pid;
    SCOPED_MEM char *announce = file_join(ring.directory, "second.json");
    char *output;
    int status = process_run(&output, START_MS, "rlhfd-learner", ring.recipe, "--run", ring.run,
                             "--announce", announce, "--set", "learner.listen=127.0.0.1:0", NULL);
    assert_refused(&ring, status, EXIT_STATUS_BUSY, output, holder, before);
    status = process_run(&output, START_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    assert_refused(&ring, status, 5, output, holder, before);
    static const char *const jobs[] = {"fork", "sft"};
    for (size_t i = 0; i < 2; i++) {
        status = process_run(&output, START_MS, "rlhfd-learner", ring.recipe, "--run", ring.run,
                             "--job", jobs[i], "--at", "1", NULL);
        assert_refused(&ring, status, EXIT_STATUS_BUSY, output, holder, before);
    }
    ring_audit(&ring); // reads beside the learner
    daemons_assert_running(&first, LEARNER);
    assert_false(file_exists(announce));
    for (int i = 0; i < DAEMON_KINDS; i++)
        daemons_kill(&first, i);
}

/* A learner that inherited the lock of an `up` which has gone. */
static pid_t orphan_learner(const struct ring *ring, const char *announce)
{
    int ends[2];
    pid_t learner = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t owner = fork();
    if (owner == 0) {
        struct run_lock *lock;
        err_t failed = run_lock_take(ring->run, "rlhfctl up", &lock);
        if (err_failed(failed))
            _exit(1);
        fcntl(run_lock_hand_down(lock), F_SETFD, 0);
        learner = fork();
        if (learner == 0) {
            execl(TEST_BIN "/rlhfd-learner", "rlhfd-learner", ring->recipe, "--run", ring->run,
                  "--announce", announce, "--set", "learner.listen=127.0.0.1:0", NULL);
            _exit(127);
        }
        _exit(write(ends[1], &learner, sizeof learner) != sizeof learner);
    }
    int status;
    assert_int_equal(waitpid(owner, &status, 0), owner);
    assert_int_equal(status, 0);
    assert_int_equal(read(ends[0], &learner, sizeof learner), sizeof learner);
    close(ends[0]);
    close(ends[1]);
    return learner;
}

static void a_learner_that_outlives_its_up_keeps_the_lock(void **)
{
    struct ring ring = long_ring(3);
    SCOPED_MEM char *announce = file_join(ring.run, "learner.json");
    char *output;
    assert_ok(file_make_directories(ring.run));
    pid_t learner = orphan_learner(&ring, announce);
    wait_for_file(announce);
    SCOPED_MEM char *before = files_of(&ring);
    int status =
        process_run(&output, START_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    kill(learner, SIGKILL);
    assert_refused(&ring, status, 5, output, learner, before);
    struct process next = up(&ring, NULL); // waits for what is dying
    assert_ends_well(&ring, &next);
    assert_int_equal(ring_read(&ring).rounds, 3);
}

static void a_killed_up_is_followed_at_once(void **)
{
    struct ring ring = long_ring(12);
    for (int i = 1; i <= 3; i++) {
        struct process killed = up(&ring, NULL);
        ring_wait_rounds(&ring, i, RUN_MS);
        process_kill(&killed, SIGKILL);
        process_wait(&killed, START_MS);
    }
    struct process last = up(&ring, NULL);
    assert_ends_well(&ring, &last);
    ring_audit(&ring);
}

static void a_restarted_member_keeps_the_recipe_it_had(void **)
{
    struct ring ring = long_ring(40);
    SCOPED_MEM char *recipe = file_join(ring.run, "recipe.yaml");
    struct process first = up(&ring, NULL);
    ring_wait_rounds(&ring, 3, RUN_MS);
    assert_ok(file_write(recipe, "learner: {groups: 4}\n", 21));
    kill(ring_pid(&ring, "learner"), SIGKILL);
    kill(ring_pid(&ring, "generator"), SIGKILL);
    assert_ends_well(&ring, &first);
    assert_int_equal(ring_read(&ring).rounds, 40);
    ring_audit(&ring);
}

static void an_announcement_is_one_process_s(void **)
{
    struct ring ring = long_ring(200000);
    struct daemons first = daemons_start(&ring, "learner.threads=1");
    SCOPED_MEM char *announce = file_join(ring.run, "generator.json");
    SCOPED_MEM char *aside = mem_printf("%s.tmp", announce);
    SCOPED_MEM char *to = mem_printf("generator.learner=%s", first.address[LEARNER]);
    char *before = file_text(announce), *output;
    int status = process_run(&output, START_MS, "rlhfd-generator", ring.recipe, "--run", ring.run,
                             "--announce", announce, "--set", "generator.listen=127.0.0.1:0",
                             "--set", to, NULL);
    char *after = file_text(announce);
    if (status != EXIT_STATUS_BUSY || !strstr(output, announce))
        print_error("status %d: %s\n", status, output);
    assert_int_equal(status, EXIT_STATUS_BUSY);
    assert_non_null(strstr(output, announce));
    assert_string_equal(before, after);
    assert_false(file_exists(aside));
    daemons_assert_running(&first, GENERATOR);
    daemons_kill(&first, GENERATOR);
    daemons_start_one(&first, GENERATOR, ""); // its successor may have the path
    daemons_announced(&first, GENERATOR);
    for (int i = 0; i < DAEMON_KINDS; i++)
        daemons_kill(&first, i);
    free(before);
    free(after);
    free(output);
}

TESTS(cmocka_unit_test(a_second_up_leaves_the_first_alone), cmocka_unit_test(two_ups_at_once),
      cmocka_unit_test(learners_and_their_jobs_take_the_same_lock),
      cmocka_unit_test(a_learner_that_outlives_its_up_keeps_the_lock),
      cmocka_unit_test(a_killed_up_is_followed_at_once),
      cmocka_unit_test(a_restarted_member_keeps_the_recipe_it_had),
      cmocka_unit_test(an_announcement_is_one_process_s))
