/* Files read whole and written so that a reader sees the old or the new one, never half.
 *
 *     TRY(file_write(path, text, len));
 *
 *     SCOPED_VALUE(file_names) names = {0};
 *     TRY(file_names(directory, &names));              -- names.at[0] is the first by name
 *
 * All I/O goes through base/env.h. Any thread. */
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

/* Writes path.tmp beside it, fsyncs, renames over path, fsyncs the directory. After an error path
 * holds the old file; the new one if the directory's sync alone failed. */
err_t file_write(const char *path, const void *data, size_t len);
/* The same, and none but its owner may read it: keys. */
err_t file_write_private(const char *path, const void *data, size_t len);

/* The same from parts, one after the other. */
struct file_part {
    const void *data; // NULL: read gives it
    size_t len;
    /* Bytes [at, at + len) of the part into ret; called in order, some at a time. */
    err_t (*read)(void *arg, size_t at, size_t len, void *ret);
    void *arg;
};
err_t file_write_parts(const char *path, const struct file_part *parts, size_t count);

/* Writes all bytes at the descriptor's position; path is for the message. After an error some of
 * them may be there. */
err_t file_put(int fd, const char *path, const void *data, size_t len);

/* Reads up to len bytes from offset at; path is for the message. *ret: how many, fewer only where
 * the file ends. */
err_t file_get(int fd, const char *path, uint64_t at, void *to, size_t len, size_t *ret);

err_t file_sync_directory(const char *path);
err_t file_sync_parent(const char *path); // the directory that holds path

/* Names in a directory in ascending order, without "." and "..". NOT_FOUND: there is none. */
struct file_names {
    char **at;
    size_t count;
};
err_t file_names(const char *directory, struct file_names *ret);
void file_names_done(struct file_names *names);

bool file_exists(const char *path);
/* Whether a file is as it was: the same one, its size, mode and times. */
struct stat;
bool file_is_unchanged(const struct stat *a, const struct stat *b);

bool file_is_at(int fd, const char *path);                // whether path names the open file
err_t file_make_directories(const char *path);            // like mkdir -p
err_t file_remove_tree(const char *path);                 // like rm -r; a missing path is OK
err_t file_copy(const char *from, const char *to);        // by file_write
char *file_join(const char *directory, const char *name); // owned; an absolute name stays as it is
