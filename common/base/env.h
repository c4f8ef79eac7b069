/* The system behind one table: clock, disk and randomness. Libraries and daemons reach all three
 * through it and through nothing else, so a test can make each call fail.
 *
 *     if (env()->rename(aside, path))
 *         return err_errno(errno, "cannot rename '%s'", aside);
 *
 *     const struct env *before = env_replace(&broken);     -- a test's own table, usually a changed copy
 *     assert_err(ERR_UNAVAILABLE, "Input/output error", file_write(path, "x", 1));
 *     env_replace(before);
 *
 * A daemon never replaces the table. tests/lint/source.sh lists the files that call the system
 * directly, with the reason of each: pipes, a child after fork, memory without a name. Any
 * thread. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Disk calls behave as the system calls of the same meaning: -1 and errno on failure. */
struct env {
    int64_t (*monotonic_ns)(void);
    int64_t (*wall_ns)(void); // since 1970
    void (*sleep_ms)(int64_t ms);
    ssize_t (*random)(void *to, size_t len); // getrandom: fewer bytes than len count as a failure

    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *to, size_t len);
    ssize_t (*pread)(int fd, void *to, size_t len, off_t at);
    ssize_t (*write)(int fd, const void *from, size_t len);
    ssize_t (*pwrite)(int fd, const void *from, size_t len, off_t at);
    int (*sync)(int fd);      // fsync: a file or a directory
    int (*sync_data)(int fd); // fdatasync
    int (*truncate)(int fd, off_t len);
    int (*reserve)(int fd, off_t at, off_t len); // blocks behind the end, which stays where it is

    int (*rename)(const char *from, const char *to);
    int (*link)(const char *from, const char *to);
    int (*symlink)(const char *target, const char *path);
    int (*remove)(const char *path); // a file or an empty directory
    int (*make_directory)(const char *path, mode_t mode);
};

/* The table in force: the system's, until a test replaces it. */
const struct env *env(void);

/* Puts another table in force for the whole process and returns the one before. A table is borrowed
 * for as long as a thread may be inside one of its calls. */
const struct env *env_replace(const struct env *with);
