#include "learner/store/db.h"
#include "base/file.h"
#include "base/mem.h"
#include "learner/store/intact.h"
#include "learner/store/mark.h"
#include "svc/svc.h"
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
    struct mark *mark; // NULL: opened to read
};

struct db_cursor {
    rocksdb_iterator_t *at;
    bool started;
};

/* Sizes: groups are the bulk; 32 KiB blocks and no bloom filters, as they are read once or twice,
 * and no compression: tokens and log-probabilities hardly shrink. Large write buffers for them, so
 * that few files wait to be merged; levels, as only what is below the first can be dropped as whole
 * files. */
static const struct {
    const char *name;
    size_t write_buffer_bytes, block_bytes;
} families[DB_FAMILIES] = {
    [DB_META] = {"default", 1 << 20, 4 << 10},    [DB_SLOTS] = {"slots", 8 << 20, 4 << 10},
    [DB_GROUPS] = {"groups", 32 << 20, 32 << 10}, [DB_ROUNDS] = {"rounds", 8 << 20, 16 << 10},
    [DB_GONE] = {"gone", 8 << 20, 4 << 10},       [DB_CHANGES] = {"changes", 1 << 20, 4 << 10},
};
enum {
    CACHE_BYTES = 32 << 20,
    LEVEL_BYTES = 512 << 20,
    WAL_BYTES = 128 << 20,
    LOG_FILES = 1,
    LOG_NOTHING = 6, // above the highest level of RocksDB's own LOG, that of headings
    READ_TRIES = 10,
    READAHEAD_BYTES = 2 << 20
};

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
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    if (family == DB_GROUPS) {
        rocksdb_options_set_max_write_buffer_number(options, 4);
        rocksdb_options_set_max_bytes_for_level_base(options, LEVEL_BYTES);
        rocksdb_options_set_target_file_size_base(options, 2 * families[family].write_buffer_bytes);
    }
    return options;
}

/* RocksDB's own LOG stays empty. Once a line cannot be written, as on a full disk, Debian's build
 * fails an assertion at the next line and ends the process. */
static rocksdb_options_t *database_options(void)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_point_in_time_recovery);
    rocksdb_options_set_max_total_wal_size(options, WAL_BYTES);
    rocksdb_options_set_max_open_files(options, DB_OPEN_FILES);
    rocksdb_options_set_max_file_opening_threads(options, 1); // at every open, each time
    rocksdb_options_set_bytes_per_sync(options, 1 << 20);
    rocksdb_options_set_info_log_level(options, LOG_NOTHING);
    rocksdb_options_set_keep_log_file_num(options, LOG_FILES);
    rocksdb_options_set_stats_dump_period_sec(options, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    return options;
}

/* Said where the first of two attempts to open CURRENT failed and the second did not. */
static const char first_open_failed[] = "Direct I/O is not supported";

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Messages that an intact store never gives when it is opened. When RocksDB cannot open CURRENT it
 * suspects its options first, and says so as an invalid argument. */
static bool is_damage(const char *message)
{
    if (strstr(message, first_open_failed) || strstr(message, "incompatible with filesystem"))
        return false;
    return begins(message, "Corruption") || begins(message, "Invalid argument") ||
           begins(message, "Not implemented") || strstr(message, "No such file");
}

static err_t open_error(const struct db *db, char *message)
{
    if (strstr(message, "While lock file") || strstr(message, "lock hold by current process")) {
        rocksdb_free(message);
        return svc_in_use(err_new(ERR_UNAVAILABLE,
                                  "store '%s': another process has it open: stop that one first",
                                  db->dir));
    }
    if (strstr(message, "Column family not found")) { // killed while it was being made
        rocksdb_free(message);
        return err_new(ERR_NOT_FOUND, "store '%s': it was never completely made", db->dir);
    }
    const bool damage = is_damage(message);
    err_t e = result(db, message, "open");
    if (!damage || err_code(e) == ERR_DATA_LOSS)
        return e;
    err_t loss = err_new(ERR_DATA_LOSS, "%s", err_message(e));
    err_free(e);
    return loss;
}

/* Beside a process that writes, files that were listed may be gone when they are opened: then they
 * are listed again. */
static bool may_pass(const char *message, bool read_only)
{
    return (read_only && strstr(message, "No such file")) || strstr(message, first_open_failed);
}

static char *try_open(struct db *db, bool read_only)
{
    char *message = NULL;
    const char *names[DB_FAMILIES];
    const rocksdb_options_t *const *options = (const rocksdb_options_t *const *)db->family_options;
    for (int i = 0; i < DB_FAMILIES; i++)
        names[i] = families[i].name;
    for (int i = 0; i < READ_TRIES; i++) {
        if (read_only)
            db->db = rocksdb_open_for_read_only_column_families(
                db->options, db->dir, DB_FAMILIES, names, options, db->family, 0, &message);
        else
            db->db = rocksdb_open_column_families(db->options, db->dir, DB_FAMILIES, names, options,
                                                  db->family, &message);
        if (!message || !may_pass(message, read_only) || i + 1 == READ_TRIES)
            break;
        rocksdb_free(message);
        message = NULL;
    }
    return message;
}

