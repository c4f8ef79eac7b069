#include "learner/fence.h"
#include "testing/testing.h"
#include <stdio.h>

static void the_newest_incarnation_of_a_name_stays(void **)
{
    uint64_t newest = 0;
    SCOPED(fence) fence = fence_new();
    assert_true(fence_admit(fence, "a", 5, &newest));
    assert_true(fence_admit(fence, "a", 5, &newest)); // another stream
    assert_true(fence_admit(fence, "b", 3, &newest));
    assert_false(fence_admit(fence, "a", 4, &newest));
    assert_int_equal(newest, 5);
    assert_true(fence_admit(fence, "a", 6, &newest));
    assert_false(fence_admit(fence, "a", 5, &newest));
    assert_true(fence_admit(fence, "b", 3, &newest));
}

/* Names without end, from hosts that come and go: those heard of last are remembered. */
static void old_names_are_forgotten(void **)
{
    uint64_t newest = 0;
    SCOPED(fence) fence = fence_new();
    for (int i = 0; i < 10000; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", i);
        assert_true(fence_admit(fence, name, 7, &newest));
        assert_true(fence_admit(fence, "stays", 9, &newest));
    }
    assert_false(fence_admit(fence, "stays", 8, &newest));
    assert_false(fence_admit(fence, "g9999", 6, &newest));
    assert_true(fence_admit(fence, "g0", 6, &newest));
}

TESTS(cmocka_unit_test(the_newest_incarnation_of_a_name_stays),
      cmocka_unit_test(old_names_are_forgotten))
