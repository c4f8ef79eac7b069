/* THE table of running values: numbers that an objective or a controller keeps from update to
 * update. A checkpoint has those that are set, a restart goes on from them, and a replay comes to
 * the same.
 *
 *     X(name, help)
 *
 * So a value follows from the recorded rounds alone, in their order. To add one: a row, and who
 * moves it (rl/running.h). Header-only. */
#pragma once
#include <stddef.h>

// clang-format off
#define RUNNING_VALUES(X) \
    X(rewards,       "rewards seen, of learner.reward.normalize") \
    X(reward_mean,   "their mean") \
    X(reward_square, "sum of their squared distances from it") \
    X(baseline,      "running mean of rounds' rewards, of learner.advantage: ema") \
    X(pair_gap,        "mean of beta times the gap of a pair, of beta-DPO") \
    X(rewards_updates, "updates whose implicit rewards have been seen, of BCO") \
    X(rewards_mean,    "the mean of their means") \
    X(entropy_coef,  "weight of the entropy's bonus, of learner.rows.entropy_target")
// clang-format on

enum running_value {
#define RUNNING_ENUM(name, help) RUNNING_##name,
    RUNNING_VALUES(RUNNING_ENUM)
#undef RUNNING_ENUM
        RUNNING_COUNT
};
