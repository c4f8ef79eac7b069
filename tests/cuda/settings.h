/* The emulator's settings, each for a run of a group of tests.
 *
 *     TESTS_UNDER_EACH_SETTING(cmocka_unit_test(sums), ...)      -- instead of TESTS
 *
 * A device reads none of them, and runs its tests once. */
#pragma once
#include "testing/testing.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct emu_setting {
    const char *sm, *mma; // CUDA_EMU_SM, CUDA_EMU_MMA
} emu_settings[] = {{"90", "exact"}, {"90", "chain"}, {"80", "truncate"}};

static inline int under_each_setting(int (*run)(void))
{
    const char *module = getenv("RLHFD_BACKEND");
    const bool emulated = !module || strstr(module, "cuda_emu");
    int failed = 0;
    for (size_t i = 0; i < (emulated ? sizeof emu_settings / sizeof *emu_settings : 1); i++) {
        if (emulated) {
            printf("sm_%s, products rounded: %s\n", emu_settings[i].sm, emu_settings[i].mma);
            setenv("CUDA_EMU_SM", emu_settings[i].sm, 1);
            setenv("CUDA_EMU_MMA", emu_settings[i].mma, 1);
        }
        failed += run();
    }
    return failed;
}

#define TESTS_UNDER_EACH_SETTING(...)                                                              \
    static int run_group(void)                                                                     \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }                                                                                              \
    int main(void)                                                                                 \
    {                                                                                              \
        return under_each_setting(run_group);                                                      \
    }
