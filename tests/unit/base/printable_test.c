/* Text from outside, as terminals and logs may see it. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/printable.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void assert_shown(const char *text, const char *kept, const char *wanted)
{
    char *shown = printable_text(text, kept);
    assert_string_equal(shown, wanted);
    free(shown);
}

static void controls_are_spelt_out(void **)
{
    assert_shown("plain, gr\303\266n, \360\237\230\200", "",
                 "plain, gr\303\266n, \360\237\230\200");
    assert_shown("\033[2J\a\177\r", "", "\\x1b[2J\\x07\\x7f\\x0d");
    assert_shown("a\nb\tc\033", "\n\t", "a\nb\tc\\x1b");
    assert_shown("\302\233\342\200\256\342\201\246\342\200\250", "",
                 "\\u009b\\u202e\\u2066\\u2028");
    assert_shown("\377\300\257\355\240\200\364\220\200\200\303", "",
                 "\\xff\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80\\xc3");
    struct bytes all = {0};
    printable(&all, "a\0b", 3, "\n");
    assert_string_equal((char *)all.data, "a\\x00b");
    bytes_done(&all);
}

static void utf8_is_the_shortest_form(void **)
{
    assert_true(utf8_is(""));
    assert_true(utf8_is("a\303\266\342\202\254\360\237\230\200"));
    assert_false(utf8_is("\300\200"));
    assert_false(utf8_is("\340\200\200"));
    assert_false(utf8_is("\355\240\200"));
    assert_false(utf8_is("a\303"));
}

/* What went to standard error while fn ran; the caller's. */
static char *logged(const char *event, const char *text)
{
    char *path = testing_path(testing_directory(), "log");
    const int before = dup(STDERR_FILENO);
    const int file = open(path, O_RDWR | O_CREAT, 0600);
    dup2(file, STDERR_FILENO);
    log_info(event, "peer=%s", text);
    dup2(before, STDERR_FILENO);
    close(before);
    close(file);
    return file_text(path);
}

static void a_log_line_is_one_line_without_controls(void **)
{
    char *line = logged("came", "a\033[31m\nb\302\233\377");
    assert_non_null(strstr(line, "\"came\" peer=a\\x1b[31m b\\u009b\\xff\n"));
    free(line);
}

static void assert_put(const char *text, size_t len, const char *wanted)
{
    struct bytes all = {0};
    bytes_text(&all, "x");
    utf8_put(&all, text, len);
    assert_string_equal((char *)all.data, wanted);
    bytes_done(&all);
}

/* Tables 3-8 to 3-11 of the Unicode standard, and ends of texts. */
static void bytes_become_utf8(void **)
{
#define R "\357\277\275"
    assert_put("gr\303\266n \360\237\230\200\0", 10, "xgr\303\266n \360\237\230\200");
    assert_put("\300\257\340\200\277\360\201\202A", 9, "x" R R R R R R R R "A");
    assert_put("\355\240\200\355\277\277\355\257A", 9, "x" R R R R R R R R "A");
    assert_put("\364\221\222\223\377A\200\277B", 9, "x" R R R R R "A" R R "B");
    assert_put("\341\200\342\360\221\222\361\277A", 9, "x" R R R R "A");
    assert_put("a\342\202", 3, "xa" R);
    assert_put("\360\237\230", 3, "x" R);
    assert_put("\303", 1, "x" R);
    assert_put("", 0, "x");
}

TESTS(cmocka_unit_test(controls_are_spelt_out), cmocka_unit_test(utf8_is_the_shortest_form),
      cmocka_unit_test(bytes_become_utf8),
      cmocka_unit_test(a_log_line_is_one_line_without_controls))
