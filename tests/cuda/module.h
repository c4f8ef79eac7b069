/* The backend's module with the emulator in it, for tests of ops.
 *
 *     SCOPED(backend) be = cuda_module_open();
 *
 * RLHFD_BACKEND names it, as ctest sets it; else the plain one. Each opening under
 * cuda_module_seed() has that schedule of the emulator, behind cuda_module_device() that device. */
#pragma once
#include "tensor/backend.h"
#include "testing/testing.h"
#include <dlfcn.h>
#include <stdlib.h>

static inline void cuda_module_seed(const char *seed)
{
    setenv("CUDA_EMU_SEED", seed, 1);
}

static inline struct backend *cuda_module_open(void)
{
    struct backend *be = NULL;
    const char *path = getenv("RLHFD_BACKEND");
    assert_ok(backend_open(path && *path ? path : TEST_BIN "/librlhfd_cuda_emu.so",
                           &(struct backend_config){.threads = 1}, &be));
    return be;
}

/* The emulator is in the module: it is asked there. */
static inline void cuda_module_device(int sm)
{
    const char *path = getenv("RLHFD_BACKEND");
    void *module = dlopen(path ? path : TEST_BIN "/librlhfd_cuda_emu.so", RTLD_NOW | RTLD_LOCAL);
    void (*choose)(int) = NULL;
    assert_non_null(module);
    *(void **)&choose = dlsym(module, "cuda_emu_sm");
    assert_non_null(choose);
    choose(sm);
}
