/* A daemon's first and last moments: a signal ends a start at once, as PID 1 too; the exit status
 * tells the cause. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "base/version.h"
#include "svc/exit_status.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 60000 };
static const char *const programs[] = {"rlhfd-learner", "rlhfd-rewarder", "rlhfd-generator"};

/* A daemon that waits for its recipe: from a pipe that the test holds. The handlers are there since
 * the first line of main. pid1: the first process of a PID namespace, as in a container. */
static pid_t start_waiting(const char *program, bool pid1, int *ret_pipe)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    SCOPED_MEM char *path = mem_printf("%s/%s", TEST_BIN, program);
    const pid_t pid =
        pid1 ? (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[0], 9);
        close(ends[1]);
        execl(path, program, "pipe.yaml", "--recipe-fd", "9", NULL);
        _exit(127);
    }
    close(ends[0]);
    *ret_pipe = ends[1];
    return pid;
}

/* Whether it sleeps in a read from a pipe. */
static bool reads_pipe(pid_t pid)
{
    SCOPED_MEM char *path = mem_printf("/proc/%d/syscall", (int)pid);
    SCOPED_MEM char *now = file_text(path);
    long call;
    unsigned of;
    if (sscanf(now, "%ld 0x%x", &call, &of) != 2 || call != SYS_read)
        return false;
    SCOPED_MEM char *link = mem_printf("/proc/%d/fd/%u", (int)pid, of);
    char target[64] = {0};
    return readlink(link, target, sizeof target - 1) > 0 && strncmp(target, "pipe:", 5) == 0;
}

/* Of its recipe: main has begun. */
static void wait_reading(pid_t pid)
{
    for (int64_t until = clock_ms() + WAIT_MS; !reads_pipe(pid); clock_sleep_ms(2))
        if (clock_ms() > until)
            fail_msg("the daemon does not read its recipe");
}

static int status_within(pid_t pid, int64_t ms)
{
    int status;
    for (int64_t until = clock_ms() + ms; clock_ms() < until; clock_sleep_ms(2))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1000;
}

static void ends_by(int number, bool pid1)
{
    for (int i = 0; i < 3; i++) {
        int held;
        const pid_t pid = start_waiting(programs[i], pid1, &held);
        if (pid < 0 && errno == EPERM)
            skip();
        assert_true(pid > 0);
        wait_reading(pid);
        kill(pid, number);
        const int status = status_within(pid, WAIT_MS);
        assert_int_equal(status, pid1 ? 128 + number : -number);
        close(held);
    }
}

static void a_signal_ends_a_start(void **)
{
    ends_by(SIGTERM, false);
    ends_by(SIGINT, false);
}

static void a_signal_ends_a_start_of_pid_1(void **)
{
    ends_by(SIGTERM, true);
    ends_by(SIGINT, true);
}

/* ---- exit statuses */

static void ends_with(int wanted, const char *part, const char *command)
{
    char *output;
    const int status = process_run(&output, WAIT_MS, "/bin/sh", "-c", command, NULL);
    if (status != wanted || !strstr(output, part))
        fail_msg("%s\nstatus %d, wanted %d and '%s':\n%s", command, status, wanted, part, output);
    free(output);
}

static void the_status_tells_the_cause(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 4, .lag = 0});
    struct ring other =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 4, .lag = 0});
    const struct {
        int status;
        const char *part, *command;
    } cases[] = {
        {EXIT_STATUS_USAGE, "no such key", "%s/rlhfd-learner %s --set learner.x=1"},
        {EXIT_STATUS_USAGE, "--run DIR is missing", "%s/rlhfd-learner %s"},
        {EXIT_STATUS_USAGE, "nothing/config.json",
         "%s/rlhfd-generator %s --set model.path=/nothing"},
        {EXIT_STATUS_UNREACHABLE, "was not reached in 1 s",
         "%s/rlhfd-rewarder %s --set net.join_timeout_s=1 --set rewarder.listen=127.0.0.1:0 "
         "--set rewarder.learner=127.0.0.1:1"},
        {EXIT_STATUS_UNREACHABLE, "was not reached in 1 s",
         "%s/rlhfd-generator %s --set net.join_timeout_s=1 --set generator.listen=127.0.0.1:0 "
         "--set generator.learner=127.0.0.1:1"},
        {EXIT_STATUS_RESOURCES, "open files", "ulimit -n 100; exec %s/rlhfd-rewarder %s"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM char *command = mem_printf(cases[i].command, TEST_BIN, ring.recipe);
        ends_with(cases[i].status, cases[i].part, command);
    }
    struct daemons d = daemons_start(&other, "");
    SCOPED_MEM char *taken = mem_printf("%s/rlhfd-rewarder %s --set rewarder.listen=%s", TEST_BIN,
                                        ring.recipe, d.address[REWARDER]);
    ends_with(EXIT_STATUS_BUSY, "in use", taken);
    SCOPED_MEM char *locked =
        mem_printf("%s/rlhfd-learner %s --run %s --set learner.listen=127.0.0.1:0", TEST_BIN,
                   other.recipe, other.run);
    ends_with(EXIT_STATUS_BUSY, "is in use by rlhfd-learner", locked);
    ring_wait_rounds(&other, 1, WAIT_MS);
    for (int kind = GENERATOR; kind >= LEARNER; kind--) {
        process_kill(&d.process[kind], SIGTERM);
        assert_int_equal(process_wait(&d.process[kind], WAIT_MS), EXIT_STATUS_DONE);
    }
    SCOPED_MEM char *mismatch =
        mem_printf("%s/rlhfd-learner %s --run %s --set learner.listen=127.0.0.1:0 --set run.name=x",
                   TEST_BIN, other.recipe, other.run);
    ends_with(EXIT_STATUS_MISMATCH, "is of run", mismatch);
    SCOPED_MEM char *damaged = mem_printf(
        "for f in %s/store/*.log; do : > $f; done; exec %s/rlhfd-learner %s --run %s --set "
        "learner.listen=127.0.0.1:0",
        other.run, TEST_BIN, other.recipe, other.run);
    ends_with(EXIT_STATUS_DAMAGED, "", damaged);
}

static void help_names_each_status(void **)
{
    for (int i = 0; i < 3; i++) {
        char *output;
        assert_int_equal(process_run(&output, WAIT_MS, programs[i], "--help", NULL), 0);
#define NAMED(name, status, again, text) assert_non_null(strstr(output, text));
        EXIT_STATUSES(NAMED)
#undef NAMED
        free(output);
        assert_int_equal(process_run(&output, WAIT_MS, programs[i], "--version", NULL), 0);
        SCOPED_MEM char *wanted = mem_printf("%s %s\n", programs[i], version_text);
        assert_string_equal(output, wanted);
        free(output);
    }
}

TESTS(cmocka_unit_test(a_signal_ends_a_start), cmocka_unit_test(a_signal_ends_a_start_of_pid_1),
      cmocka_unit_test(the_status_tells_the_cause), cmocka_unit_test(help_names_each_status))
