/* Tests of the files that tests/real/prepare made below build/real; without those they skip.
 *
 *     const char *directory = real_path("smollm2");        -- freed when the process ends
 *     REAL_TESTS(cmocka_unit_test(...))                     -- main: exit status 77 without the files
 */
#pragma once
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "testing/testing.h"
#include <stdio.h>

static inline char *real_path(const char *name)
{
    return testing_path(TEST_REAL, name);
}

/* prepare writes `made` last. */
static inline int real_absent(void)
{
    if (file_exists(TEST_REAL "/made"))
        return 0;
    printf("skipped: %s is absent; ./dev test real makes it\n", TEST_REAL);
    return 77;
}

/* An array of whole numbers; owned by the caller. */
static inline int32_t *real_ids(const json_t *array, int *ret_count)
{
    const size_t count = json_array_size(array);
    int32_t *ids = mem_array(count + 1, sizeof *ids);
    for (size_t i = 0; i < count; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(array, i));
    *ret_count = (int)count;
    return ids;
}

#define REAL_TESTS(...)                                                                            \
    int main(void)                                                                                 \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        const int absent = real_absent();                                                          \
        return absent ? absent : cmocka_run_group_tests(tests, NULL, NULL);                        \
    }
