#include "rpc/announce.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static err_t taken(const char *path)
{
    return err_new(ERR_EXISTS,
                   "--announce '%s' is in use by a daemon that still runs (its pid stands there): "
                   "end it first, or give another path",
                   path);
}

/* Whether a living process has announced itself at path. */
static bool is_held(const char *path)
{
    SCOPED_FD fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
}

/* The file aside is locked before the one at path is looked at: of two daemons that start at once,
 * one is refused. */
static err_t write_locked(int fd, const char *aside, const char *path, const char *text)
{
    const ssize_t len = (ssize_t)strlen(text);
    if (flock(fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? taken(path) : err_errno(errno, "cannot lock '%s'", aside);
    if (!file_is_at(fd, aside))
        return taken(path); // by one that has just started
    if (is_held(path)) {
        unlink(aside);
        return taken(path);
    }
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)len, 0) != len || fsync(fd) ||
        rename(aside, path)) {
        const int number = errno;
        unlink(aside);
        return err_errno(number, "cannot write '%s'", path);
    }
    return OK;
}

err_t announce_write(const char *path, const char *text, int *ret_fd)
{
    SCOPED_MEM char *aside = mem_printf("%s.tmp", path);
    SCOPED_FD fd = open(aside, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(errno, "cannot create '%s'", aside);
    TRY(write_locked(fd, aside, path, text));
    *ret_fd = fd;
    fd = -1;
    return OK;
}
