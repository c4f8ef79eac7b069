/* The CPU backend's constructor, for backend_open and for backends that compute by the CPU's ops.
 *
 *     TRY(cpu_open(config, &be));       -- what backend_open("cpu", config, &be) does */
#pragma once
#include "tensor/backend.h"

err_t cpu_open(const struct backend_config *config, struct backend **ret);
