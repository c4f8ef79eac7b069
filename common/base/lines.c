#include "base/lines.h"
#include "base/env.h"
#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct lines {
    int fd;
    char *path;
};

err_t lines_open(const char *path, struct lines **ret)
{
    SCOPED(lines) lines = mem_new(sizeof *lines);
    lines->path = mem_string(path);
    lines->fd = env()->open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (lines->fd < 0)
        return err_errno(errno, "cannot open '%s'", path);
    *ret = STEAL(lines);
    return OK;
}

const char *lines_path(const struct lines *lines)
{
    return lines->path;
}

err_t lines_put(struct lines *lines, const char *text)
{
    struct stat before;
    SCOPED_MEM char *line = mem_printf("%s\n", text);
    if (fstat(lines->fd, &before))
        return err_errno(errno, "cannot write '%s'", lines->path);
    err_t failed = file_put(lines->fd, lines->path, line, strlen(line));
    if (err_failed(failed))
        (void)env()->truncate(lines->fd, before.st_size); // the first error counts
    return failed;
}

err_t lines_sync(struct lines *lines)
{
    if (env()->sync_data(lines->fd))
        return err_errno(errno, "cannot sync '%s'", lines->path);
    return OK;
}

void lines_free(struct lines *lines)
{
    if (!lines)
        return;
    if (lines->fd >= 0)
        close(lines->fd);
    mem_free(lines->path);
    mem_free(lines);
}
