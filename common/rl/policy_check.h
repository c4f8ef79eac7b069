/* Inside rl only: the checks of objective_check that are of ratios, advantages, corrections and
 * terms. */
#pragma once
#include "rl/objective.h"

/* INVALID: settings that make no sense; the message names the field. */
err_t policy_check(const struct objective *objective, const struct objective_config *config);
