/* Modules of a backend, one for each way in which opening one can end: the build sets MODULE_ABI
 * and MODULE_FAILS. The whole one has its own copy of the CPU's ops. */
#include "tensor/backend.h"

static err_t module_open(const struct backend_config *config, struct backend **ret)
{
    if (MODULE_FAILS)
        return err_new(ERR_UNAVAILABLE, "no device answers (threads=%d)", config->threads);
    return backend_open("cpu", config, ret);
}

extern const struct backend_module rlhfd_backend_module;
const struct backend_module rlhfd_backend_module = {.abi = MODULE_ABI, .open = module_open};
