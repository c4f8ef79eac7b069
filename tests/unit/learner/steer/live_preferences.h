/* Rows of live_test.c's table: each LIVE key of objectives on preferences, a value, and settings
 * with which the key decides a round. */
#pragma once
#include "unit/learner/steer/live_policies.h"

#define OF(objective) "rewarder.reference=frozen learner.objective=" objective
// clang-format off
#define PREFERENCE_KEYS \
    {"learner.dpo.label_smoothing", "0.1", OF("dpo"), OBJECTIVE}, \
    {"learner.dpo.f_alpha_divergence_coef", "0.3", \
    OF("f_dpo learner.dpo.f_divergence_type=alpha_divergence"), OBJECTIVE}, \
    {"learner.dpo.ld_alpha", "0.3", OF("ld_dpo"), OBJECTIVE}, \
    {"learner.dpo.alpha", "0.5", OF("alphapo"), OBJECTIVE}, \
    {"learner.dpo.simpo_gamma", "1", OF("simpo"), OBJECTIVE}, \
    {"learner.dpo.length_alpha", "0.1", OF("r_dpo"), OBJECTIVE}, \
    {"learner.dpo.dpop_lambda", "5", OF("dpop"), OBJECTIVE}, \
    {"learner.dpo.discopop_tau", "0.1", OF("discopop"), OBJECTIVE}, \
    {"learner.dpo.rpo_alpha", "0.5", OF("rpo"), OBJECTIVE}, \
    {"learner.dpo.xpo_alpha", "0.1", OF("dpo"), OBJECTIVE}, \
    {"learner.dpo.beta_adapt", "0.1", OF("beta_dpo"), OBJECTIVE}, \
    {"learner.dpo.beta_drop", "0.1", OF("beta_dpo"), OBJECTIVE}, \
    {"learner.kto.beta", "0.2", OF("kto"), OBJECTIVE}, \
    {"learner.kto.desirable_weight", "2", OF("kto"), OBJECTIVE}, \
    {"learner.kto.undesirable_weight", "2", OF("kto"), OBJECTIVE}, \
    {"learner.kto.threshold", "0.5", OF("kto"), OBJECTIVE}, \
    {"learner.listwise.beta", "0.2", OF("exo"), OBJECTIVE}, \
    {"learner.listwise.reward_beta", "0.2", OF("exo"), OBJECTIVE}, \
    {"learner.listwise.sft_coef", "0.2", OF("pro"), OBJECTIVE}, \
    {"learner.listwise.alpha", "0.2", OF("d2o"), OBJECTIVE}, \
    {"learner.residual.beta", "0.2", OF("tba"), OBJECTIVE}
#define OBJECTIVE_KEYS PREFERENCE_KEYS, POLICY_KEYS
// clang-format on

/* Keys of groups as they come and go, whatever the objective. */
#define GROUP_KEYS                                                                                 \
    {"learner.unusable_slots", "12", "", RECORD}, {"learner.samples", "3", "", RECORD},            \
        {"learner.filter.zero_variance", "true", "", STORE},                                       \
        {"learner.filter.truncated", "0.5", "", STORE},                                            \
    {                                                                                              \
        "learner.filter.patience", "9", "", RECORD                                                 \
    }
