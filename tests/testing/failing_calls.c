/* Takes the place of libc's disk calls and fails them by the rules of fault.h, RocksDB's too.
 *
 * Linked into a test it does what fault_set says. As a library for LD_PRELOAD it reads its fault
 * from the file $FAULT_PLAN (fault_parse) whenever that is written, and adds the milliseconds in
 * the file $FAULT_CLOCK to the wall clock. The monotonic clock stays the kernel's: threads wait by
 * it there. */
#include "testing/fault.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* ---- files that say what to do */

/* The text of a file that has changed since the last look; NULL: it has not, or there is none. */
static const char *news(const char *variable, _Atomic int64_t *seen_ns, char text[256])
{
    struct stat file;
    const char *path = getenv(variable);
    if (!path || syscall(SYS_newfstatat, AT_FDCWD, path, &file, 0))
        return NULL;
    const int64_t changed_ns = file.st_mtim.tv_sec * 1000000000LL + file.st_mtim.tv_nsec;
    if (atomic_exchange(seen_ns, changed_ns) == changed_ns)
        return NULL;
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    const ssize_t got = fd < 0 ? -1 : syscall(SYS_read, fd, text, 255);
    if (fd >= 0)
        syscall(SYS_close, fd);
    text[got > 0 ? got : 0] = 0;
    return got > 0 ? text : NULL;
}

static void look_at_plan(void)
{
    static _Atomic int64_t seen_ns;
    char text[256], path[128];
    struct fault fault;
    if (news("FAULT_PLAN", &seen_ns, text) && fault_parse(text, &fault, path))
        fault_set(&fault);
}

static bool fails(enum fault_call call, const char *path, int fd, size_t *len)
{
    const int kept = errno;
    int error;
    look_at_plan();
    while ((error = fault_decide(call, path, fd, len)) == FAULT_STUCK) {
        syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 10000000},
                NULL);
        look_at_plan();
    }
    errno = error ? error : kept;
    return error;
}

/* ---- libc's calls */

static int open_at(const char *path, int flags, mode_t mode)
{
    const bool reads = (flags & O_ACCMODE) == O_RDONLY;
    if (fails(reads ? FAULT_READ : FAULT_OPEN, path, -1, NULL))
        return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_at(path, flags, mode);
}

ssize_t write(int fd, const void *from, size_t len)
{
    return fails(FAULT_WRITE, NULL, fd, &len) ? -1 : syscall(SYS_write, fd, from, len);
}

ssize_t pwrite(int fd, const void *from, size_t len, off_t at)
{
    return fails(FAULT_WRITE, NULL, fd, &len) ? -1 : syscall(SYS_pwrite64, fd, from, len, at);
}

ssize_t pread(int fd, void *to, size_t len, off_t at)
{
    return fails(FAULT_READ, NULL, fd, NULL) ? -1 : syscall(SYS_pread64, fd, to, len, at);
}

int fsync(int fd)
{
    return fails(FAULT_SYNC, NULL, fd, NULL) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return fails(FAULT_SYNC, NULL, fd, NULL) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t len)
{
    return fails(FAULT_TRUNCATE, NULL, fd, NULL) ? -1 : (int)syscall(SYS_ftruncate, fd, len);
}

int rename(const char *from, const char *to)
{
    return fails(FAULT_RENAME, from, -1, NULL) ? -1 : (int)syscall(SYS_rename, from, to);
}

int link(const char *from, const char *to)
{
    return fails(FAULT_LINK, to, -1, NULL) ? -1 : (int)syscall(SYS_link, from, to);
}

int unlink(const char *path)
{
    return fails(FAULT_REMOVE, path, -1, NULL) ? -1 : (int)syscall(SYS_unlink, path);
}

int mkdir(const char *path, mode_t mode)
{
    return fails(FAULT_DIRECTORY, path, -1, NULL) ? -1 : (int)syscall(SYS_mkdir, path, mode);
}

/* ---- the wall clock */

static int64_t added_ms(void)
{
    static _Atomic int64_t seen_ns, added;
    char text[256];
    const int kept = errno;
    if (news("FAULT_CLOCK", &seen_ns, text))
        added = strtoll(text, NULL, 10);
    errno = kept;
    return added;
}

int clock_gettime(clockid_t which, struct timespec *ret)
{
    const int failed = (int)syscall(SYS_clock_gettime, which, ret);
    if (!failed && which == CLOCK_REALTIME) {
        const int64_t ns = ret->tv_sec * 1000000000LL + ret->tv_nsec + added_ms() * 1000000;
        *ret = (struct timespec){ns / 1000000000, ns % 1000000000};
    }
    return failed;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *ret = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}
