/* Files read whole and written so that a reader sees the old or the new one, never half. Any
 * thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>

/* Appends the whole file. RANGE: longer than max_bytes; NOT_FOUND, DENIED, UNAVAILABLE as the
 * system says. */
err_t file_read(const char *path, size_t max_bytes, struct bytes *ret);

/* hash128 of the whole file, read a piece at a time. */
err_t file_digest(const char *path, struct digest *ret);

/* Writes path.tmp beside it, fsyncs, renames over path, fsyncs the directory. On error path is as
 * it was. */
err_t file_write(const char *path, const void *data, size_t len);

/* The same from parts, one after the other. */
struct file_part {
    const void *data; // NULL: read gives it
    size_t len;
    /* Bytes [at, at + len) of the part into ret; called in order, some at a time. */
    err_t (*read)(void *arg, size_t at, size_t len, void *ret);
    void *arg;
};
err_t file_write_parts(const char *path, const struct file_part *parts, size_t count);

err_t file_sync_directory(const char *path);
bool file_exists(const char *path);
bool file_is_at(int fd, const char *path);                // whether path names the open file
err_t file_make_directories(const char *path);            // like mkdir -p
err_t file_remove_tree(const char *path);                 // like rm -r; a missing path is OK
err_t file_copy(const char *from, const char *to);        // by file_write
char *file_join(const char *directory, const char *name); // owned; an absolute name stays as it is
