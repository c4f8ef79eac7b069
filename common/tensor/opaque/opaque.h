/* A backend that finds foreign accesses to a backend's memory. Its results are the CPU's, bit for
 * bit, but its addresses have no access rights. A read or write of tensor memory outside the
 * backend ends the process, as it would have no meaning with a device.
 *
 *     RLHFD_BACKEND=opaque ctest ...        -- every program and test that opens the default backend
 *
 * Owner: as every backend, one thread at a time. */
#pragma once
#include "tensor/backend.h"

/* backend_open("opaque", ...). */
err_t opaque_open(const struct backend_config *config, struct backend **ret);
