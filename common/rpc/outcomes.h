/* How calls ended, as metrics: rlhfd_rpc_served_total and rlhfd_rpc_called_total, by gRPC's code.
 *
 *     outcomes_register();
 *     outcomes_count(true, ERR_NONE);        -- a call that was served well
 *
 * Any thread; outcomes_register: before the first call. */
#pragma once
#include "base/err.h"
#include <stdbool.h>

void outcomes_register(void);
void outcomes_count(bool served, enum err_code code);
