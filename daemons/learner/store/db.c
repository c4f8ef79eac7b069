#include "learner/store/db.h"
#include "base/file.h"
#include "base/mem.h"
#include <rocksdb/c.h>
#include <string.h>

struct db {
    char *dir;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *family[DB_FAMILIES];
    rocksdb_options_t *options, *family_options[DB_FAMILIES];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *durable;
    rocksdb_writebatch_t *batch;
};

struct db_cursor {
    rocksdb_iterator_t *at;
    bool started;
};

/* Sizes: groups are the bulk; 32 KiB blocks and no bloom filters, as they are read once or
 * twice. */
static const struct {
    const char *name;
    size_t write_buffer_bytes, block_bytes;
} families[DB_FAMILIES] = {
    [DB_META] = {"default", 1 << 20, 4 << 10},    [DB_SLOTS] = {"slots", 8 << 20, 4 << 10},
    [DB_GROUPS] = {"groups", 16 << 20, 32 << 10}, [DB_ROUNDS] = {"rounds", 8 << 20, 16 << 10},
    [DB_GONE] = {"gone", 8 << 20, 4 << 10},       [DB_CHANGES] = {"changes", 1 << 20, 4 << 10},
};
enum { CACHE_BYTES = 32 << 20, WAL_BYTES = 64 << 20, LOG_WARN = 2, LOG_FILES = 2, READ_TRIES = 10 };

/* The C API tells codes only by the message's beginning. */
static enum err_code code_of(const char *message)
{
    if (strstr(message, "No space left"))
        return ERR_EXHAUSTED;
    if (!strncmp(message, "Corruption", 10))
        return ERR_DATA_LOSS;
    if (strstr(message, "Permission denied"))
        return ERR_DENIED;
    return ERR_UNAVAILABLE;
}

/* Takes RocksDB's message, if there is one, and turns it into an error. */
static err_t result(const struct db *db, char *message, const char *doing)
{
    if (!message)
        return OK;
    for (char *p = message; (p = strchr(p, '\n'));)
        *p = p[1] ? ' ' : 0; // an error is one line
    err_t e = err_new(code_of(message), "store '%s': %s: %s", db->dir, doing, message);
    rocksdb_free(message);
    return e;
}

static rocksdb_options_t *family_options(struct db *db, enum db_family family)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, db->cache);
    rocksdb_block_based_options_set_block_size(table, families[family].block_bytes);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_write_buffer_size(options, families[family].write_buffer_bytes);
    rocksdb_options_set_compression(options, family == DB_GROUPS ? rocksdb_lz4_compression
                                                                 : rocksdb_no_compression);
    return options;
}

static rocksdb_options_t *database_options(void)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_point_in_time_recovery);
    rocksdb_options_set_max_total_wal_size(options, WAL_BYTES);
    rocksdb_options_set_bytes_per_sync(options, 1 << 20);
    rocksdb_options_set_info_log_level(options, LOG_WARN);
    rocksdb_options_set_keep_log_file_num(options, LOG_FILES);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    return options;
}

static err_t open_error(const struct db *db, char *message)
{
    if (strstr(message, "lock")) {
        rocksdb_free(message);
        return err_new(ERR_UNAVAILABLE,
                       "store '%s': another process has it open: stop that one first", db->dir);
    }
    if (strstr(message, "Column family not found")) { // killed while it was being made
        rocksdb_free(message);
        return err_new(ERR_NOT_FOUND, "store '%s': it was never completely made", db->dir);
    }
    return result(db, message, "open");
}

/* Beside a process that writes, files that were listed may be gone when they are opened: then they are listed again. */
static char *try_open(struct db *db, bool read_only, const char *const *names,
                      const rocksdb_options_t *const *options)
{
    char *message = NULL;
    for (int i = 0; i < READ_TRIES; i++) {
        if (read_only)
            db->db = rocksdb_open_for_read_only_column_families(
                db->options, db->dir, DB_FAMILIES, names, options, db->family, 0, &message);
        else
            db->db = rocksdb_open_column_families(db->options, db->dir, DB_FAMILIES, names, options,
                                                  db->family, &message);
        if (!message || !read_only || !strstr(message, "No such file") || i + 1 == READ_TRIES)
            break;
        rocksdb_free(message);
        message = NULL;
    }
    return message;
}

