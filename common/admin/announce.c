#include "admin/announce.h"
#include "base/env.h"
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

/* EXISTS: a living process has announced itself at path. */
static err_t must_be_free(const char *path)
{
    SCOPED_FD fd = env()->open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return errno == ENOENT ? OK : err_errno(errno, "cannot open '%s'", path);
    return flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK ? taken(path) : OK;
}

static err_t write_text(int fd, const char *aside, const char *path, const char *text)
{
    if (env()->truncate(fd, 0))
        return err_errno(errno, "cannot empty '%s'", aside);
    TRY(file_put(fd, aside, text, strlen(text)));
    if (env()->sync(fd))
        return err_errno(errno, "cannot sync '%s'", aside);
    if (env()->rename(aside, path))
        return err_errno(errno, "cannot rename '%s'", aside);
    return OK;
}

/* The file aside is locked before the one at path is looked at: of two daemons that start at once,
 * one is refused. */
static err_t write_locked(int fd, const char *aside, const char *path, const char *text)
{
    if (flock(fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? taken(path) : err_errno(errno, "cannot lock '%s'", aside);
    if (!file_is_at(fd, aside))
        return taken(path); // by one that has just started
    err_t failed = must_be_free(path);
    if (!err_failed(failed))
        failed = write_text(fd, aside, path, text);
    if (err_failed(failed))
        env()->remove(aside);
    return failed;
}

err_t announce_write(const char *path, const char *text, int *ret_fd)
{
    SCOPED_MEM char *aside = mem_printf("%s.tmp", path);
    SCOPED_FD fd = env()->open(aside, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_errno(errno, "cannot create '%s'", aside);
    TRY(write_locked(fd, aside, path, text));
    *ret_fd = fd;
    fd = -1;
    return OK;
}
