/* The core of a policy-gradient loss: how the ratio to older weights limits a step. The kinds are
 * in rl/word_table.h. Any thread.
 *
 *     struct gate_config ppo = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2};
 *     struct gate_value v = gate_at(&ppo, advantage, logp - old, logp);
 *     -> v.loss, v.slope = d loss / d logp, v.clipped
 *
 * GEO_CLIP is of a sequence's tokens together, and in rl/kernels/kernel_policy.c. A unit is a token
 * or a sequence: log_ratio and logp are its own (sums or means). Log-ratios
 * beyond +-20 count as +-20, without a slope through the ratio there (verl). */
#pragma once
#include "rl/objective_config.h"
#include <stdbool.h>

struct gate_value {
    double loss, slope;
    /* CLIP, TV: the slope is 0 because of the gate; weights: a limit held. */
    bool clipped;
};
struct gate_value gate_at(const struct gate_config *config, double advantage, double log_ratio,
                          double logp);

/* The ratio of a whole completion weighs the losses of its tokens, each with its own logp. */
bool gate_weighs(enum gate gate);

/* log_ratio within +-20. */
double log_ratio_clamp(double log_ratio);