err_t db_open(const char *dir, bool read_only, struct db **ret)
{
    SCOPED(db) db = mem_new(sizeof *db);
    db->dir = mem_string(dir);
    SCOPED_MEM char *current = file_join(dir, "CURRENT");
    if (read_only && !file_exists(current))
        return err_new(ERR_NOT_FOUND, "store '%s': there is none", dir);
    if (!read_only)
        TRY(file_make_directories(dir));
    db->cache = rocksdb_cache_create_lru(CACHE_BYTES);
    db->options = database_options();
    const char *names[DB_FAMILIES];
    for (int i = 0; i < DB_FAMILIES; i++) {
        names[i] = families[i].name;
        db->family_options[i] = family_options(db, (enum db_family)i);
    }
    const rocksdb_options_t *const *options = (const rocksdb_options_t *const *)db->family_options;
    char *message = try_open(db, read_only, names, options);
    if (message)
        return open_error(db, message);
    db->read = rocksdb_readoptions_create();
    db->durable = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(db->durable, 1);
    db->batch = rocksdb_writebatch_create();
    *ret = STEAL(db);
    return OK;
}

void db_free(struct db *db)
{
    if (!db)
        return;
    if (db->db) {
        for (int i = 0; i < DB_FAMILIES; i++)
            rocksdb_column_family_handle_destroy(db->family[i]);
        rocksdb_close(db->db);
    }
    for (int i = 0; i < DB_FAMILIES; i++)
        if (db->family_options[i])
            rocksdb_options_destroy(db->family_options[i]);
    if (db->options)
        rocksdb_options_destroy(db->options);
    if (db->cache)
        rocksdb_cache_destroy(db->cache);
    if (db->read)
        rocksdb_readoptions_destroy(db->read);
    if (db->durable)
        rocksdb_writeoptions_destroy(db->durable);
    if (db->batch)
        rocksdb_writebatch_destroy(db->batch);
    free(db->dir);
    free(db);
}

err_t db_get(struct db *db, enum db_family family, const void *key, size_t len, struct bytes *ret,
             bool *ret_found)
{
    char *message = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned_cf(db->db, db->read, db->family[family], key, len, &message);
    TRY(result(db, message, "read"));
    *ret_found = slice != NULL;
    if (!slice)
        return OK;
    size_t value_len;
    const char *value = rocksdb_pinnableslice_value(slice, &value_len);
    bytes_put(ret, value, value_len);
    rocksdb_pinnableslice_destroy(slice);
    return OK;
}

void db_put(struct db *db, enum db_family family, const void *key, size_t len, const void *value,
            size_t value_len)
{
    rocksdb_writebatch_put_cf(db->batch, db->family[family], key, len, value, value_len);
}

void db_delete_range(struct db *db, enum db_family family, const void *from, const void *below,
                     size_t len)
{
    rocksdb_writebatch_delete_range_cf(db->batch, db->family[family], from, len, below, len);
}

err_t db_commit(struct db *db)
{
    if (!rocksdb_writebatch_count(db->batch))
        return OK;
    char *message = NULL;
    rocksdb_write(db->db, db->durable, db->batch, &message);
    rocksdb_writebatch_clear(db->batch);
    return result(db, message, "write");
}

err_t db_drop_files(struct db *db, enum db_family family, const void *from, const void *below,
                    size_t len)
{
    char *message = NULL;
    rocksdb_delete_file_in_range_cf(db->db, db->family[family], from, len, below, len, &message);
    return result(db, message, "drop files");
}

void db_seek(struct db *db, enum db_family family, const void *from, size_t len,
             struct db_cursor **ret)
{
    struct db_cursor *cursor = mem_new(sizeof *cursor);
    cursor->at = rocksdb_create_iterator_cf(db->db, db->read, db->family[family]);
    rocksdb_iter_seek(cursor->at, from, len);
    *ret = cursor;
}

bool db_next(struct db_cursor *cursor, struct db_row *ret)
{
    if (cursor->started && rocksdb_iter_valid(cursor->at))
        rocksdb_iter_next(cursor->at);
    cursor->started = true;
    if (!rocksdb_iter_valid(cursor->at))
        return false;
    ret->key = (const uint8_t *)rocksdb_iter_key(cursor->at, &ret->key_len);
    ret->value = (const uint8_t *)rocksdb_iter_value(cursor->at, &ret->value_len);
    return true;
}

err_t db_cursor_error(struct db_cursor *cursor)
{
    char *message = NULL;
    rocksdb_iter_get_error(cursor->at, &message);
    if (!message)
        return OK;
    err_t e = err_new(code_of(message), "store: scan: %s", message);
    rocksdb_free(message);
    return e;
}

void db_cursor_free(struct db_cursor *cursor)
{
    if (!cursor)
        return;
    rocksdb_iter_destroy(cursor->at);
    free(cursor);
}
