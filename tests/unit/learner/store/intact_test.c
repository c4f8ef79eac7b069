/* Logs that are damaged are told from logs that end torn, and one flipped bit is put right: every
 * bit of every log. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "learner/store/db.h"
#include "learner/store/intact.h"
#include "learner/store/logfile.h"
#include "learner/store/mark.h"
#include "testing/testing.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 5, LONG = 40000 }; // one is longer than a block of the log

static char *store_dir(void)
{
    return file_join(testing_directory(), "store");
}

/* Opened twice, so that there are tables, too; its newest log has all batches. */
static char *make_store(void)
{
    char *dir = store_dir();
    char *value = mem_array(LONG, 1);
    for (int begun = 0; begun < 2; begun++) {
        SCOPED(db) db = NULL;
        assert_ok(db_open(dir, false, &db));
        for (uint8_t i = 0; i < BATCHES; i++) {
            db_put(db, DB_META, &i, 1, value, i == 2 ? LONG : 10);
            db_put(db, DB_SLOTS, &i, 1, "x", 1);
            assert_ok(db_commit(db));
        }
    }
    free(value);
    return dir;
}

/* The newest file with this beginning or ending; the caller's. */
static char *newest(const char *dir, const char *beginning, const char *ending)
{
    char *found = NULL;
    DIR *listing = opendir(dir);
    for (struct dirent *entry; (entry = readdir(listing));) {
        const size_t len = strlen(entry->d_name);
        if (strncmp(entry->d_name, beginning, strlen(beginning)) == 0 && len > strlen(ending) &&
            strcmp(entry->d_name + len - strlen(ending), ending) == 0 &&
            (!found || strcmp(entry->d_name, strrchr(found, '/') + 1) > 0)) {
            mem_free(found);
            found = file_join(dir, entry->d_name);
        }
    }
    closedir(listing);
    assert_non_null(found);
    return found;
}

static void put_byte(const char *path, size_t at, uint8_t byte)
{
    SCOPED_FILE file = fopen(path, "r+e");
    assert_true(file && fseek(file, (long)at, SEEK_SET) == 0 && fputc(byte, file) != EOF);
}

/* What a start would say, from the logs alone. */
static bool is_refused(const char *dir)
{
    uint64_t last, mark;
    err_t failed = intact_check(dir, &last);
    const bool damaged = err_failed(failed);
    err_free(failed);
    assert_ok(mark_read(dir, &mark));
    return damaged || last < mark;
}

static void every_bit_of_a_write_ahead_log_counts(void **)
{
    SCOPED_MEM char *dir = make_store();
    SCOPED_MEM char *path = newest(dir, "", ".log");
    SCOPED_VALUE(bytes) all = {0};
    assert_ok(file_read(path, 1 << 20, &all));
    assert_false(is_refused(dir));
    int looked = 0;
    for (size_t at = 0; at<all.len; at += at> 400 && at + 400 < all.len ? 97 : 1)
        for (int bit = 0; bit < 8; bit++, looked++) {
            put_byte(path, at, (uint8_t)(all.data[at] ^ 1 << bit));
            const bool filler = at >= 32768 - 6 && at < 32768;
            if (!filler && !is_refused(dir))
                fail_msg("byte %zu bit %d is not seen", at, bit);
            put_byte(path, at, all.data[at]);
        }
    assert_true(looked > 6000);
}

