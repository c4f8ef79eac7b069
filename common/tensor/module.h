/* Backends that are modules: shared objects, loaded at run time.
 *
 *     TRY(module_load("cuda", &module));              -- librlhfd_cuda.so beside the program
 *     TRY(module_suffices("cuda", module, trains));   -- UNIMPLEMENTED: it lacks an op
 *     TRY(module->open(config, &be));
 *
 * A module stays loaded: its ops are called as long as a backend of it lives. Any thread. */
#pragma once
#include "tensor/backend.h"

/* kind: a word or a path, as backend_open takes it, and with its errors. */
err_t module_load(const char *kind, const struct backend_module **ret);
/* trains: with the ops of training. */
err_t module_suffices(const char *kind, const struct backend_module *module, bool trains);
