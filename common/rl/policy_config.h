/* The settings of policy gradients, a part of struct objective_config. */
#pragma once
#include "rl/word_table.h"

#define ADVANTAGE_EPSILON 1e-4 // TRL's; verl has 1e-6

/* One number where the advantage is at least 0, one below. */
struct by_sign {
    double pos, neg;
};

struct gate_config {
    enum gate gate;
    /* CLIP, GEO_CLIP. */
    double epsilon_low, epsilon_high;
    /* CLIP: for A < 0 the loss is at most -dual A (dual clip); 0: off. */
    double dual;
    /* CAP: of r itself, so 1 + epsilon_high where others say "cap 1 + epsilon". */
    double cap;
    enum ratio_base base;
    /* SOFT: tau > 0. */
    struct by_sign temperature;
    /* TV: of a token's probability. */
    double delta;
    /* TAPER: the weight for A >= 0. */
    double positive;
    /* TAPER, BAND. */
    double low, high;
    /* BELL. */
    struct by_sign k, lambda;
    /* KL_CAP: nats of a completion, > 0. */
    double kl_max;
};

struct correction_config {
    enum correction correction;
    double low, high;
};

struct mask_config {
    enum mask mask;
    double low, high;
};

struct selection_config {
    enum selection kind;
    /* THRESHOLD; POWER. */
    double above, power;
};

struct step_scale {
    enum step_rule rule;
    /* > 0: the effective sample size, a share of the completions, from which on a step is full. */
    double base;
};

/* The likelihood of some completions beside the objective's loss (VAPO, CPO): of those of column
 * `imitated`, divided by what these have alone. */
struct nll_config {
    double coef;
    enum reduce reduce;
    /* Policy gradients: of completions whose reward is above it. */
    double above;
};

/* Limits that a mask has where nobody says others. */
static inline struct mask_config mask_default(enum mask mask)
{
    switch (mask) {
    case MASK_GEO:
        return (struct mask_config){mask, 0.99, 1.01};
    case MASK_K3:
        return (struct mask_config){mask, 0, 0.01};
    case MASK_OUTLIER:
        return (struct mask_config){mask, 1e-4, 100};
    case MASK_OPSM:
        return (struct mask_config){mask, 0, 0.5};
    case MASK_M2:
        return (struct mask_config){mask, 0, 0.04};
    default:
        return (struct mask_config){mask, 0, 0};
    }
}
