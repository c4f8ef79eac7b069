/* The size of a step where samples are stale: VCPO's. Any thread.
 *
 *     lr *= step_scale_of(&config.step, figures.ess_sequences); */
#pragma once
#include "rl/policy_config.h"

/* 0 to 1, of the effective sample size of whole completions, a share of them; 1 where it is not
 * known. */
double step_scale_of(const struct step_scale *scale, double ess);
