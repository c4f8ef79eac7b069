/* Calls of the runtime that the module under test has made.
 *
 *     const struct cuda_emu_calls before = calls();
 *     ...
 *     assert_int_equal(calls().memory, before.memory); */
#pragma once
#include "cuda/module.h"
#include "cuda_emu_count.h"
#include <dlfcn.h>

static inline struct cuda_emu_calls calls(void)
{
    const char *path = getenv("RLHFD_BACKEND");
    void *module = dlopen(path ? path : TEST_BIN "/librlhfd_cuda_emu.so", RTLD_NOW | RTLD_NOLOAD);
    void (*ask)(struct cuda_emu_calls *) = NULL;
    struct cuda_emu_calls ret;
    assert_non_null(module);
    *(void **)&ask = dlsym(module, "cuda_emu_calls");
    assert_non_null(ask);
    ask(&ret);
    dlclose(module);
    return ret;
}
