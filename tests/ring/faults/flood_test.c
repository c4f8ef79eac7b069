/* Clients without manners beside a ring that trains: no daemon ends, rounds and checkpoints go on,
 * and descriptors are kept for them. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/exit_status.h"
#include "testing/daemons.h"
#include "testing/h2.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { FEW = 256, ENOUGH = 1024, RUN_MS = 120000 };

static void too_few_descriptors_are_refused(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 2, .groups = 8, .lag = 1});
    static const char *const programs[] = {"rlhfd-learner", "rlhfd-rewarder", "rlhfd-generator"};
    static const char *const listens[] = {"learner.listen=127.0.0.1:0",
                                          "rewarder.listen=127.0.0.1:0",
                                          "generator.listen=127.0.0.1:0"};
    for (int i = 0; i < 3; i++) {
        SCOPED_MEM char *command =
            mem_printf("ulimit -n %d; exec %s/%s %s --run %s --set %s", FEW, TEST_BIN, programs[i],
                       ring.recipe, ring.run, listens[i]);
        char *output;
        int status = process_run(&output, 30000, "/bin/sh", "-c", command, NULL);
        assert_int_equal(status, EXIT_STATUS_RESOURCES);
        if (!strstr(output, "open files (ulimit -n) are limited to 256; at least "))
            fail_msg("%s: %s", programs[i], output);
        free(output);
        assert_false(file_exists(ring.run));
    }
}

static int descriptors_of(pid_t pid)
{
    SCOPED_MEM char *path = mem_printf("/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int count = 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void checkpoint(const struct daemons *daemons)
{
    char *output;
    int status = process_run(&output, RUN_MS, "rlhfctl", "checkpoint", "--address",
                             daemons->admin[LEARNER], NULL);
    if (status)
        print_error("%s\n", output);
    assert_int_equal(status, 0);
    free(output);
}

static void all_go_on(const struct daemons *daemons)
{
    for (int kind = 0; kind < DAEMON_KINDS; kind++) {
        daemons_assert_running(daemons, kind);
        assert_true(descriptors_of(daemons->process[kind].pid) < ENOUGH - 64);
    }
}

/* A process that holds connections: more than this one, and the daemons it starts, may have. */
struct holder {
    pid_t pid;
    int to, from;
};

enum { IDLE = 1500 };

struct order {
    char address[64]; // empty: close them
    bool preface;
};

static void hold(int from, int to)
{
    static int fds[IDLE];
    struct order order;
    int open = 0;
    while (read(from, &order, sizeof order) == sizeof order) {
        while (open)
            close(fds[--open]);
        while (*order.address && open < IDLE)
            fds[open++] = (order.preface ? h2_connect : tcp_connect)(order.address);
        if (write(to, "", 1) != 1)
            break;
    }
    _exit(0);
}

/* Skips where a process may not have as many descriptors. Lowers this process' limits for good. */
static struct holder start_holder(void)
{
    const struct rlimit small = {ENOUGH, ENOUGH};
    struct rlimit own;
    int there[2], back[2];
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &own), 0);
    if (own.rlim_max < 2 * IDLE)
        skip();
    own.rlim_cur = own.rlim_max;
    assert_int_equal(pipe2(there, O_CLOEXEC) | pipe2(back, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_NOFILE, &own);
        close(there[1]);
        hold(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    return (struct holder){pid, there[1], back[0]};
}

static void order(const struct holder *holder, const char *address, bool preface)
{
    struct order order = {.preface = preface};
    char done;
    snprintf(order.address, sizeof order.address, "%s", address);
    assert_int_equal(write(holder->to, &order, sizeof order), sizeof order);
    assert_int_equal(read(holder->from, &done, 1), 1);
}

/* Each port, with and without HTTP/2's preface: more connections than the daemon may have
 * descriptors. */
static void idle_connections_leave_descriptors(void **)
{
    struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = 1000000, .groups = 8, .lag = 1});
    const struct holder holder = start_holder();
    struct daemons daemons = daemons_start(&ring, "");
    ring_wait_rounds(&ring, 2, RUN_MS);
    const char *const ports[] = {daemons.address[LEARNER],  daemons.admin[LEARNER],
                                 daemons.probes[LEARNER],   daemons.metrics[LEARNER],
                                 daemons.address[REWARDER], daemons.address[GENERATOR]};
    for (size_t port = 0; port < 2 * sizeof ports / sizeof *ports; port++) {
        order(&holder, ports[port / 2], port % 2);
        all_go_on(&daemons);
        const int rounds = ring_read(&ring).rounds;
        checkpoint(&daemons);
        ring_wait_rounds(&ring, rounds + 2, RUN_MS);
        all_go_on(&daemons);
        order(&holder, "", false);
    }
    for (int kind = 0; kind < DAEMON_KINDS; kind++)
        daemons_kill(&daemons, kind);
    close(holder.to);
    waitpid(holder.pid, NULL, 0);
}

TESTS(cmocka_unit_test(too_few_descriptors_are_refused),
      cmocka_unit_test(idle_connections_leave_descriptors))
