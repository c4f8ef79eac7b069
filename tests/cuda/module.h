/* The backend's module with the emulator in it, for tests of ops.
 *
 *     SCOPED(backend) be = cuda_module_open();
 *
 * RLHFD_BACKEND names it, as ctest sets it; else the plain one. Each opening under
 * cuda_module_seed() has that schedule of the emulator. */
#pragma once
#include "tensor/backend.h"
#include "testing/testing.h"
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
