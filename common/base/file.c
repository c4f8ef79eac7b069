#include "base/file.h"
#include "base/env.h"
#include "base/heartbeat.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static ssize_t read_some(int fd, void *to, size_t len)
{
    ssize_t got;
    do
        got = env()->read(fd, to, len);
    while (got < 0 && errno == EINTR);
    return got;
}

err_t file_read(const char *path, size_t max_bytes, struct bytes *ret)
{
    SCOPED_FD fd = env()->open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(errno, "cannot open '%s'", path);
    struct stat status;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
        return err_new(ERR_INVALID, "'%s' is a directory", path);
    SCOPED_VALUE(bytes) all = {0};
    for (;;) {
        enum { CHUNK = 1 << 16 };
        uint8_t *to = bytes_extend(&all, CHUNK);
        const ssize_t got = read_some(fd, to, CHUNK);
        if (got < 0)
            return err_errno(errno, "cannot read '%s'", path);
        all.len -= CHUNK - (size_t)got;
        if (all.len > max_bytes)
            return err_new(ERR_RANGE, "'%s' is longer than the %zu bytes allowed", path, max_bytes);
        if (got == 0)
            break;
    }
    bytes_put(ret, all.data, all.len);
    return OK;
}

err_t file_digest(const char *path, struct digest *ret)
{
    enum { CHUNK = 1 << 18 };
    SCOPED_FD fd = env()->open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(errno, "cannot open '%s'", path);
    SCOPED_MEM uint8_t *piece = mem_array(CHUNK, 1);
    struct hash *hash = hash_begin();
    ssize_t got;
    while ((got = read_some(fd, piece, CHUNK)) > 0)
        hash_put(hash, piece, (size_t)got);
    const int failed = got < 0 ? errno : 0;
    const struct digest digest = hash_end(hash);
    if (failed)
        return err_errno(failed, "cannot read '%s'", path);
    *ret = digest;
    return OK;
}

/* A call that writes nothing without an error would be repeated for ever: the disk counts as
 * full. */
err_t file_put(int fd, const char *path, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        const ssize_t wrote = env()->write(fd, (const char *)data + done, len - done);
        heartbeat_step();
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0)
            return err_errno(wrote ? errno : ENOSPC, "cannot write '%s'", path);
        done += (size_t)wrote;
    }
    return OK;
}

err_t file_get(int fd, const char *path, uint64_t at, void *to, size_t len, size_t *ret)
{
    for (*ret = 0; *ret < len;) {
        const ssize_t got = env()->pread(fd, (char *)to + *ret, len - *ret, (off_t)(at + *ret));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(errno, "cannot read '%s'", path);
        if (got == 0)
            break;
        *ret += (size_t)got;
    }
    return OK;
}

err_t file_sync_parent(const char *path)
{
    SCOPED_MEM char *directory = mem_string(path);
    char *slash = strrchr(directory, '/');
    if (!slash)
        return file_sync_directory(".");
    *(slash == directory ? slash + 1 : slash) = 0;
    return file_sync_directory(directory);
}

err_t file_write(const char *path, const void *data, size_t len)
{
    return file_write_parts(path, &(struct file_part){.data = data, .len = len}, 1);
}

static err_t write_part(int fd, const char *path, const struct file_part *part)
{
    enum { PIECE = 1 << 20 };
    if (!part->read)
        return file_put(fd, path, part->data, part->len);
    SCOPED_MEM uint8_t *piece = mem_array(PIECE, 1);
    for (size_t at = 0; at < part->len; at += PIECE) {
        const size_t len = part->len - at < PIECE ? part->len - at : PIECE;
        TRY(part->read(part->arg, at, len, piece));
        TRY(file_put(fd, path, piece, len));
    }
    return OK;
}

static err_t write_parts(const char *path, const struct file_part *parts, size_t count, mode_t mode)
{
    SCOPED_MEM char *aside = mem_printf("%s.tmp", path);
    SCOPED_FD fd = env()->open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(errno, "cannot create '%s'", aside);
    err_t failed = OK;
    for (size_t i = 0; i < count && !err_failed(failed); i++)
        failed = write_part(fd, aside, &parts[i]);
    if (!err_failed(failed) && env()->sync(fd))
        failed = err_errno(errno, "cannot sync '%s'", aside);
    if (!err_failed(failed) && env()->rename(aside, path))
        failed = err_errno(errno, "cannot rename '%s'", aside);
    if (err_failed(failed)) {
        env()->remove(aside);
        return failed;
    }
    return file_sync_parent(path);
}

err_t file_write_parts(const char *path, const struct file_part *parts, size_t count)
{
    return write_parts(path, parts, count, 0644);
}

/* A file that a process left aside when it died may be open to all. */
err_t file_write_private(const char *path, const void *data, size_t len)
{
    SCOPED_MEM char *aside = mem_printf("%s.tmp", path);
    if (env()->remove(aside) && errno != ENOENT)
        return err_errno(errno, "cannot remove '%s'", aside);
    return write_parts(path, &(struct file_part){.data = data, .len = len}, 1, 0600);
}

err_t file_sync_directory(const char *path)
{
    SCOPED_FD fd = env()->open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0 || env()->sync(fd))
        return err_errno(errno, "cannot sync directory '%s'", path);
    return OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

err_t file_names(const char *directory, struct file_names *ret)
{
    SCOPED_VALUE(file_names) names = {0};
    const int fd = env()->open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing) {
        err_t failed = err_errno(errno, "cannot list '%s'", directory);
        if (fd >= 0)
            close(fd);
        return failed;
    }
    errno = 0;
    for (struct dirent *entry; (entry = readdir(listing)); errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        names.at = mem_grow(names.at, names.count + 1, sizeof *names.at);
        names.at[names.count++] = mem_string(entry->d_name);
    }
    const int number = errno;
    closedir(listing);
    if (number)
        return err_errno(number, "cannot list '%s'", directory);
    if (names.count)
        qsort(names.at, names.count, sizeof *names.at, by_name);
    *ret = names;
    names = (struct file_names){0};
    return OK;
}

void file_names_done(struct file_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->at[i]);
    mem_free(names->at);
    *names = (struct file_names){0};
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool file_is_unchanged(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool file_is_at(int fd, const char *path)
{
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

err_t file_make_directories(const char *path)
{
    SCOPED_MEM char *partial = mem_string(path);
    for (char *p = partial + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (env()->make_directory(partial, 0755) && errno != EEXIST)
            return err_errno(errno, "cannot make directory '%s'", partial);
        *p = '/';
    }
    if (env()->make_directory(partial, 0755) && errno != EEXIST)
        return err_errno(errno, "cannot make directory '%s'", partial);
    return OK;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status, (void)type, (void)walk;
    return env()->remove(path);
}

err_t file_remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return err_errno(errno, "cannot remove '%s'", path);
    return OK;
}

err_t file_copy(const char *from, const char *to)
{
    SCOPED_VALUE(bytes) all = {0};
    TRY(file_read(from, SIZE_MAX, &all));
    return file_write(to, all.data, all.len);
}

char *file_join(const char *directory, const char *name)
{
    return *name == '/' || !*directory ? mem_string(name) : mem_printf("%s/%s", directory, name);
}
