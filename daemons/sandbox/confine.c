#include "sandbox/confine.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES_MAX = 256, STACK_BYTES = 8 << 20, USER_PROCESSES = 1 << 17, SLACK = 8 };

static err_t limit(int which, const char *name, uint64_t most)
{
    const struct rlimit to = {most, most};
    return setrlimit(which, &to) ? err_errno(errno, "limit '%s'", name) : OK;
}

/* ---- processes: the kernel counts those of the user, and others of it may live beside us */

/* Whether the user may have one process more where `most` are allowed. */
static bool forks_within(uint64_t most)
{
    struct rlimit to;
    getrlimit(RLIMIT_NPROC, &to);
    to.rlim_cur = most;
    if (setrlimit(RLIMIT_NPROC, &to))
        return false;
    const pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid > 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    return pid > 0;
}

/* The least limit within which a process may be made: by asking, as other users' namespaces and
 * containers count and cannot be seen. */
static err_t count_processes(uint64_t *ret)
{
    struct rlimit before;
    uint64_t low = 1, high = 64; // forks fail within low, pass within high
    getrlimit(RLIMIT_NPROC, &before);
    const uint64_t most = before.rlim_max < USER_PROCESSES ? before.rlim_max : USER_PROCESSES;
    if (forks_within(1))
        return err_new(ERR_UNIMPLEMENTED, "no limit on processes holds for uid %d", (int)getuid());
    while (high < most && !forks_within(high)) {
        low = high;
        high *= 2;
    }
    if (high >= most && !forks_within(high = most))
        return err_new(ERR_EXHAUSTED, "the user has as many processes as it may");
    while (low + 1 < high) {
        const uint64_t middle = low + (high - low) / 2;
        *(forks_within(middle) ? &high : &low) = middle;
    }
    *ret = high;
    return OK;
}

/* Some more than the orders say, so that whoever goes beyond is seen by the watch, and ended. */
static err_t limit_processes(const struct orders *orders)
{
    struct rlimit to;
    uint64_t now = 0;
    TRY(count_processes(&now));
    getrlimit(RLIMIT_NPROC, &to);
    const uint64_t most = now + (uint64_t)orders->processes + SLACK;
    return limit(RLIMIT_NPROC, "processes", most < to.rlim_max ? most : to.rlim_max);
}

static err_t limit_all(const struct orders *orders)
{
    TRY(limit(RLIMIT_CORE, "core", 0));
    TRY(limit(RLIMIT_NOFILE, "files", FILES_MAX));
    TRY(limit(RLIMIT_STACK, "stack", STACK_BYTES));
    TRY(limit(RLIMIT_MEMLOCK, "locked memory", 1 << 16));
    TRY(limit(RLIMIT_SIGPENDING, "signals", 256));
    TRY(limit(RLIMIT_MSGQUEUE, "messages", 0));
    TRY(limit(RLIMIT_DATA, "memory", orders->memory_bytes));
    TRY(limit(RLIMIT_FSIZE, "disk", orders->disk_bytes));
    if (orders->cpu_s)
        TRY(limit(RLIMIT_CPU, "cpu", (uint64_t)orders->cpu_s));
    return limit_processes(orders);
}

/* ---- user and environment */

/* Root's own files stay out of reach, and limits hold for nobody that do not for root. */
static err_t leave_root(const struct orders *orders)
{
    if (!orders->root || orders->level == LEVEL_STRONG) // spaces_enter has done it
        return OK;
    if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
        setresuid(NOBODY, NOBODY, NOBODY))
        return err_errno(errno, "cannot leave root for uid %d", NOBODY);
    return OK;
}

/* Nothing of the caller's, which may hold keys. */
static err_t set_environment(const struct orders *orders)
{
    if (clearenv() || setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1) ||
        setenv("HOME", orders->work, 1) || setenv("TMPDIR", orders->work, 1) ||
        setenv("LANG", "C.UTF-8", 1) || setenv("PYTHONDONTWRITEBYTECODE", "1", 1))
        return err_errno(errno, "cannot set the environment");
    return OK;
}

static err_t restrict_self(const struct orders *orders)
{
    bool keeps_signals = false;
    TRY(leave_root(orders));
    TRY(limit_all(orders));
    TRY(set_environment(orders));
    umask(077);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return err_errno(errno, "no_new_privs");
    TRY(files_confine(orders, &keeps_signals));
    return calls_confine(orders, keeps_signals);
}

static void default_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void confine_and_run(const struct orders *orders)
{
    err_t failed = OK;
    setpgid(0, 0);
    default_signals();
    if (chdir(orders->work))
        failed = err_errno(errno, "cannot enter '%s'", orders->work);
    if (!err_failed(failed) && orders->level != LEVEL_NONE)
        failed = restrict_self(orders);
    setenv("PYTHONHASHSEED", "0", 0); // the same sample gives the same score
    prctl(PR_SET_PDEATHSIG, SIGKILL); // a change of user takes an earlier one back
    if (!err_failed(failed)) {
        syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC);
        execvp(orders->argv[0], orders->argv);
        failed = err_errno(errno, "cannot start '%s'", orders->argv[0]);
    }
    report(orders, "failed", "%s", err_message(failed));
    _exit(127);
}
