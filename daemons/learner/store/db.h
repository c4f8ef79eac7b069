/* RocksDB behind a plain face: six families of sorted keys, one pending batch, one fsync to write
 * it.
 *
 *     SCOPED(db) db = NULL;
 *     TRY(db_open("store", false, &db));
 *     db_put(db, DB_SLOTS, key, 8, value, len);
 *     TRY(db_commit(db));                        -- all of the batch is durable, or none
 *
 *     SCOPED(db_cursor) cursor = NULL;
 *     db_seek(db, DB_SLOTS, from, 8, &cursor);
 *     for (struct db_row row; db_next(cursor, &row);)
 *         use(row.key, row.value);               -- borrowed until the next db_next
 *     TRY(db_cursor_error(cursor));
 *
 * Reads do not see the pending batch. Owner: one thread. */
#pragma once
#include "base/bytes.h"
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most files that are open, logs apart. More files of a larger store are opened as they are
 * read. */
enum { DB_OPEN_FILES = 256 };

enum db_family { DB_META, DB_SLOTS, DB_GROUPS, DB_ROUNDS, DB_GONE, DB_CHANGES, DB_FAMILIES };
struct db;
struct db_cursor;

/* Read-only works beside a process that has it open. UNAVAILABLE: another process has it;
 * DATA_LOSS: damaged, or something that was durable is missing; nothing is changed then. NOT_FOUND:
 * read-only and not there. */
err_t db_open(const char *dir, bool read_only, struct db **ret);

/* Opens a store that db_open refuses, up to its first damaged batch. For writing, the rest is
 * gone. */
err_t db_open_rest(const char *dir, bool read_only, struct db **ret);

/* Reads all there is. DATA_LOSS: some of it is damaged. */
err_t db_verify(struct db *db);
void db_free(struct db *db);
DEFINE_SCOPED(db)

/* Appends the value to *ret. */
err_t db_get(struct db *db, enum db_family family, const void *key, size_t len, struct bytes *ret,
             bool *ret_found);

/* Into the pending batch. */
void db_put(struct db *db, enum db_family family, const void *key, size_t len, const void *value,
            size_t value_len);
/* The value in two parts, one after the other. */
void db_put_parts(struct db *db, enum db_family family, const void *key, size_t len,
                  const void *const parts[2], const size_t sizes[2]);
void db_delete_range(struct db *db, enum db_family family, const void *from, const void *below,
                     size_t len);

/* Writes the pending batch, with one fsync, and empties it. An empty one costs nothing. After an
 * error the database refuses writes until it is opened again, and the batch may or may not be there
 * then. */
err_t db_commit(struct db *db);

/* Copies all committed records into a new directory. Files are hard links where the file system
 * allows. Durable when it returns. */
err_t db_copy(struct db *db, const char *dir);

/* Gives whole files that hold nothing outside [from, below) back to the disk: after
 * db_delete_range. */
err_t db_drop_files(struct db *db, enum db_family family, const void *from, const void *below,
                    size_t len);

struct db_row {
    const uint8_t *key, *value;
    size_t key_len, value_len;
};
void db_seek(struct db *db, enum db_family family, const void *from, size_t len,
             struct db_cursor **ret);
bool db_next(struct db_cursor *cursor, struct db_row *ret); // false at the end or on an error
err_t db_cursor_error(struct db_cursor *cursor);
void db_cursor_free(struct db_cursor *cursor);
DEFINE_SCOPED(db_cursor)
