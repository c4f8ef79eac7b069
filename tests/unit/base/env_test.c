/* Clock, disk and randomness fail one call at a time. Whatever fails, a file holds its old text or
 * its new one, and the error is one line that names the file and the cause. */
#include "base/clock.h"
#include "base/env.h"
#include "base/file.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "testing/fault.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *cause_of(const struct fault_walk *walk)
{
    return strerror(walk->fault.error);
}

/* ---- the seam itself */

static int64_t stopped_ns(void)
{
    return 5000000000;
}

static void the_table_is_replaced_and_put_back(void **)
{
    const struct env *before = env();
    struct env own = *before;
    own.monotonic_ns = own.wall_ns = stopped_ns;
    assert_ptr_equal(env_replace(&own), before);
    assert_int_equal(clock_ms(), 5000);
    assert_int_equal(clock_wall_ms(), 5000);
    assert_near(clock_s(), 5, 0);
    assert_ptr_equal(env_replace(before), &own);
    assert_true(clock_wall_ms() > 1000000);
}

static void clocks_jump(void **)
{
    enum { HOUR_MS = 3600000 };
    fault_begin();
    const int64_t monotonic = clock_ms(), wall = clock_wall_ms();
    fault_clock(HOUR_MS, -HOUR_MS);
    assert_true(clock_ms() - monotonic >= HOUR_MS && clock_ms() - monotonic < HOUR_MS + 60000);
    assert_true(clock_wall_ms() < wall - HOUR_MS + 60000);
    fault_clock(0, 2 * HOUR_MS);
    assert_true(clock_wall_ms() >= wall + HOUR_MS);
    fault_end();
    assert_true(clock_ms() < monotonic + HOUR_MS);
}

/* ---- randomness */

static int interrupted;

static ssize_t draw_slowly(void *to, size_t len)
{
    errno = EINTR;
    if (interrupted++ < 3)
        return -1;
    memset(to, interrupted < 5 ? 0 : 7, len); // 0 is no nonce
    return (ssize_t)len;
}

static void a_nonce_is_drawn_or_refused(void **)
{
    uint64_t nonce = 0;
    fault_begin();
    fault_set(&(struct fault){.call = FAULT_RANDOM, .nth = 1, .error = ENOSYS, .lasting = true});
    fault_error_assert(rng_nonce(&nonce), "cannot draw a random number", strerror(ENOSYS));
    assert_int_equal(nonce, 0);
    fault_end();
    struct env slow = *env();
    slow.random = draw_slowly;
    const struct env *before = env_replace(&slow);
    err_t failed = rng_nonce(&nonce);
    env_replace(before);
    assert_ok(failed);
    assert_true(nonce == 0x0707070707070707);
}

/* ---- files */

static bool holds(const char *path, const char *wanted)
{
    SCOPED_MEM char *text = file_text(path);
    return strcmp(text, wanted) == 0;
}

static void a_file_is_old_or_new(void **)
{
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "file");
    SCOPED_MEM char *aside = mem_printf("%s.tmp", path);
    struct fault_row row = {.place = "a file written whole"};
    struct fault_walk walk = {.path = directory};
    fault_begin();
    while (fault_next(&walk)) {
        fault_set(NULL);
        assert_ok(file_write(path, "old", 3));
        fault_set(&walk.fault);
        err_t failed = file_write(path, "newer", 5);
        if (!fault_stop(&walk)) {
            assert_ok(failed);
            continue;
        }
        const bool old = holds(path, "old");
        assert_true(old || holds(path, "newer"));
        fault_note(&row, walk.fault.call, old ? FAULT_OLD : FAULT_NEW);
        fault_error_assert(failed, directory, cause_of(&walk));
        assert_false(file_exists(aside));
    }
    fault_end();
    assert_true(walk.points > 10);
    fault_row_assert(&row);
}

static void a_line_is_whole_or_not_there(void **)
{
    SCOPED_MEM char *path = file_join(testing_directory(), "metrics.jsonl");
    struct fault_walk walk = {.path = "metrics.jsonl"};
    struct fault_row row = {.place = "a line of `metrics.jsonl`, `evals.jsonl`"};
    fault_begin();
    while (fault_next(&walk)) {
        SCOPED(lines) lines = NULL;
        unlink(path);
        err_t failed = lines_open(path, &lines);
        if (!err_failed(failed))
            failed = lines_put(lines, "{\"round\":0}");
        if (!err_failed(failed))
            failed = lines_sync(lines);
        if (!fault_stop(&walk)) {
            assert_ok(failed);
            continue;
        }
        const bool old = holds(path, "");
        assert_true(old || holds(path, "{\"round\":0}\n"));
        fault_note(&row, walk.fault.call, old ? FAULT_OLD : FAULT_NEW);
        fault_error_assert(failed, path, cause_of(&walk));
    }
    fault_end();
    assert_true(walk.points >= 5);
    fault_row_assert(&row);
}

