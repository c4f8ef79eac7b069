/* Checks and needs of losses on pairs, labels, lists and residuals. Any thread.
 *
 *     TRY(preference_check(&config));                  -- a setting makes no sense
 *     needs |= preference_needs(&config);              -- columns, beside those that the row names */
#pragma once
#include "base/err.h"
#include "rl/objective_config.h"
#include <stdint.h>

/* INVALID: the message names the field. */
err_t preference_check(const struct objective_config *config);

/* Beside COLUMN_MISMATCHED_REFERENCE objective_grad needs COLUMN_MISMATCHED, which the step
 * fills. */
uint64_t preference_needs(const struct objective_config *config);
