#include "svc/child.h"
#include "base/env.h"
#include "base/mem.h"
#include "svc/loop_uv.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct child {
    uv_signal_t *watch; // of SIGCHLD; NULL once it has ended
    pid_t pid;
    bool running;
    void (*on_exit)(void *arg, struct child *child, struct child_end end);
    void *arg;
};

static struct child_end end_of(int status)
{
    if (WIFSIGNALED(status))
        return (struct child_end){.status = -1, .signal = WTERMSIG(status)};
    return (struct child_end){.status = WEXITSTATUS(status)};
}

static void stop_watching(struct child *child)
{
    loop_uv_close((uv_handle_t *)child->watch);
    child->watch = NULL;
}

static void on_sigchld(uv_signal_t *watch, int signal)
{
    (void)signal;
    struct child *child = watch->data;
    int status;
    if (!child->running || waitpid(child->pid, &status, WNOHANG) != child->pid)
        return; // another one's
    child->running = false;
    stop_watching(child);
    child->on_exit(child->arg, child, end_of(status));
}

static bool keep_open(const struct child_options *options)
{
    for (size_t i = 0; i < options->keep_count; i++)
        if (fcntl(options->keep[i], F_SETFD, 0))
            return false;
    return true;
}

/* In the child, between fork and exec: only what is safe there. Tells errno through report, or
 * never returns. */
static void become(const struct child_options *options, pid_t parent, int null, int log, int report)
{
    static const int ours[] = {SIGTERM, SIGINT, SIGCHLD, SIGPIPE, SIGHUP};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        signal(ours[i], SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); // the parent died before we asked to die with it
    setpgid(0, 0);
    sigset_t none;
    sigemptyset(&none);
    if (dup2(null, STDIN_FILENO) >= 0 &&
        (log < 0 || (dup2(log, STDOUT_FILENO) >= 0 && dup2(log, STDERR_FILENO) >= 0)) &&
        keep_open(options)) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvp(options->argv[0], (char *const *)options->argv);
    }
    int number = errno;
    ssize_t told = write(report, &number, sizeof number);
    (void)told;
    _exit(127);
}

/* Forks with every signal blocked: our handlers must not run in the child. */
static pid_t fork_blocked(const struct child_options *options, int null, int log, int report)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(options, parent, null, log, report);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return pid;
}

static err_t start_process(const struct child_options *options, pid_t *ret)
{
    SCOPED_FD null = env()->open("/dev/null", O_RDONLY | O_CLOEXEC, 0);
    SCOPED_FD log = -1;
    if (options->log &&
        (log = env()->open(options->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) < 0)
        return err_errno(errno, "cannot write the log '%s'", options->log);
    int ends[2];
    if (null < 0 || pipe2(ends, O_CLOEXEC))
        return err_errno(errno, "cannot start '%s'", options->argv[0]);
    SCOPED_FD reads = ends[0];
    pid_t pid = fork_blocked(options, null, log, ends[1]);
    int number = errno;
    close(ends[1]);
    if (pid < 0)
        return err_errno(number, "cannot start '%s'", options->argv[0]);
    ssize_t got;
    while ((got = read(reads, &number, sizeof number)) < 0 && errno == EINTR)
        ;
    if (got == sizeof number) { // the pipe closes without a word when exec succeeds
        waitpid(pid, NULL, 0);
        return err_errno(number, "cannot start '%s'", options->argv[0]);
    }
    *ret = pid;
    return OK;
}

err_t child_start(struct loop *loop, const struct child_options *options, struct child **ret)
{
    SCOPED(child) child = mem_new(sizeof *child);
    child->on_exit = options->on_exit;
    child->arg = options->arg;
    child->watch = mem_new(sizeof *child->watch);
    uv_signal_init(loop_uv(loop), child->watch);
    child->watch->data = child;
    int failed = uv_signal_start(child->watch, on_sigchld, SIGCHLD); // before it can end
    if (failed)
        return err_errno(-failed, "cannot start '%s'", options->argv[0]);
    TRY(start_process(options, &child->pid));
    child->running = true;
    *ret = STEAL(child);
    return OK;
}

void child_signal(struct child *child, int signal)
{
    if (child->running)
        kill(child->pid, signal); // not reaped yet, so the number is still its own
}

const char *child_end_text(struct child_end end, char ret[CHILD_END_TEXT])
{
    if (end.signal)
        snprintf(ret, CHILD_END_TEXT, "killed by signal %d (%s)", end.signal,
                 strsignal(end.signal));
    else
        snprintf(ret, CHILD_END_TEXT, "ended with status %d", end.status);
    return ret;
}

void child_free(struct child *child)
{
    if (!child)
        return;
    if (child->running) {
        kill(child->pid, SIGKILL);
        while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    stop_watching(child);
    free(child);
}
