/* Modules of a backend, one for each way in which opening one can end: the build sets MODULE_ABI
 * and MODULE_FAILS. Those that open have their own copy of the CPU's ops; MODULE_CLASS is what they
 * say of their training, MODULE_ID, unless it is empty, of all their bits: another build. They say
 * that they lack MODULE_MISSING. */
#include "tensor/backend.h"
#include <stdio.h>

static err_t module_open(const struct backend_config *config, struct backend **ret)
{
    if (MODULE_FAILS)
        return err_new(ERR_UNAVAILABLE, "no device answers (threads=%d)", config->threads);
    TRY(backend_open("cpu", config, ret));
    (*ret)->training.repeats = MODULE_CLASS;
    if (*MODULE_ID) {
        snprintf((*ret)->forward.id, NUMERICS_ID_MAX, "%s", MODULE_ID);
        snprintf((*ret)->training.id, NUMERICS_ID_MAX, "%s", MODULE_ID);
    }
    return OK;
}

static const char *module_missing(void)
{
    return MODULE_MISSING;
}

extern const struct backend_module rlhfd_backend_module;
const struct backend_module rlhfd_backend_module = {
    .abi = MODULE_ABI, .open = module_open, .missing = module_missing};
