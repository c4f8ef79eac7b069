#include "base/env.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MS_PER_S = 1000, NS_PER_MS = 1000000 };
static const int64_t NS_PER_S = 1000000000;

static int64_t now_ns(clockid_t which)
{
    struct timespec now;
    clock_gettime(which, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t system_monotonic_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

static int64_t system_wall_ns(void)
{
    return now_ns(CLOCK_REALTIME);
}

static void system_sleep_ms(int64_t ms)
{
    struct timespec left = {ms / MS_PER_S, ms % MS_PER_S * NS_PER_MS};
    while (nanosleep(&left, &left) && errno == EINTR)
        ;
}

static ssize_t system_random(void *to, size_t len)
{
    return getrandom(to, len, 0);
}

static int system_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static int system_reserve(int fd, off_t at, off_t len)
{
    return fallocate(fd, FALLOC_FL_KEEP_SIZE, at, len);
}

static const struct env system_env = {
    .monotonic_ns = system_monotonic_ns,
    .wall_ns = system_wall_ns,
    .sleep_ms = system_sleep_ms,
    .random = system_random,
    .open = system_open,
    .read = read,
    .pread = pread,
    .write = write,
    .pwrite = pwrite,
    .sync = fsync,
    .sync_data = fdatasync,
    .truncate = ftruncate,
    .reserve = system_reserve,
    .rename = rename,
    .link = link,
    .symlink = symlink,
    .remove = remove,
    .make_directory = mkdir,
};

static _Atomic(const struct env *) current = &system_env;

const struct env *env(void)
{
    return atomic_load_explicit(&current, memory_order_acquire);
}

const struct env *env_replace(const struct env *with)
{
    return atomic_exchange(&current, with);
}
