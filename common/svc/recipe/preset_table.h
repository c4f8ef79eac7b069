/* THE table of presets: recipes as other trainers of PPO have them by default. `rlhfctl recipe --preset NAME` prints one.
 *
 *     P(name, enumerator, help)
 *     V(key, value, note)     of one preset, a key's maps together; note: behind it, or ""
 *
 * A preset says what an algorithm is made of. Model, data and scorers are the user's and left out. Rounds are in turn
 * (lag.max: 0), as those trainers are by default; advantages stay corrected for what a higher lag brings.
 * Numbers and names are those of verl b178a3cd (2026-01-29, 0.8.0.dev), verl/trainer/config/ppo_trainer.yaml and what it includes,
 * and of OpenRLHF 3c3be623 (2026-08-13, 0.11.0), openrlhf/cli/train_ppo_ray.py.
 *
 * Header-only. To add one: a row of PRESETS and its values; unit/svc/recipe_preset parses it. */
#pragma once

// clang-format off
#define PRESETS(P) \
    P(n_plus,   N_PLUS,   "PPO as in The N+ Implementation Details of RLHF with PPO (Huang 2024), for TL;DR") \
    P(trl,      TRL,      "PPO with the defaults of TRL 1.0's experimental PPOConfig") \
    P(verl,     VERL,     "PPO with the defaults of verl 0.8's ppo_trainer.yaml") \
    P(openrlhf, OPENRLHF, "PPO with the defaults of OpenRLHF 0.11's train_ppo_ray")

#define PRESET_N_PLUS(V) \
    V("run.rounds", "1953", "a million completions") \
    V("data.max_prompt_tokens", "512", "") \
    V("generator.num_generations", "1", "") \
    V("generator.max_tokens", "53", "") \
    V("generator.temperature", "0.7", "logits are divided by it in training, too") \
    V("rewarder.reference", "frozen", "the supervised model") \
    V("learner.objective", "ppo", "") \
    V("learner.ratio_to", "proximal", "") \
    V("learner.groups", "512", "") \
    V("learner.updates_per_round", "4", "epochs times minibatches, of which there is one") \
    V("learner.epochs", "4", "") \
    V("learner.epsilon", "0.2", "") \
    V("learner.epsilon_high", "0.2", "") \
    V("learner.optimizer.lr", "3e-6", "") \
    V("learner.optimizer.eps", "1e-5", "") \
    V("learner.optimizer.clip_norm", "0", "") \
    V("learner.optimizer.schedule", "linear", "to 0 with the last update") \
    V("learner.optimizer.min_lr_ratio", "0", "") \
    V("learner.reward.bias", "0", "set it to the mean reward of the demonstrations") \
    V("learner.reward.missing_eos", "replace", "the EOS trick") \
    V("learner.reward.missing_eos_penalty", "1", "") \
    V("learner.kl.place", "reward", "of each token") \
    V("learner.kl.estimator", "k1", "") \
    V("learner.kl.coef", "0.05", "") \
    V("learner.ppo.gamma", "1", "") \
    V("learner.ppo.lambda", "0.95", "") \
    V("learner.ppo.whiten_advantages", "true", "") \
    V("learner.ppo.whiten_rewards", "false", "true in the code of 2019") \
    V("learner.ppo.cliprange_value", "0.2", "") \
    V("learner.ppo.vf_coef", "0.1", "") \
    V("learner.critic.optimizer.lr", "3e-6", "set learner.critic.path to the reward model") \
    V("learner.critic.optimizer.eps", "1e-5", "") \
    V("learner.critic.optimizer.clip_norm", "0", "") \
    V("learner.critic.optimizer.schedule", "linear", "") \
    V("learner.critic.optimizer.min_lr_ratio", "0", "") \
    V("lag.max", "0", "") \
    V("eval.temperature", "0.01", "")

#define PRESET_TRL(V) \
    V("generator.num_generations", "1", "") \
    V("generator.max_tokens", "53", "response_length; an end token ends a completion, as with stop_token: eos there") \
    V("generator.temperature", "0.7", "") \
    V("rewarder.reference", "frozen", "") \
    V("learner.objective", "ppo", "") \
    V("learner.ratio_to", "proximal", "") \
    V("learner.groups", "64", "batch_size follows from the number of devices there") \
    V("learner.updates_per_round", "4", "num_ppo_epochs times num_mini_batches, of which there is one") \
    V("learner.epochs", "4", "") \
    V("learner.epsilon", "0.2", "cliprange") \
    V("learner.epsilon_high", "0.2", "") \
    V("learner.optimizer.lr", "3e-6", "") \
    V("learner.optimizer.clip_norm", "0", "its loop has no clipping") \
    V("learner.optimizer.schedule", "linear", "by rounds there, by updates here") \
    V("learner.optimizer.min_lr_ratio", "0", "") \
    V("learner.kl.place", "reward", "") \
    V("learner.kl.estimator", "k1", "kl_estimator; k3 is the other") \
    V("learner.kl.coef", "0.05", "") \
    V("learner.ppo.gamma", "1", "") \
    V("learner.ppo.lambda", "0.95", "lam; there the score comes one position behind an early end: DECISIONS.md") \
    V("learner.ppo.whiten_advantages", "true", "") \
    V("learner.ppo.whiten_rewards", "false", "") \
    V("learner.ppo.cliprange_value", "0.2", "") \
    V("learner.ppo.vf_coef", "0.1", "") \
    V("learner.critic.head", "normal", "or of the reward model: learner.critic.path") \
    V("learner.critic.optimizer.lr", "3e-6", "one rate for both") \
    V("learner.critic.optimizer.clip_norm", "0", "") \
    V("learner.critic.optimizer.schedule", "linear", "") \
    V("learner.critic.optimizer.min_lr_ratio", "0", "") \
    V("lag.max", "0", "")

