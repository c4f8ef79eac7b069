#include "svc/run_lock.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { ENDING_MS = 10000, POLL_MS = 20, HOLDERS_BYTES = 512, NAME_BYTES = 65 };
static const char handed_down[] = "RLHFD_RUN_LOCK"; // the descriptor's number

struct run_lock {
    int fd;
};

static int inherited = -1;

void run_lock_inherit(void)
{
    const char *text = getenv(handed_down);
    if (!text)
        return;
    long fd = strtol(text, NULL, 10);
    struct stat status;
    if (fd > STDERR_FILENO && fd < 1 << 20 && fstat((int)fd, &status) == 0 &&
        S_ISREG(status.st_mode) && fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0)
        inherited = (int)fd;
    unsetenv(handed_down);
}

int run_lock_hand_down(const struct run_lock *lock)
{
    char text[16];
    snprintf(text, sizeof text, "%d", lock->fd);
    setenv(handed_down, text, 1);
    return lock->fd;
}

/* ---- who holds it */

struct holder {
    long pid;
    char host[NAME_BYTES], program[NAME_BYTES];
};

static void own_host(char ret[NAME_BYTES])
{
    memset(ret, 0, NAME_BYTES);
    if (gethostname(ret, NAME_BYTES - 1) || !*ret)
        snprintf(ret, NAME_BYTES, "localhost");
}

static bool is_zombie(long pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    SCOPED_FD fd = env()->open(path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t got = fd < 0 ? -1 : env()->read(fd, text, sizeof text - 1);
    if (got <= 0)
        return false;
    text[got] = 0;
    const char *after = strrchr(text, ')');
    return after && strncmp(after, ") Z", 3) == 0;
}

/* A process of another host counts as living: nobody here can tell. */
static bool lives(const struct holder *holder)
{
    char host[NAME_BYTES];
    own_host(host);
    if (strcmp(host, holder->host) != 0)
        return true;
    return (kill((pid_t)holder->pid, 0) == 0 || errno == EPERM) && !is_zombie(holder->pid);
}

/* Lines of the lock's file: the process that took it, and the learner that inherited it. */
static int read_holders(int fd, struct holder ret[2])
{
    char text[HOLDERS_BYTES];
    ssize_t got = env()->pread(fd, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = 0;
    int count = 0;
    for (char *rest = text, *line; count < 2 && (line = strsep(&rest, "\n"));)
        if (sscanf(line, "%ld %64s %64[^\n]", &ret[count].pid, ret[count].host,
                   ret[count].program) == 3 &&
            ret[count].pid > 1)
            count++;
    return count;
}

static err_t in_use(const char *run, int fd)
{
    struct holder holder[2];
    int count = read_holders(fd, holder), at = 0;
    while (at < count && !lives(&holder[at]))
        at++;
    if (at == count)
        return err_new(ERR_EXISTS,
                       "run '%s' is in use: '%s/lock' is held by a process that its owner started; "
                       "end it first (`fuser %s/lock` finds it), or give another --run",
                       run, run, run);
    return err_new(
        ERR_EXISTS,
        "run '%s' is in use by %s, process %ld on %s: end it first (kill -TERM %ld drains "
        "it), or give another --run",
        run, holder[at].program, holder[at].pid, holder[at].host, holder[at].pid);
}

/* ---- taking it */

/* What an owner that has gone had started may still be ending. */
static bool may_end_soon(int fd)
{
    struct holder holder[2];
    return read_holders(fd, holder) > 0 && !lives(&holder[0]);
}

static err_t lock_file(int fd, const char *run)
{
    for (int64_t until = clock_ms() + ENDING_MS; flock(fd, LOCK_EX | LOCK_NB);
         clock_sleep_ms(POLL_MS)) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(errno, "cannot lock '%s/lock'", run);
        if (clock_ms() > until || !may_end_soon(fd))
            return in_use(run, fd);
    }
    return OK;
}

/* A lock that somebody removed between open and flock excludes nobody: it is taken again at its
 * path. */
static err_t open_locked(const char *path, const char *run, int *ret)
{
    for (;;) {
        SCOPED_FD fd = env()->open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0)
            return err_errno(errno, "cannot open '%s'", path);
        TRY(lock_file(fd, run));
        if (!file_is_at(fd, path))
            continue;
        *ret = fd;
        fd = -1;
        return OK;
    }
}

/* The owner's line stays above that of a learner which inherited the lock. */
static err_t write_holder(int fd, const char *path, bool owner, const char *program)
{
    char text[HOLDERS_BYTES] = "", host[NAME_BYTES];
    ssize_t got = owner ? 0 : env()->pread(fd, text, sizeof text - 1, 0);
    const char *end = got > 0 ? memchr(text, '\n', (size_t)got) : NULL;
    off_t at = end ? end - text + 1 : 0;
    own_host(host);
    SCOPED_MEM char *line = mem_printf("%d %s %s\n", getpid(), host, program);
    if (env()->truncate(fd, at) || lseek(fd, at, SEEK_SET) < 0)
        return err_errno(errno, "cannot write '%s'", path);
    return file_put(fd, path, line, strlen(line));
}

err_t run_lock_take(const char *run, const char *program, struct run_lock **ret)
{
    SCOPED_MEM char *path = file_join(run, "lock");
    bool handed = inherited >= 0 && file_is_at(inherited, path);
    SCOPED_FD fd = handed ? inherited : -1;
    if (handed)
        TRY(lock_file(fd, run)); // of the same description: held already
    else
        TRY(open_locked(path, run, &fd));
    TRY(write_holder(fd, path, !handed, program));
    struct run_lock *lock = mem_new(sizeof *lock);
    lock->fd = fd;
    fd = -1;
    *ret = lock;
    return OK;
}

void run_lock_free(struct run_lock *lock)
{
    if (!lock)
        return;
    close(lock->fd); // not unlocked: who inherited the description still holds it
    mem_free(lock);
}
