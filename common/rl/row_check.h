/* Whether the settings of terms of rows, and of objectives on them, make sense. Any thread. */
#pragma once
#include "base/err.h"
#include "rl/objective_config.h"

/* INVALID: the message names the field. */
err_t row_config_check(const struct objective_config *config);
