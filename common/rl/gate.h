/* The core of a policy-gradient loss: how the ratio to older weights limits a step. Any thread.
 *
 *     struct gate_config ppo = {GATE_CLIP, .epsilon_low = 0.2, .epsilon_high = 0.2};
 *     struct gate_value v = gate_at(&ppo, advantage, logp - old, logp);
 *     -> v.loss, v.slope = d loss / d logp, v.clipped
 *
 * A unit is a token or a sequence: log_ratio and logp are its own (sums or means). Log-ratios beyond +-20 count as +-20,
 * without a slope through the ratio there (verl). */
#pragma once
#include <stdbool.h>

enum gate {
    GATE_NONE, // -A logp: plain REINFORCE, and with A = 1 the likelihood
    GATE_CLIP, // max(-A r, -A clip(r, 1 - low, 1 + high)) (Schulman 2017, eq. 7); DAPO's higher high
    GATE_CAP, // -min(r, cap) A logp, r constant: no token goes dead (CISPO; truncated importance weights)
};

struct gate_config {
    enum gate gate;
    double epsilon_low, epsilon_high; // CLIP
    double dual; // CLIP: for A < 0 the loss is at most -dual A (dual clip); 0: off
    double cap;  // CAP: of r itself, so 1 + epsilon_high where others say "cap 1 + epsilon"
};

struct gate_value {
    double loss, slope;
    bool clipped; // CLIP: the slope is 0 because of the gate; CAP: the cap held
};
struct gate_value gate_at(const struct gate_config *config, double advantage, double log_ratio,
                          double logp);

/* log_ratio within +-20. */
double log_ratio_clamp(double log_ratio);