#define PRESET_VERL(V) \
    V("data.max_prompt_tokens", "512", "") \
    V("generator.num_generations", "1", "rollout.n") \
    V("generator.max_tokens", "512", "") \
    V("generator.temperature", "1", "") \
    V("learner.objective", "ppo", "") \
    V("learner.ratio_to", "proximal", "") \
    V("learner.groups", "1024", "train_batch_size") \
    V("learner.updates_per_round", "4", "train_batch_size / ppo_mini_batch_size") \
    V("learner.epochs", "1", "ppo_epochs") \
    V("learner.epsilon", "0.2", "clip_ratio") \
    V("learner.epsilon_high", "0.2", "") \
    V("learner.delta", "3", "clip_ratio_c") \
    V("learner.optimizer.lr", "1e-6", "") \
    V("learner.optimizer.weight_decay", "0.01", "") \
    V("learner.optimizer.clip_norm", "1", "clip_grad") \
    V("learner.ppo.gamma", "1", "") \
    V("learner.ppo.lambda", "1", "lam") \
    V("learner.ppo.whiten_advantages", "true", "") \
    V("learner.ppo.cliprange_value", "0.5", "") \
    V("learner.ppo.vf_coef", "1", "") \
    V("learner.critic.head", "normal", "that of transformers' token classification") \
    V("learner.critic.warmup_rounds", "0", "critic_warmup; N there is N - 1 here") \
    V("learner.critic.optimizer.lr", "1e-5", "") \
    V("learner.critic.optimizer.weight_decay", "0.01", "") \
    V("learner.critic.optimizer.clip_norm", "1", "clip_grad") \
    V("lag.max", "0", "")

#define PRESET_OPENRLHF(V) \
    V("data.max_prompt_tokens", "1024", "") \
    V("generator.num_generations", "1", "") \
    V("generator.max_tokens", "1024", "data.max_len: 2048 of prompt and completion together") \
    V("generator.temperature", "1", "") \
    V("rewarder.reference", "frozen", "") \
    V("learner.objective", "ppo", "") \
    V("learner.ratio_to", "proximal", "") \
    V("learner.groups", "1024", "rollout.batch_size") \
    V("learner.updates_per_round", "8", "rollout.batch_size / train.batch_size") \
    V("learner.epochs", "1", "") \
    V("learner.epsilon", "0.2", "actor.eps_clip") \
    V("learner.epsilon_high", "0.2", "") \
    V("learner.optimizer.lr", "1e-6", "") \
    V("learner.optimizer.betas", "[0.9, 0.95]", "") \
    V("learner.optimizer.clip_norm", "1", "") \
    V("learner.optimizer.schedule", "cosine", "") \
    V("learner.optimizer.warmup", "0", "set it to 3 % of the run's updates: actor.lr_warmup_ratio") \
    V("learner.optimizer.min_lr_ratio", "0.1", "") \
    V("learner.reward.clip", "10", "") \
    V("learner.kl.place", "reward", "") \
    V("learner.kl.estimator", "k1", "") \
    V("learner.kl.coef", "0.01", "algo.kl.init_coef") \
    V("learner.ppo.gamma", "1", "") \
    V("learner.ppo.lambda", "1", "") \
    V("learner.ppo.whiten_advantages", "true", "") \
    V("learner.ppo.cliprange_value", "0.5", "") \
    V("learner.ppo.vf_coef", "1", "") \
    V("learner.critic.head", "zero", "N(0, 1 / (width + 1)^2) there; set learner.critic.path to the reward model") \
    V("learner.critic.warmup_rounds", "0", "critic.freezing_steps, -1; N there is N + 1 here") \
    V("learner.critic.optimizer.lr", "9e-6", "critic.adam.lr") \
    V("learner.critic.optimizer.betas", "[0.9, 0.95]", "") \
    V("learner.critic.optimizer.clip_norm", "1", "") \
    V("learner.critic.optimizer.schedule", "cosine", "") \
    V("learner.critic.optimizer.warmup", "0", "set it to 3 % of the run's updates: critic.lr_warmup_ratio") \
    V("learner.critic.optimizer.min_lr_ratio", "0.1", "") \
    V("lag.max", "0", "")
// clang-format on
