#include "base/gpus.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/testing.h"
#include <string.h>

static void assert_nth(const char *list, int64_t n, int device)
{
    int got = -1;
    assert_ok(gpus_nth(list, n, &got));
    assert_int_equal(got, device);
}

static void processes_take_turns(void **state)
{
    (void)state;
    assert_nth("0", 0, 0);
    assert_nth("0", 7, 0);
    assert_nth("3,1", 0, 3);
    assert_nth("3,1", 1, 1);
    assert_nth("3,1", 2, 3);
    assert_nth("0,1,2,1023", 3, 1023);
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      ",",
                                      "0,",
                                      ",1",
                                      "0,,1",
                                      "-1",
                                      "a",
                                      "0-3",
                                      "0, 1",
                                      " 0",
                                      "1024",
                                      "1.5",
                                      "99999999999999999999"};
    int device = -1;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_err(ERR_INVALID, "is no list of GPUs; allowed: at most 64 numbers from 0 to 1023",
                   gpus_nth(bad[i], 0, &device));
        assert_int_equal(device, -1);
    }
    SCOPED_MEM char *many = mem_string("0");
    for (int i = 1; i <= GPUS_MAX; i++) {
        char *longer = mem_printf("%s,%d", many, i);
        mem_free(many);
        many = longer;
        if (i < GPUS_MAX)
            assert_nth(many, i, i);
    }
    assert_err(ERR_INVALID, "at most 64", gpus_nth(many, 0, &device));
}

TESTS(cmocka_unit_test(processes_take_turns), cmocka_unit_test(what_is_no_list_is_refused))