static void reading_goes_on_after_a_signal_and_names_what_fails(void **)
{
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "file");
    SCOPED_VALUE(bytes) all = {0};
    SCOPED_VALUE(file_names) names = {0};
    struct digest digest;
    assert_ok(file_write(path, "text", 4));
    fault_begin();
    fault_set(&(struct fault){.call = FAULT_READ, .path = path, .nth = 2, .error = EINTR});
    assert_ok(file_read(path, 4, &all));
    assert_int_equal(all.len, 4);
    fault_set(&(struct fault){.call = FAULT_READ, .path = path, .nth = 2, .error = EIO});
    fault_error_assert(file_read(path, 4, &all), path, strerror(EIO));
    fault_set(&(struct fault){.call = FAULT_READ, .path = path, .nth = 3, .error = EIO});
    fault_error_assert(file_digest(path, &digest), path, strerror(EIO));
    fault_set(&(struct fault){.call = FAULT_READ, .path = directory, .nth = 1, .error = EMFILE});
    fault_error_assert(file_names(directory, &names), directory, strerror(EMFILE));
    assert_int_equal(all.len, 4);
    fault_end();
    assert_ok(file_names(directory, &names));
    assert_int_equal(names.count, 1);
    assert_string_equal(names.at[0], "file");
}

/* ---- the log */

enum { LINES = 60, MAX_BYTES = 1024 };

/* In a process of its own, as its standard error becomes the file. Returns whether the fault was
 * reached. */
static bool log_lines(const char *path, const struct fault *fault)
{
    const pid_t pid = fork();
    if (pid == 0) {
        err_t failed = log_to(path, MAX_BYTES, LINES);
        fault_begin();
        fault_set(fault);
        for (int i = 0; i < LINES; i++)
            log_info("line", "number=%d end", i);
        _exit(err_failed(failed) ? 2 : fault_hit());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
    return WEXITSTATUS(status);
}

/* Over the file and those that it became. */
static int lines_found(const char *directory)
{
    SCOPED_VALUE(file_names) names = {0};
    int found = 0;
    assert_ok(file_names(directory, &names));
    for (size_t i = 0; i < names.count; i++) {
        SCOPED_MEM char *path = file_join(directory, names.at[i]);
        SCOPED_MEM char *text = file_text(path);
        for (const char *at = text; (at = strstr(at, " end\n")); at++)
            found++;
    }
    return found;
}

/* A write that fails loses its line. Whatever else fails, each line is in one of the files. */
static void a_log_that_cannot_begin_anew_goes_on(void **)
{
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_RENAME, FAULT_REMOVE};
    const char *directory = testing_directory();
    SCOPED_MEM char *path = file_join(directory, "log");
    for (size_t c = 0; c < sizeof calls / sizeof *calls; c++)
        for (int lasting = 0; lasting < 2; lasting++)
            for (uint64_t nth = 1;; nth++) {
                const struct fault fault = {calls[c], path, nth, EIO, false, lasting};
                assert_ok(file_remove_tree(directory));
                assert_ok(file_make_directories(directory));
                const bool reached = log_lines(path, &fault);
                if (lines_found(directory) != LINES)
                    fail_msg("%d of %d lines after %s %d, lasting %d", lines_found(directory),
                             LINES, fault_name(calls[c]), (int)nth, lasting);
                if (!reached)
                    break;
            }
}

TESTS(cmocka_unit_test(the_table_is_replaced_and_put_back), cmocka_unit_test(clocks_jump),
      cmocka_unit_test(a_nonce_is_drawn_or_refused), cmocka_unit_test(a_file_is_old_or_new),
      cmocka_unit_test(a_line_is_whole_or_not_there),
      cmocka_unit_test(reading_goes_on_after_a_signal_and_names_what_fails),
      cmocka_unit_test(a_log_that_cannot_begin_anew_goes_on))
