#include "sandbox/watch.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "sandbox/census.h"
#include "sandbox/confine.h"
#include "sandbox/control_group.h"
#include "sandbox/spaces.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* Looking costs time on a machine of many processes: at most one part in SHARE of it. */
enum { LOOK_MS = 50, LOOK_FILES = 4, SHARE = 50, LEAVE_MS = 5000 };

struct watch {
    const struct orders *orders;
    struct control_group group;
    pid_t first; // the program, or its namespace's first process
    int signals;
    int status; // of first
    bool ended, stopped;
    bool cut; // by a signal, before its program had ended
    unsigned looks;
    char why[160]; // which limit it broke; "": none
};

/* ---- start */

/* The first process of a namespace takes over orphans, and its end is everybody's. */
static void __attribute__((noreturn)) be_first(const struct orders *orders, int go)
{
    char mapped;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(go, &mapped, 1) != 1)
        _exit(127); // whoever maps us has said why
    err_t failed = spaces_enter(orders);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const pid_t program = err_failed(failed) ? -1 : fork();
    if (program == 0)
        confine_and_run(orders);
    if (program < 0)
        report(orders, "failed", "%s", err_failed(failed) ? err_message(failed) : strerror(errno));
    for (int fd = 0; fd < 3; fd++)
        close(fd); // their ends are the program's
    for (int status; program > 0;) {
        const pid_t pid = wait(&status);
        if (pid < 0 && errno == ECHILD)
            break;
        if (pid == program) {
            if (WIFSIGNALED(status))
                report(orders, "signal", "%d", WTERMSIG(status));
            else
                report(orders, "exit", "%d", WEXITSTATUS(status));
            break;
        }
    }
    _exit(0);
}

static err_t start_strong(struct watch *watch)
{
    int go[2];
    TRY(control_group_open(watch->orders, &watch->group));
    if (pipe2(go, O_CLOEXEC))
        return err_errno(errno, "cannot start");
    watch->first = spaces_fork(watch->orders);
    if (watch->first == 0) {
        close(go[1]);
        be_first(watch->orders, go[0]);
    }
    SCOPED_FD to = go[1];
    close(go[0]);
    if (watch->first < 0)
        return err_errno(errno, "namespaces");
    TRY(spaces_map(watch->orders, watch->first));
    TRY(control_group_join(&watch->group, watch->first));
    return write(to, "", 1) == 1 ? OK : err_errno(errno, "cannot start");
}

static err_t start(struct watch *watch)
{
    if (watch->orders->level == LEVEL_STRONG)
        return start_strong(watch);
    watch->first = fork();
    if (watch->first == 0)
        confine_and_run(watch->orders);
    if (watch->first < 0)
        return err_errno(errno, "cannot start");
    setpgid(watch->first, watch->first); // it does so itself, too: whoever comes first
    return OK;
}

/* ---- look */

static void look_at_files(struct watch *watch)
{
    uint64_t bytes = 0;
    const bool whole = census_files(watch->orders->work, &bytes);
    if (!whole || bytes > watch->orders->disk_bytes)
        snprintf(watch->why, sizeof watch->why, "disk: %llu bytes%s; at most %llu are allowed",
                 (unsigned long long)bytes, whole ? "" : " or more in too many files",
                 (unsigned long long)watch->orders->disk_bytes);
}

static void look(struct watch *watch)
{
    struct usage usage;
    const struct orders *orders = watch->orders;
    if (orders->level == LEVEL_NONE)
        return;
    if (watch->group.memory)
        control_group_usage(&watch->group, &usage);
    else
        census_take(getpid(), &usage);
    if (usage.processes > orders->processes + (watch->group.memory ? 1 : 0)) // the first one
        snprintf(watch->why, sizeof watch->why, "processes: %lld; at most %lld are allowed",
                 (long long)usage.processes, (long long)orders->processes);
    else if (!watch->group.memory && usage.memory_bytes > orders->memory_bytes)
        snprintf(watch->why, sizeof watch->why, "memory: %llu bytes; at most %llu are allowed",
                 (unsigned long long)usage.memory_bytes, (unsigned long long)orders->memory_bytes);
    else if (!watch->group.memory && watch->looks++ % LOOK_FILES == LOOK_FILES - 1)
        look_at_files(watch);
    if (watch->group.memory && control_group_out_of_memory(&watch->group))
        snprintf(watch->why, sizeof watch->why, "memory: more than the %llu bytes allowed",
                 (unsigned long long)orders->memory_bytes);
}