/* The same of logs, which a writer may begin, end and remove meanwhile. */
static err_t check_logs(const char *dir, bool read_only, uint64_t *ret_last)
{
    err_t failed = intact_check(dir, ret_last);
    for (int i = 1; i < READ_TRIES && read_only && err_failed(failed); i++) {
        err_free(failed);
        failed = intact_check(dir, ret_last);
    }
    return err_wrap(failed, "store '%s'", dir);
}

/* What RocksDB passed over is missing at the end. */
static err_t check_mark(const struct db *db, uint64_t mark)
{
    const uint64_t last = rocksdb_get_latest_sequence_number(db->db);
    if (last >= mark)
        return OK;
    return err_reason(
        err_new(
            ERR_DATA_LOSS,
            "store '%s': its files end at entry %llu, but %llu were on disk: the end of its newest "
            "log (*.log) is damaged, or files are older than '%s/high-water'",
            db->dir, (unsigned long long)last, (unsigned long long)mark, db->dir),
        STORE_BEHIND);
}

static err_t open_checked(struct db *db, bool read_only, uint64_t mark)
{
    char *message = try_open(db, read_only);
    if (message)
        return open_error(db, message);
    return check_mark(db, mark);
}

static err_t new_db(const char *dir, bool read_only, struct db **ret)
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
    for (int i = 0; i < DB_FAMILIES; i++)
        db->family_options[i] = family_options(db, (enum db_family)i);
    db->read = rocksdb_readoptions_create();
    db->durable = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(db->durable, 1);
    db->batch = rocksdb_writebatch_create();
    *ret = STEAL(db);
    return OK;
}

/* Opening to write removes what recovery passed over: a log that ends early is first read without
 * that. */
static err_t look_first(const char *dir, uint64_t mark)
{
    SCOPED(db) reader = NULL;
    err_t failed = new_db(dir, true, &reader);
    if (!err_failed(failed))
        failed = open_checked(reader, true, mark);
    if (err_code(failed) != ERR_NOT_FOUND || mark)
        return failed;
    err_free(failed);
    return OK;
}

err_t db_open(const char *dir, bool read_only, struct db **ret)
{
    uint64_t mark, last;
    SCOPED(db) db = NULL;
    TRY(new_db(dir, read_only, &db));
    TRY(mark_read(dir, &mark));
    TRY(check_logs(dir, read_only, &last));
    if (!read_only && last < mark)
        TRY(look_first(dir, mark));
    TRY(open_checked(db, read_only, mark));
    if (!read_only)
        TRY(mark_open(dir, &db->mark));
    if (!read_only && !mark) // a file without a number counts as damaged
        mark_set(db->mark, rocksdb_get_latest_sequence_number(db->db));
    *ret = STEAL(db);
    return OK;
}

err_t db_open_rest(const char *dir, bool read_only, struct db **ret)
{
    SCOPED(db) db = NULL;
    TRY(new_db(dir, read_only, &db));
    TRY(open_checked(db, read_only, 0));
    if (!read_only) {
        TRY(mark_open(dir, &db->mark));
        mark_set(db->mark, rocksdb_get_latest_sequence_number(db->db));
    }
    *ret = STEAL(db);
    return OK;
}

/* Every block of every table: deleted ranges too, as a compaction reads them. */
err_t db_verify(struct db *db)
{
    rocksdb_readoptions_t *all = rocksdb_readoptions_create();
    rocksdb_readoptions_set_fill_cache(all, 0);
    rocksdb_readoptions_set_ignore_range_deletions(all, 1);
    rocksdb_readoptions_set_readahead_size(all, READAHEAD_BYTES);
    char *message = NULL;
    for (int i = 0; i < DB_FAMILIES && !message; i++) {
        rocksdb_iterator_t *at = rocksdb_create_iterator_cf(db->db, all, db->family[i]);
        for (rocksdb_iter_seek_to_first(at); rocksdb_iter_valid(at); rocksdb_iter_next(at))
            ;
        rocksdb_iter_get_error(at, &message);
        rocksdb_iter_destroy(at);
    }
    rocksdb_readoptions_destroy(all);
    return result(db, message, "read");
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
    mark_free(db->mark);
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

void db_put_parts(struct db *db, enum db_family family, const void *key, size_t len,
                  const void *const parts[2], const size_t sizes[2])
{
    const char *keys[1] = {key};
    rocksdb_writebatch_putv_cf(db->batch, db->family[family], 1, keys, &len, 2,
                               (const char *const *)parts, sizes);
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
    TRY(result(db, message, "write"));
    mark_set(db->mark, rocksdb_get_latest_sequence_number(db->db));
    return OK;
}

err_t db_copy(struct db *db, const char *dir)
{
    char *message = NULL;
    rocksdb_checkpoint_t *copy = rocksdb_checkpoint_object_create(db->db, &message);
    TRY(result(db, message, "copy"));
    rocksdb_checkpoint_create(copy, dir, 0, &message); // flushes: no write-ahead log to replay
    rocksdb_checkpoint_object_destroy(copy);
    return result(db, message, "copy");
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