static void every_bit_of_a_log_is_put_right(void **)
{
    SCOPED_MEM char *dir = make_store();
    SCOPED_MEM char *wal = newest(dir, "", ".log");
    SCOPED_MEM char *manifest = newest(dir, "MANIFEST-", "");
    const char *const paths[] = {wal, manifest};
    for (size_t i = 0; i < 2; i++) {
        SCOPED_VALUE(bytes) all = {0};
        assert_ok(file_read(paths[i], 1 << 20, &all));
        for (size_t at = 0, n = 0; at < all.len; at += 1 + all.len / 60, n++) {
            SCOPED_VALUE(bytes) now = {0};
            int bits = 0;
            put_byte(paths[i], at, (uint8_t)(all.data[at] ^ 1 << n % 8));
            assert_true(is_refused(dir));
            assert_ok(intact_mend(dir, false, NULL, &bits));
            assert_true(bits == 1 && is_refused(dir));
            assert_ok(intact_mend(dir, true, NULL, &bits));
            assert_int_equal(bits, 1);
            assert_ok(file_read(paths[i], 1 << 20, &now));
            assert_memory_equal(now.data, all.data, all.len);
        }
    }
}

/* Power fails while the last batch is written: it was not acknowledged, and the mark does not know
 * of it. */
static void a_torn_end_is_no_damage(void **)
{
    SCOPED_MEM char *dir = make_store();
    SCOPED_MEM char *path = newest(dir, "", ".log");
    SCOPED_VALUE(bytes) all = {0};
    uint64_t last;
    struct logfile log;
    assert_ok(file_read(path, 1 << 20, &all));
    assert_ok(logfile_scan(path, true, &log));
    assert_true(log.last == 2 * 2 * BATCHES && !log.torn && !log.damage);
    SCOPED(mark) mark = NULL;
    assert_ok(mark_open(dir, &mark));
    for (size_t len = all.len - 1; len > all.len - 30; len--) {
        assert_ok(file_write(path, all.data, len));
        mark_set(mark, log.last); // it was on disk: then it is damage
        assert_true(is_refused(dir));
        mark_set(mark, log.last - 2);
        assert_ok(intact_check(dir, &last));
        assert_int_equal(last, log.last - 2);
    }
    memset(all.data + all.len - 20, 0, 20); // the file's size had reached the disk, but not its end
    assert_ok(file_write(path, all.data, all.len));
    assert_false(is_refused(dir));
    SCOPED(db) db = NULL;
    SCOPED_VALUE(bytes) value = {0};
    bool found = false;
    assert_ok(db_open(dir, false, &db));
    assert_ok(db_get(db, DB_SLOTS, "\3", 1, &value, &found));
    assert_true(found);
}

/* A log, a table's worth of them, or the file that leads to them. */
static void what_is_missing_is_seen(void **)
{
    static const char *const beginnings[] = {"", "CURREN", "MANIFEST-", ""}, *const endings[] = {
                                                                                 ".log", "T", "",
                                                                                 ".sst"};
    for (size_t i = 0; i < 4; i++) {
        SCOPED_MEM char *dir = make_store();
        SCOPED_MEM char *path = newest(dir, beginnings[i], endings[i]);
        SCOPED(db) db = NULL;
        assert_int_equal(remove(path), 0);
        err_t failed = db_open(dir, false, &db);
        assert_int_equal(err_code(failed), ERR_DATA_LOSS);
        err_free(failed);
    }
}

static void damage_is_not_told_as_a_lock(void **)
{
    SCOPED_MEM char *dir = make_store();
    SCOPED_MEM char *path = newest(dir, "", ".sst");
    SCOPED(db) db = NULL;
    SCOPED(db) other = NULL;
    put_byte(path, 3, 0x5a);
    err_t failed = db_open(dir, false, &db); // the values may be read only later
    if (!err_failed(failed))
        failed = db_verify(db);
    assert_err(ERR_DATA_LOSS, ".sst", failed);
    db_free(STEAL(db));
    SCOPED_MEM char *whole = make_store();
    assert_ok(db_open(whole, false, &db));
    assert_err(ERR_UNAVAILABLE, "another process has it open", db_open(whole, false, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bit_of_a_write_ahead_log_counts),
        cmocka_unit_test(every_bit_of_a_log_is_put_right),
        cmocka_unit_test(a_torn_end_is_no_damage),
        cmocka_unit_test(what_is_missing_is_seen),
        cmocka_unit_test(damage_is_not_told_as_a_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
