/* A line that a peer or data can cause is written a few times a minute, and says how many were left
 * out. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void a_limit_admits_a_burst_a_minute(void **)
{
    struct log_limit limit = {0};
    uint64_t left_out = 9;
    int written = 0;
    for (int i = 0; i < 1000; i++)
        written += log_limit_admits(&limit, 3, 1000 + i, &left_out);
    assert_int_equal(written, 3);
    assert_false(log_limit_admits(&limit, 3, 60999, &left_out));
    assert_true(log_limit_admits(&limit, 3, 61000, &left_out));
    assert_int_equal(left_out, 998);
    assert_true(log_limit_admits(&limit, 3, 61001, &left_out));
    assert_int_equal(left_out, 0);
    assert_true(log_limit_admits(&limit, 3, 500000, &left_out));
    assert_int_equal(left_out, 0); // fewer than the burst came
}

/* Standard error goes to a file meanwhile. */
static char *logged(void (*fn)(void))
{
    const char *path = testing_path(testing_directory(), "log");
    int old = dup(STDERR_FILENO), file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(old >= 0 && file >= 0 && dup2(file, STDERR_FILENO) >= 0);
    fn();
    assert_true(dup2(old, STDERR_FILENO) >= 0);
    close(old);
    close(file);
    return file_text(path);
}

static void say_often(void)
{
    for (int i = 0; i < 500; i++)
        log_limited(LOG_WARNING, 2, "group rejected", "slot=%d why=\"%s\"", i, "a\nb");
    log_limited(LOG_WARNING, 2, "another place", "%s", "");
}

static void a_storm_is_a_few_lines(void **)
{
    SCOPED_MEM char *text = logged(say_often);
    size_t lines = 0;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 3);
    assert_non_null(strstr(text, "\"group rejected\" slot=1 why=\"a b\"\n"));
    assert_non_null(strstr(text, "\"another place\"\n"));
}

TESTS(cmocka_unit_test(a_limit_admits_a_burst_a_minute), cmocka_unit_test(a_storm_is_a_few_lines))
