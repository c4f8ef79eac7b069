/* The part of the table of other trainers' names that concerns reward models, and rewards on their way
 * to the objective. recipe_words_table.h includes it, and has the form of a row. */
#pragma once
// clang-format off

#define RECIPE_WORDS_REWARD(W) \
    W("center_rewards_coefficient",  "learner.reward_model.center_rewards_coefficient", "of rlhfctl reward train") \
    W("pad_token",                   "learner.reward_model.pad_token", "of rlhfctl reward train") \
    W("compute_fp32_loss",           "", "losses of reward models are computed in double") \
    W("non_eos_penalty",             "learner.reward.missing_eos_penalty", "with learner.reward.missing_eos") \
    W("non_stop_penalty",            "learner.reward.missing_eos", "replace, for true; how much: learner.reward.missing_eos_penalty") \
    W("non_stop_penalty_value",      "learner.reward.missing_eos_penalty", "above 0; with learner.reward.missing_eos: replace") \
    W("stop_properly_penalty_coef",  "learner.reward.missing_eos", "replace gives a constant, not a share of the reward") \
    W("overlong_buffer.len",         "learner.reward.overlong_buffer", "") \
    W("overlong_buffer.penalty_factor", "learner.reward.overlong_penalty", "") \
    W("overlong_buffer.enable",      "learner.reward.overlong_buffer", "in tokens; 0: off") \
    W("overlong_buffer_cfg",         "learner.reward.overlong_buffer", "in tokens; its factor is learner.reward.overlong_penalty") \
    W("overlong_buffer_len",         "learner.reward.overlong_buffer", "") \
    W("overlong_buffer_length",      "learner.reward.overlong_buffer", "") \
    W("overlong_tokens",             "learner.reward.overlong_buffer", "") \
    W("soft_punish_cache",           "learner.reward.overlong_buffer", "") \
    W("overlong_penalty_factor",     "learner.reward.overlong_penalty", "") \
    W("overlong_buffer_penalty",     "learner.reward.overlong_penalty", "") \
    W("overlong_reward_penalty",     "learner.reward.overlong_buffer", "in tokens; 0: off") \
    W("max_completion_len",          "learner.reward.overlong_length", "0: generator.max_tokens") \
    W("repetition_n_grams",          "learner.reward.repeat_ngram", "of tokens, not of words") \
    W("ngram_size",                  "learner.reward.repeat_ngram", "of tokens, not of words") \
    W("repetition_max_penalty",      "learner.reward.repeat_penalty", "above 0: it is taken off") \
    W("max_penalty",                 "learner.reward.repeat_penalty", "above 0: it is taken off") \
    W("repetition_penalty",          "", "sampling has none; learner.reward.repeat_penalty is taken off rewards") \
    W("no_repeat_ngram_size",        "", "sampling has none; learner.reward.repeat_ngram is of a penalty on rewards") \
    W("reward_clip_range",           "learner.reward.clip", "the same on both sides") \
    W("reward_clip",                 "learner.reward.clip", "") \
    W("use_reward_scaling",          "learner.reward.normalize", "std, or mean_std with use_reward_norm") \
    W("use_reward_norm",             "learner.reward.normalize", "mean_std") \
    W("preference_name_or_path",     "rewarder.scorers", "an entry {kind: preference_model, path: DIRECTORY}") \
    W("reward_scaling",              "rewarder.scorers", "weight of an entry")
