/* The module where it cannot open, and when its device fails: it says one line, by the code that
 * tells a daemon how to end. The environment is the emulator's. */
#include "base/mem.h"
#include "cuda/module.h"
#include "tensor/buffer.h"
#include <string.h>

static struct backend_config config = {.threads = 1};

static void assert_refused(enum err_code code, const char *says)
{
    struct backend *be = NULL;
    const char *path = getenv("RLHFD_BACKEND");
    err_t e = backend_open(path ? path : TEST_BIN "/librlhfd_cuda_emu.so", &config, &be);
    if (err_code(e) != code || !strstr(err_message(e), says) || strchr(err_message(e), '\n'))
        fail_msg("'%s' (%s), not '%s'", err_message(e), err_code_name(err_code(e)), says);
    assert_null(be);
    err_free(e);
}

static void a_machine_without_a_device(void **state)
{
    (void)state;
    setenv("CUDA_EMU_FAIL", "none", 1);
    assert_refused(ERR_NOT_FOUND, "there is no device: no CUDA-capable device is detected");
    setenv("CUDA_EMU_FAIL", "driver", 1);
    assert_refused(ERR_NOT_FOUND, "the driver is too old: it is of CUDA 11.4, and 12.8 is needed");
    setenv("CUDA_EMU_FAIL", "", 1);
}

static void a_device_that_is_not_there(void **state)
{
    (void)state;
    config.device = 3;
    assert_refused(ERR_INVALID, "device=3: this machine has 1, from 0 on");
    config.device = -1;
    assert_refused(ERR_INVALID, "device=-1");
    config.device = 0;
}

static void a_device_without_code(void **state)
{
    (void)state;
    setenv("CUDA_EMU_SM", "70", 1);
    assert_refused(ERR_NOT_FOUND, "device 0 is of compute capability 7.0: the module has code for");
    setenv("CUDA_EMU_SM", "120", 1);
    assert_refused(ERR_NOT_FOUND, "of compute capability 12.0");
    setenv("CUDA_EMU_SM", "", 1);
}

static void memory_that_does_not_suffice(void **state)
{
    (void)state;
    SCOPED_VALUE(buffer) a = {0}, b = {0};
    setenv("CUDA_EMU_MEMORY", "1000000", 1);
    assert_refused(ERR_EXHAUSTED,
                   "no memory for 4194304 bytes on device 0: 1000000 of its 1000000 are");
    setenv("CUDA_EMU_MEMORY", "16777216", 1);
    struct backend *be = cuda_module_open();
    assert_err(ERR_EXHAUSTED,
               "no memory for 16777216 bytes on device 0: ", buffer_alloc(be, 16777216, &a));
    assert_err(ERR_EXHAUSTED, " of its 16777216 are free", buffer_alloc(be, 16777216, &a));
    assert_ok(buffer_alloc(be, 1 << 20, &b)); // such an error does not stay
    assert_ok(be->ops->sync(be));
    buffer_done(&b);
    backend_free(be);
    setenv("CUDA_EMU_MEMORY", "", 1);
}

/* Whatever call it is that meets it, the next ones say so, too, and the end is a clean one. */
static void a_device_that_is_lost(void **state)
{
    (void)state;
    static const char says[] = "unspecified launch failure (cudaErrorLaunchFailure)";
    for (int call = 1; call < 60; call += call < 30 ? 1 : 7) {
        char text[32], bytes[64] = {0};
        struct backend *be = NULL;
        SCOPED_VALUE(buffer) a = {0};
        snprintf(text, sizeof text, "lost@%d", call);
        setenv("CUDA_EMU_FAIL", text, 1);
        const char *path = getenv("RLHFD_BACKEND");
        err_t e = backend_open(path ? path : TEST_BIN "/librlhfd_cuda_emu.so", &config, &be);
        if (!err_failed(e))
            e = buffer_alloc(be, sizeof bytes, &a);
        for (int i = 0; i < 100 && !err_failed(e); i++) {
            e = buffer_put(&a, 0, bytes, sizeof bytes);
            if (!err_failed(e))
                e = buffer_get(&a, 0, sizeof bytes, bytes);
        }
        if (err_code(e) != ERR_INTERNAL || !strstr(err_message(e), says))
            fail_msg("call %d: '%s' (%s)", call, err_message(e), err_code_name(err_code(e)));
        err_free(e);
        if (be)
            assert_err(ERR_INTERNAL, says, be->ops->sync(be));
        buffer_done(&a);
        backend_free(be);
    }
    setenv("CUDA_EMU_FAIL", "", 1);
}

TESTS(cmocka_unit_test(a_machine_without_a_device), cmocka_unit_test(a_device_that_is_not_there),
      cmocka_unit_test(a_device_without_code), cmocka_unit_test(memory_that_does_not_suffice),
      cmocka_unit_test(a_device_that_is_lost))
