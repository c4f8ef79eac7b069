/* Lists of cores: what they mean, what is refused, and that a thread is bound to them. */
#include "base/cpus.h"
#include "testing/testing.h"
#include <stdio.h>
#include <string.h>

static void lists_are_read(void **state)
{
    (void)state;
    cpu_set_t set;
    assert_ok(cpus_parse("", &set));
    assert_int_equal(CPU_COUNT(&set), 0);
    assert_ok(cpus_parse("0-3,8,1", &set));
    assert_int_equal(CPU_COUNT(&set), 5);
    for (size_t core = 0; core < 10; core++)
        assert_int_equal(!!CPU_ISSET(core, &set), core < 4 || core == 8);
    assert_ok(cpus_parse("1023", &set));
    assert_true(CPU_ISSET(1023, &set));
}

static void bad_lists_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        ",",   "0,", "-1", "1-",  "3-1",  "1024",  "0-1024",
        "0 1", " 0", "a",  "0x1", "0,,1", "0-1-2", "99999999999999999999"};
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err_t e = cpus_parse(bad[i], &set);
        assert_int_equal(err_code(e), ERR_INVALID);
        assert_non_null(strstr(err_message(e), "allowed: numbers and ranges from 0 to 1023"));
        err_free(e);
        assert_int_equal(CPU_COUNT(&set), 0); // untouched
    }
}

static void a_core_that_is_not_there_is_refused(void **state)
{
    (void)state;
    cpu_set_t set, mine;
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    size_t missing = 0;
    while (missing < CPU_SETSIZE && CPU_ISSET(missing, &mine))
        missing++;
    if (missing == CPU_SETSIZE)
        skip();
    char text[32];
    snprintf(text, sizeof text, "%zu", missing);
    err_t e = cpus_usable(text, &set);
    assert_int_equal(err_code(e), ERR_INVALID);
    assert_non_null(strstr(err_message(e), "there is no core"));
    err_free(e);
    e = cpus_bind(text);
    assert_int_equal(err_code(e), ERR_INVALID);
    err_free(e);
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_true(CPU_EQUAL(&set, &mine));
}

/* Last: it binds this thread. */
static void a_thread_is_bound(void **state)
{
    (void)state;
    cpu_set_t set, mine;
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    assert_ok(cpus_bind(""));
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_true(CPU_EQUAL(&set, &mine));
    size_t last = CPU_SETSIZE;
    while (!CPU_ISSET(last - 1, &mine))
        last--;
    char text[32];
    snprintf(text, sizeof text, "%zu", last - 1);
    assert_ok(cpus_bind(text));
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    assert_int_equal(CPU_COUNT(&set), 1);
    assert_true(CPU_ISSET(last - 1, &set));
}

TESTS(cmocka_unit_test(lists_are_read), cmocka_unit_test(bad_lists_are_refused),
      cmocka_unit_test(a_core_that_is_not_there_is_refused), cmocka_unit_test(a_thread_is_bound))