static void reap(struct watch *watch)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == watch->first) {
            watch->ended = true;
            watch->status = status;
        }
}

static void take_signals(struct watch *watch)
{
    struct signalfd_siginfo got;
    while (read(watch->signals, &got, sizeof got) == sizeof got)
        if (got.ssi_signo != SIGCHLD)
            watch->stopped = true;
    reap(watch);
}

static void wait_for_end(struct watch *watch)
{
    int64_t pause_ms = LOOK_MS;
    while (!watch->ended && !watch->stopped && !*watch->why) {
        struct pollfd poll_fd = {.fd = watch->signals, .events = POLLIN};
        poll(&poll_fd, 1, (int)pause_ms);
        take_signals(watch);
        if (watch->ended || watch->stopped)
            break;
        const double began_s = clock_s();
        look(watch);
        const int64_t took_ms = (int64_t)((clock_s() - began_s) * 1000);
        pause_ms = took_ms * SHARE > LOOK_MS ? took_ms * SHARE : LOOK_MS;
    }
}

/* ---- end */

/* All processes at once: none can be made by a group that has a signal to take. Those that left
 * the group are found by who made them. */
static void kill_all(struct watch *watch)
{
    const double until_s = clock_s() + LEAVE_MS / 1000.0;
    for (int tries = 0; clock_s() < until_s; tries++) {
        if (watch->first > 0 && !watch->ended)
            kill(watch->first, SIGKILL);
        if (watch->first > 0 && watch->orders->level != LEVEL_STRONG)
            kill(-watch->first, SIGKILL);
        if (tries > 0)
            census_kill(getpid());
        reap(watch);
        if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
            return;
        struct pollfd poll_fd = {.fd = watch->signals, .events = POLLIN};
        poll(&poll_fd, 1, 10);
        take_signals(watch);
    }
}

static void tell_end(const struct watch *watch)
{
    const struct orders *orders = watch->orders;
    if (*watch->why)
        report(orders, "limit", "%s", watch->why);
    else if (watch->cut)
        report(orders, "stopped", "%s", "");
    else if (orders->level == LEVEL_STRONG)
        return; // its first process has said it
    else if (WIFSIGNALED(watch->status))
        report(orders, "signal", "%d", WTERMSIG(watch->status));
    else
        report(orders, "exit", "%d", WEXITSTATUS(watch->status));
}

static err_t prepare(struct watch *watch)
{
    sigset_t taken;
    sigemptyset(&taken);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGINT);
    sigaddset(&taken, SIGHUP);
    sigaddset(&taken, SIGCHLD);
    sigprocmask(SIG_BLOCK, &taken, NULL);
    watch->signals = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watch->signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1))
        return err_errno(errno, "cannot watch");
    return OK;
}

int watch_program(const struct orders *orders)
{
    struct watch watch = {.orders = orders, .first = -1};
    err_t failed = prepare(&watch);
    if (!err_failed(failed))
        failed = start(&watch);
    for (int fd = 0; fd < 3; fd++)
        close(fd); // their ends are the program's
    if (err_failed(failed)) {
        report(orders, "failed", "%s", err_message(failed));
    } else {
        wait_for_end(&watch);
        watch.cut = watch.stopped && !watch.ended;
        if (!*watch.why && control_group_out_of_memory(&watch.group))
            snprintf(watch.why, sizeof watch.why, "memory: more than the %llu bytes allowed",
                     (unsigned long long)orders->memory_bytes);
    }
    kill_all(&watch);
    census_remove(orders->work);
    control_group_close(&watch.group);
    if (!err_failed(failed))
        tell_end(&watch);
    const int status = err_failed(failed) ? 1 : 0;
    err_free(failed);
    return status;
}
