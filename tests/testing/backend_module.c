/* Modules of a backend, one for each way in which opening one can end: the build sets MODULE_ABI
 * and MODULE_FAILS. Those that open have their own copy of the CPU's ops; MODULE_CLASS is what they
 * say of their training. */
#include "tensor/backend.h"

static err_t module_open(const struct backend_config *config, struct backend **ret)
{
    if (MODULE_FAILS)
        return err_new(ERR_UNAVAILABLE, "no device answers (threads=%d)", config->threads);
    TRY(backend_open("cpu", config, ret));
    (*ret)->training.repeats = MODULE_CLASS;
    return OK;
}

extern const struct backend_module rlhfd_backend_module;
const struct backend_module rlhfd_backend_module = {.abi = MODULE_ABI, .open = module_open};
