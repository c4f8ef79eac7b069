/* THE table of other trainers' key names: our names of the same things. Beside the options table (recipe_table.h).
 *
 *     W(name, ours, note)      ours: a key of the options table, or "" where there is no such thing; note: where meanings differ
 *
 * A name is found wherever it is nested, '-' read as '_'. "rollout.n" is found as the end of a path; the longest name wins.
 * Names from TRL (and transformers' TrainingArguments), OpenRLHF, verl, AReaL, NeMo-RL, prime-rl, SkyRL, slime. Keys in notes
 * must exist too. Names that are ours already (temperature, top_p, betas, ...) need no row: a misplaced key is told its place. */
#pragma once
#include "svc/recipe/recipe_words_reward_table.h"
// clang-format off

#define RECIPE_WORDS_OPTIMIZER(W) \
    W("learning_rate",               "learner.optimizer.lr", "") \
    W("actor_learning_rate",         "learner.optimizer.lr", "") \
    W("actor_lr",                    "learner.optimizer.lr", "") \
    W("optim.lr",                    "learner.optimizer.lr", "") \
    W("actor.adam.lr",               "learner.optimizer.lr", "") \
    W("optimizer.kwargs.lr",         "learner.optimizer.lr", "") \
    W("max_grad_norm",               "learner.optimizer.clip_norm", "") \
    W("max_norm",                    "learner.optimizer.clip_norm", "") \
    W("grad_clip",                   "learner.optimizer.clip_norm", "") \
    W("clip_grad",                   "learner.optimizer.clip_norm", "") \
    W("gradient_clipping",           "learner.optimizer.clip_norm", "") \
    W("adam_beta1",                  "learner.optimizer.betas", "the first of the two") \
    W("adam_beta2",                  "learner.optimizer.betas", "the second of the two") \
    W("adam_betas",                  "learner.optimizer.betas", "") \
    W("beta1",                       "learner.optimizer.betas", "the first of the two") \
    W("beta2",                       "learner.optimizer.betas", "the second of the two") \
    W("adam_epsilon",                "learner.optimizer.eps", "") \
    W("adam_eps",                    "learner.optimizer.eps", "") \
    W("l2",                          "learner.optimizer.weight_decay", "") \
    W("lr_scheduler_type",           "learner.optimizer.schedule", "constant, linear or cosine") \
    W("lr_scheduler",                "learner.optimizer.schedule", "constant, linear or cosine") \
    W("lr_scheduler_kwargs",         "learner.optimizer.min_lr_ratio", "") \
    W("lr_warmup_style",             "learner.optimizer.schedule", "") \
    W("lr_decay_style",              "learner.optimizer.schedule", "") \
    W("warmup_style",                "learner.optimizer.schedule", "") \
    W("warmup_steps",                "learner.optimizer.warmup", "counted in updates") \
    W("lr_warmup_steps",             "learner.optimizer.warmup", "counted in updates") \
    W("num_warmup_steps",            "learner.optimizer.warmup", "counted in updates") \
    W("warmup_ratio",                "learner.optimizer.warmup", "in updates: ratio * rounds (rlhfctl check says how many) * learner.updates_per_round") \
    W("lr_warmup_ratio",             "learner.optimizer.warmup", "in updates: ratio * rounds (rlhfctl check says how many) * learner.updates_per_round") \
    W("lr_warmup_steps_ratio",       "learner.optimizer.warmup", "in updates: ratio * rounds (rlhfctl check says how many) * learner.updates_per_round") \
    W("warmup_steps_proportion",     "learner.optimizer.warmup", "in updates: proportion * rounds (rlhfctl check says how many) * learner.updates_per_round") \
    W("min_lr",                      "learner.optimizer.min_lr_ratio", "as a share of learner.optimizer.lr") \
    W("offload_optimizer", "learner.optimizer.states", "host is DeepSpeed's device: cpu with pin_memory; the step stays on the GPU") W("optimizer_offload", "learner.optimizer.states", "host, for true") \
    W("adam_offload", "learner.optimizer.states", "host, for true") W("optimizer_cpu_offload", "learner.optimizer.states", "host, for true") \
    W("optim",                       "learner.optimizer", "the optimizer is AdamW") \
    W("optimizer_type",              "learner.optimizer", "the optimizer is AdamW") \
    W("optimizer",                   "learner.optimizer", "the optimizer is AdamW")

#define RECIPE_WORDS_BATCH(W) \
    W("per_device_train_batch_size", "learner.groups", "counts prompts of a round: completions / generator.num_generations * learner.updates_per_round; memory is learner.micro_tokens") \
    W("generation_batch_size",       "learner.groups", "counts prompts of a round: completions / generator.num_generations") \
    W("train_batch_size",            "learner.groups", "counts prompts of a round, each with generator.num_generations completions") \
    W("rollout_batch_size",          "learner.groups", "counts prompts of a round, each with generator.num_generations completions") \
    W("global_batch_size",           "learner.groups", "counts prompts of a round, each with generator.num_generations completions") \
    W("train_global_batch_size",     "learner.groups", "counts prompts of a round, each with generator.num_generations completions") \
    W("batch_size",                  "learner.groups", "counts prompts of a round, each with generator.num_generations completions; for sft: sft.batch") \
    W("num_prompts_per_step",        "learner.groups", "") \
    W("gen_batch_size",              "learner.groups", "") \
    W("over_sampling_batch_size",    "learner.groups", "the number of groups beside a round follows from lag.max") \
    W("gradient_accumulation_steps", "learner.micro_tokens", "a step is cut into so many tokens at a time by itself; the batch is learner.groups") \
    W("micro_train_batch_size",      "learner.micro_tokens", "counts tokens") \
    W("train_micro_batch_size",      "learner.micro_tokens", "counts tokens") \
    W("micro_batch_size",            "learner.micro_tokens", "counts tokens") \
    W("ppo_micro_batch_size",        "learner.micro_tokens", "counts tokens") \
    W("ppo_micro_batch_size_per_gpu", "learner.micro_tokens", "counts tokens") \
    W("ppo_max_token_len_per_gpu",   "learner.micro_tokens", "") \
    W("max_tokens_per_gpu",          "learner.micro_tokens", "") \
    W("max_tokens_per_mb",           "learner.micro_tokens", "") \
    W("train_max_tokens_per_gpu",    "learner.micro_tokens", "") \
    W("micro_rollout_batch_size",    "generator.step_rows", "counts tokens of one step") \
    W("num_iterations",              "learner.epochs", "passes over a round's groups; learner.updates_per_round is epochs times minibatches") \
    W("num_ppo_epochs",              "learner.epochs", "passes over a round's groups; learner.updates_per_round is epochs times minibatches") \
    W("ppo_epochs",                  "learner.epochs", "passes over a round's groups; learner.updates_per_round is epochs times minibatches") \
    W("update_epochs",               "learner.epochs", "passes over a round's groups; learner.updates_per_round is epochs times minibatches") \
    W("update_epochs_per_batch",     "learner.epochs", "passes over a round's groups; learner.updates_per_round is epochs times minibatches") \
    W("max_epochs",                  "learner.epochs", "passes over a round's groups; learner.updates_per_round is epochs times minibatches") \
    W("steps_per_generation",        "learner.updates_per_round", "epochs times minibatches of one round") \
    W("num_mini_batches",            "learner.updates_per_round", "epochs times minibatches of one round") \
    W("num_minibatches",             "learner.updates_per_round", "epochs times minibatches of one round") \
    W("ppo_n_minibatches",           "learner.updates_per_round", "epochs times minibatches of one round") \
    W("num_steps_per_rollout",       "learner.updates_per_round", "epochs times minibatches of one round") \
    W("ppo_mini_batch_size",         "learner.updates_per_round", "counts updates: learner.epochs * learner.groups / mini batch size") \
    W("policy_mini_batch_size",      "learner.updates_per_round", "counts updates: learner.epochs * learner.groups / mini batch size") \
    W("mini_batch_size",             "learner.updates_per_round", "counts updates: learner.epochs * learner.groups / mini batch size") \
    W("per_device_eval_batch_size",  "", "evaluation decodes as many prompts at once as fit") \
    W("eval_batch_size",             "", "evaluation decodes as many prompts at once as fit") \
    W("num_generations_eval",        "", "an evaluation takes one completion of a prompt, eval.prompts of them") \
    W("dataloader_drop_last",        "learner.last_batch", "short or drop") \
    W("drop_last",                   "learner.last_batch", "short or drop") \
    W("use_dynamic_bsz",             "learner.micro_tokens", "batches are always cut by tokens") \
    W("use_dynamic_batch_size",      "learner.micro_tokens", "batches are always cut by tokens")

#define RECIPE_WORDS_OBJECTIVE(W) \
    W("beta",                        "learner.kl.coef", "in GRPO, RLOO and PPO; the beta of online DPO is learner.dpo.beta") \
    W("dpo_beta",                    "learner.dpo.beta", "") \
    W("kl_coef",                     "learner.kl.coef", "") \
    W("init_kl_coef",                "learner.kl.coef", "with learner.kl.target it is steered") \
    W("kl_loss_coef",                "learner.kl.coef", "with learner.kl.place: loss") \
    W("kl_ctl",                      "learner.kl.coef", "") \
    W("kl_ctrl",                     "learner.kl.coef", "") \
    W("kl_ctrl.type",                "learner.kl.target", "0: coef stays; else it is steered to this distance") \
    W("reference_policy_kl_penalty", "learner.kl.coef", "") \
    W("use_kl_loss",                 "learner.kl.place", "loss or reward; learner.kl.coef: 0 is none") \
    W("use_kl_in_reward",            "learner.kl.place", "loss or reward; learner.kl.coef: 0 is none") \
    W("kl_in_reward",                "learner.kl.place", "loss or reward") \
    W("kl_estimator",                "learner.kl.estimator", "k1 with learner.kl.place: reward; abs, k2, k3 or k3+ with loss") \
    W("kl_estimator_type",           "learner.kl.estimator", "k1 with learner.kl.place: reward; abs, k2, k3 or k3+ with loss") \
    W("kl_loss_type",                "learner.kl.estimator", "abs, k2 (mse), k3 (low_var_kl) or k3+; in the loss k1 has no effect") \
    W("kl_penalty",                  "learner.kl.estimator", "k1 (kl), abs, k2 (mse) or k3 (low_var_kl), with learner.kl.place: reward") \
    W("use_kl_estimator_k3",         "learner.kl.estimator", "k3 with learner.kl.place: loss; k1 with reward") \
    W("target_kl",                   "learner.kl.target", "nats of a completion") \
    W("kl_target",                   "learner.kl.target", "nats of a completion") \
    W("adap_kl_ctrl",                "learner.kl.target", "0: coef stays; else it is steered to this distance") \
    W("kl_horizon",                  "learner.kl.horizon", "completions") \
    W("cliprange",                   "learner.epsilon", "on both sides, unless learner.epsilon_high is set") \
    W("clip_range",                  "learner.epsilon", "on both sides, unless learner.epsilon_high is set") \
    W("clip_ratio",                  "learner.epsilon", "on both sides, unless learner.epsilon_high is set") \
    W("eps_clip",                    "learner.epsilon", "on both sides, unless learner.epsilon_high is set") \
    W("ratio_clip_min",              "learner.epsilon", "") \
    W("clip_ratio_low",              "learner.epsilon", "") \
    W("eps_clip_low",                "learner.epsilon", "") \
    W("epsilon_low",                 "learner.epsilon", "") \
    W("ratio_clip_max",              "learner.epsilon_high", "") \
    W("clip_ratio_high",             "learner.epsilon_high", "") \
    W("eps_clip_high",               "learner.epsilon_high", "") \
    W("eps_clip_higher",             "learner.epsilon_high", "") \
    W("eps_clip_low_high",           "learner.epsilon", "and learner.epsilon_high") \
    W("clip_ratio_c",                "learner.delta", "0: no dual clip") \
    W("dual_clip",                   "learner.delta", "0: no dual clip") \
    W("eps_clip_c",                  "learner.delta", "0: no dual clip") \
    W("c_clip",                      "learner.delta", "0: no dual clip") \
    W("ratio_clip_c",                "learner.delta", "0: no dual clip") \
    W("loss_type",                   "learner.reduction", "grpo: seq_mean_token_mean; dapo, bnpo: token_mean; dr_grpo: const_norm, with learner.advantage: group_mean; cispo: learner.gate: cap; of pairs it is learner.dpo.loss_type") \
    W("loss_agg_mode",               "learner.reduction", "token_mean, seq_mean_token_mean, seq_mean_token_sum or const_norm") \
    W("loss_reduction",              "learner.reduction", "token_mean, seq_mean_token_mean, seq_mean_token_sum or const_norm") \
    W("policy_loss_type",            "learner.gate", "ppo: clip; cispo: cap; gspo: clip, with learner.importance_sampling_level: geometric") \
    W("loss_mode",                   "learner.gate", "vanilla: clip; gspo: clip, with learner.importance_sampling_level: geometric") \
    W("token_level_loss",            "learner.reduction", "token_mean") \
    W("scale_rewards",               "learner.advantage", "group or true: group_z; batch: batch_z; none or false: group_mean") \
    W("normalize_advantages",        "learner.advantage", "by the standard deviation of the group: group_z; of the round: batch_z; not at all: group_mean, loo") \
    W("norm_adv_by_std_in_grpo",     "learner.advantage", "by the standard deviation of the group: group_z; of the round: batch_z; not at all: group_mean, loo") \
    W("adv_norm",                    "learner.advantage", "by the standard deviation of the group: group_z; of the round: batch_z; not at all: group_mean, loo") \
    W("normalize_reward",            "learner.advantage", "by the standard deviation of the group: group_z; of the round: batch_z; not at all: group_mean, loo") \
    W("normalize_rewards",           "learner.advantage", "by the standard deviation of the group: group_z; of the round: batch_z; not at all: group_mean, loo") \
    W("group_reward_norm",           "learner.advantage", "by the standard deviation of the group: group_z; of the round: batch_z; not at all: group_mean, loo") \
    W("use_leave_one_out_baseline",  "learner.advantage", "loo") \
    W("advantage_estimator",         "learner.objective", "see learner.advantage too") \
    W("adv_estimator",               "learner.objective", "see learner.advantage too") \
    W("algorithm",                   "learner.objective", "") \
    W("rl_algorithm",                "learner.objective", "") \
    W("sequence_level_importance_ratios", "learner.importance_sampling_level", "geometric: the mean over tokens (GSPO); sequence: their product") \
    W("importance_sampling_level",   "learner.importance_sampling_level", "TRL's sequence is geometric of GRPO (GSPO), sequence of RLOO") \
    W("vllm_importance_sampling_correction", "learner.correction.kind", "with learner.ratio_to: proximal") \
    W("vllm_importance_sampling_mode", "learner.correction.kind", "with learner.ratio_to: proximal") \
    W("vllm_importance_sampling_cap", "learner.correction.high", "with learner.ratio_to: proximal") \
    W("vllm_importance_sampling_clip_max", "learner.correction.high", "with learner.ratio_to: proximal") \
    W("vllm_importance_sampling_clip_min", "learner.correction.low", "with learner.ratio_to: proximal") \
    W("enable_vllm_is_correction",   "learner.correction.kind", "with learner.ratio_to: proximal") \
    W("rollout_is",                  "learner.correction.kind", "with learner.ratio_to: proximal") \
    W("use_tis",                     "learner.correction.kind", "with learner.ratio_to: proximal") \
    W("tis_imp_ratio_cap",           "learner.correction.high", "with learner.ratio_to: proximal") \
    W("tis_clip",                    "learner.correction.high", "with learner.ratio_to: proximal") \
    W("tis_clip_low",                "learner.correction.low", "with learner.ratio_to: proximal") \
    W("rollout_is_threshold",        "learner.correction.high", "with learner.ratio_to: proximal") \
    W("behav_imp_weight_cap",        "learner.correction.high", "with learner.ratio_to: proximal") \
    W("use_decoupled_loss",          "learner.ratio_to", "proximal") \
    W("recompute_logprob",           "learner.ratio_to", "proximal") \
    W("mask_truncated_completions",  "learner.mask_truncated_completions", "") \
    W("overlong_filter",             "learner.mask_truncated_completions", "") \
    W("overlong_filtering",          "learner.mask_truncated_completions", "") \
    W("filter_groups",               "learner.filter.zero_variance", "") \
    W("dynamic_filtering",           "learner.filter.zero_variance", "") \
    W("dynamic_sampling",            "learner.filter.zero_variance", "") \
    W("use_dynamic_sampling",        "learner.filter.zero_variance", "") \
    W("entropy_coef",                "", "there is no entropy bonus") \
    W("entropy_coeff",               "", "there is no entropy bonus") \
    W("entropy_loss_coef",           "", "there is no entropy bonus") \
    W("ent_coef",                    "", "there is no entropy bonus") \
    W("value_clip",                  "learner.ppo.cliprange_value", "") \
    W("value_loss_coef",             "learner.ppo.vf_coef", "") \
    W("value_eps_clip",              "learner.ppo.cliprange_value", "") \
    W("critic",                      "learner.critic", "") \
    W("critic_learning_rate",        "learner.critic.optimizer.lr", "") \
    W("critic_pretrain",             "learner.critic.path", "") \
    W("value_model",                 "learner.critic.path", "") \
    W("critic_warmup",               "learner.critic.warmup_rounds", "in rounds; one less than verl's") \
    W("freezing_actor_steps",        "learner.critic.warmup_rounds", "in rounds; one more than OpenRLHF's") \
    W("freezing_steps",              "learner.critic.warmup_rounds", "in rounds; one more than OpenRLHF's") \
    W("policy_training_start_step",  "learner.critic.warmup_rounds", "in rounds") \
    W("lam",                         "learner.ppo.lambda", "") \
    W("lambd",                       "learner.ppo.lambda", "") \
    W("gae_lambda",                  "learner.ppo.lambda", "")

#define RECIPE_WORDS_SAMPLING(W) \
    W("max_completion_length",       "generator.max_tokens", "") \
    W("max_new_tokens",              "generator.max_tokens", "") \
    W("max_response_length",         "generator.max_tokens", "") \
    W("response_length",             "generator.max_tokens", "") \
    W("generate_max_len",            "generator.max_tokens", "") \
    W("rollout_max_response_len",    "generator.max_tokens", "") \
    W("max_generate_length",         "generator.max_tokens", "") \
    W("max_length",                  "generator.max_tokens", "of the completion alone; of the prompt: data.max_prompt_tokens; of sft's rows: sft.max_tokens") \
    W("max_seq_length",              "generator.max_tokens", "of the completion alone; of the prompt: data.max_prompt_tokens; of sft's rows: sft.max_tokens") \
    W("max_seq_len",                 "generator.max_tokens", "of the completion alone; of the prompt: data.max_prompt_tokens; of sft's rows: sft.max_tokens") \
    W("max_len",                     "generator.max_tokens", "of the completion alone; of the prompt: data.max_prompt_tokens; of sft's rows: sft.max_tokens") \
    W("max_model_len",               "generator.max_tokens", "of the completion alone; of the prompt: data.max_prompt_tokens") \
    W("vllm_max_model_length",       "generator.max_tokens", "of the completion alone; of the prompt: data.max_prompt_tokens") \
    W("max_total_sequence_length",   "generator.max_tokens", "of the completion alone; of the prompt: data.max_prompt_tokens") \
    W("max_prompt_length",           "data.max_prompt_tokens", "a longer prompt is skipped, not cut") \
    W("prompt_max_len",              "data.max_prompt_tokens", "a longer prompt is skipped, not cut") \
    W("rollout_max_prompt_len",      "data.max_prompt_tokens", "a longer prompt is skipped, not cut") \
    W("max_input_length",            "data.max_prompt_tokens", "a longer prompt is skipped, not cut") \
    W("truncation",                  "data.max_prompt_tokens", "a longer prompt is skipped, not cut") \
    W("filter_overlong_prompts",     "data.max_prompt_tokens", "a longer prompt is skipped, not cut") \
    W("rollout.n",                   "generator.num_generations", "") \
    W("n_samples_per_prompt",        "generator.num_generations", "") \
    W("n_samples",                   "generator.num_generations", "") \
    W("group_size",                  "generator.num_generations", "") \
    W("num_generations_per_prompt",  "generator.num_generations", "") \
    W("rollouts_per_example",        "generator.num_generations", "") \
    W("rollouts_per_prompt",         "generator.num_generations", "") \
    W("num_return_sequences",        "generator.num_generations", "") \
    W("samples_per_prompt",          "generator.num_generations", "") \
    W("best_of_n",                   "generator.num_generations", "") \
    W("rollout_temperature",         "generator.temperature", "") \
    W("do_sample",                   "generator.temperature", "training samples always; eval.temperature: 0 is greedy") \
    W("greedy",                      "eval.temperature", "0 is greedy; training samples always") \
    W("rollout_top_p",               "generator.top_p", "") \
    W("rollout_top_k",               "generator.top_k", "") \
    W("stop_token",                  "generator.stop_tokens", "as tokenizer.json writes them; the model's end tokens always end a completion") \
    W("stop_token_id",               "generator.stop_tokens", "as tokenizer.json writes them, not numbers") \
    W("stop_token_ids",              "generator.stop_tokens", "as tokenizer.json writes them, not numbers") \
    W("eos_token",                   "generator.stop_tokens", "beside those that the model's config.json names") \
    W("eos_token_id",                "generator.stop_tokens", "beside those that the model's config.json names") \
    W("stop_strings",                "generator.stop", "") \
    W("stop_sequences",              "generator.stop", "") \
    W("min_tokens",                  "", "a completion ends where the model ends it; an entry of kind length in rewarder.scorers rewards length") \
    W("min_new_tokens",              "", "a completion ends where the model ends it; an entry of kind length in rewarder.scorers rewards length") \
    W("generation_kwargs",           "", "each has its key: generator.temperature, generator.top_p, ...") \
    W("max_num_seqs",                "generator.slots", "") \
    W("max_concurrent_rollouts",     "generator.slots", "completions decoded at once; what is out at all follows from lag.max") \
    W("max_num_batched_tokens",      "generator.step_rows", "") \
    W("gpu_memory_utilization",      "generator.kv_bytes", "bytes for keys and values") \
    W("vllm_gpu_memory_utilization", "generator.kv_bytes", "bytes for keys and values") \
    W("mem_fraction_static",         "generator.kv_bytes", "bytes for keys and values") \
    W("kv_cache_dtype",              "model.kv", "fp32 or bf16") \
    W("vllm_num_engines",            "generator.count", "") \
    W("num_rollout_workers",         "generator.count", "") \
    W("num_inference_engines",       "generator.count", "") \
    W("rollout_num_gpus",            "generator.count", "generators, each with generator.threads") \
    W("vllm_sync_backend",           "publish.transport", "") \
    W("weight_sync_backend",         "publish.transport", "") \
    W("use_vllm",                    "", "generators decode by themselves: section generator") \
    W("vllm_mode",                   "", "generators decode by themselves: section generator") \
    W("vllm_server_host",            "generator.learner", "generators call the learner: they are not called") \
    W("vllm_server_port",            "generator.listen", "") \
    W("vllm_server_base_url",        "generator.learner", "generators call the learner: they are not called") \
    W("vllm_tensor_parallel_size",   "", "a generator holds the whole model; more of them: generator.count") \
    W("tensor_model_parallel_size",  "", "a process holds the whole model; more generators: generator.count") \
    W("tensor_parallel_size",        "", "a process holds the whole model; more generators: generator.count")

#define RECIPE_WORDS_PACE(W) \
    W("max_head_offpolicyness",      "lag.max", "rounds, strictly kept") \
    W("max_staleness",               "lag.max", "rounds, strictly kept") \
    W("max_staleness_steps",         "lag.max", "rounds, strictly kept") \
    W("staleness_threshold",         "lag.max", "rounds, strictly kept") \
    W("staleness",                   "lag.max", "rounds, strictly kept") \
    W("max_trajectory_age_steps",    "lag.max", "rounds, strictly kept") \
    W("max_async_level",             "lag.max", "rounds, strictly kept") \
    W("async_level",                 "lag.max", "rounds, strictly kept") \
    W("max_off_policy_steps",        "lag.max", "rounds, strictly kept") \
    W("max_lag",                     "lag.max", "rounds, strictly kept") \
    W("async_queue_size",            "lag.max", "rounds that may be made ahead") \
    W("queue_size",                  "lag.max", "rounds that may be made ahead") \
    W("off_policy_mask_threshold",   "learner.mask.high", "with learner.mask.kind: opsm") \
    W("async_training",              "lag.max", "0: strictly in turn") \
    W("async_train",                 "lag.max", "0: strictly in turn") \
    W("async_grpo",                  "lag.max", "0: strictly in turn") \
    W("partial_rollout",             "generator.in_flight", "continue, recompute or finish") \
    W("enable_partial_rollout",      "generator.in_flight", "continue, recompute or finish") \
    W("in_flight_weight_updates",    "generator.in_flight", "continue, recompute or finish") \
    W("recompute_kv_cache_after_weight_updates", "generator.in_flight", "recompute") \
    W("trigger_parameter_sync_step", "publish.every", "rounds") \
    W("weight_sync_steps",           "publish.every", "rounds") \
    W("sync_interval",               "publish.every", "rounds") \
    W("update_weights_interval",     "publish.every", "rounds") \
    W("replay_buffer_size",          "replay.max_groups", "") \
    W("buffer_size",                 "replay.max_groups", "") \
    W("request_timeout",             "learner.lease_ms", "milliseconds") \
    W("setup_timeout",               "net.join_timeout_s", "")

#define RECIPE_WORDS_RUN(W) \
    W("max_steps",                   "run.rounds", "a round has learner.updates_per_round updates") \
    W("max_train_steps",             "run.rounds", "a round has learner.updates_per_round updates") \
    W("total_training_steps",        "run.rounds", "a round has learner.updates_per_round updates") \
    W("total_train_steps",           "run.rounds", "a round has learner.updates_per_round updates") \
    W("max_num_steps",               "run.rounds", "a round has learner.updates_per_round updates") \
    W("max_rollout_steps",           "run.rounds", "") \
    W("num_rollout",                 "run.rounds", "") \
    W("total_episodes",              "run.rounds", "episodes / (learner.groups * generator.num_generations)") \
    W("num_train_epochs",            "data.epochs", "with run.rounds: 0 the data alone ends the run") \
    W("num_episodes",                "data.epochs", "with run.rounds: 0 the data alone ends the run") \
    W("total_epochs",                "data.epochs", "with run.rounds: 0 the data alone ends the run") \
    W("total_train_epochs",          "data.epochs", "with run.rounds: 0 the data alone ends the run") \
    W("max_num_epochs",              "data.epochs", "with run.rounds: 0 the data alone ends the run") \
    W("num_epochs",                  "data.epochs", "with run.rounds: 0 the data alone ends the run; passes over a round: learner.epochs") \
    W("save_steps",                  "checkpoint.every", "rounds") \
    W("save_freq",                   "checkpoint.every", "rounds") \
    W("save_interval",               "checkpoint.every", "rounds") \
    W("save_period",                 "checkpoint.every", "rounds") \
    W("save_strategy",               "checkpoint.every", "rounds") \
    W("ckpt_interval",               "checkpoint.every", "rounds") \
    W("save_total_limit",            "checkpoint.keep", "") \
    W("max_ckpt_num",                "checkpoint.keep", "") \
    W("max_actor_ckpt_to_keep",      "checkpoint.keep", "") \
    W("eval_steps",                  "eval.every", "rounds") \
    W("test_freq",                   "eval.every", "rounds") \
    W("val_period",                  "eval.every", "rounds") \
    W("eval_interval",               "eval.every", "rounds") \
    W("eval_strategy",               "eval.every", "rounds; 0: none") \
    W("evaluation_strategy",         "eval.every", "rounds; 0: none") \
    W("do_eval",                     "eval.every", "rounds; 0: none") \
    W("eval_on_start",               "eval.every", "the first and the last version are evaluated too") \
    W("val_before_train",            "eval.every", "the first and the last version are evaluated too") \
    W("eval_temperature",            "eval.temperature", "") \
    W("max_eval_samples",            "eval.prompts", "") \
    W("data_seed",                   "run.seed", "") \
    W("random_seed",                 "run.seed", "") \
    W("run_name",                    "run.name", "") \
    W("experiment_name",             "run.name", "") \
    W("trial_name",                  "run.name", "") \
    W("exp_name",                    "run.name", "") \
    W("output_dir",                  "", "the run's directory is --run DIR") \
    W("default_local_dir",           "", "the run's directory is --run DIR") \
    W("save_path",                   "", "the run's directory is --run DIR") \
    W("ckpt_path",                   "", "the run's directory is --run DIR") \
    W("overwrite_output_dir",        "", "a run directory that holds a run is continued; begin with another --run DIR") \
    W("resume_from_checkpoint",      "", "a run directory that holds a run is continued") \
    W("load_checkpoint",             "", "a run directory that holds a run is continued") \
    W("resume_mode",                 "", "a run directory that holds a run is continued") \
    W("logging_steps",               "", "every round has a line in RUN/metrics.jsonl, and /metrics has it") \
    W("logging_dir",                 "", "logs are in RUN/logs, metrics in RUN/metrics.jsonl") \
    W("report_to",                   "", "every round has a line in RUN/metrics.jsonl, and /metrics has it") \
    W("use_wandb",                   "", "every round has a line in RUN/metrics.jsonl, and /metrics has it") \
    W("use_tensorboard",             "", "every round has a line in RUN/metrics.jsonl, and /metrics has it") \
    W("wandb_project",               "", "every round has a line in RUN/metrics.jsonl, and /metrics has it") \
    W("logger",                      "", "every round has a line in RUN/metrics.jsonl, and /metrics has it") \
    W("log_completions",             "learner.samples", "a number of groups; RUN/samples.jsonl has them") \
    W("push_to_hub",                 "", "checkpoints are Hugging Face directories: RUN/checkpoints")

#define RECIPE_WORDS_DATA(W) \
    W("model_name_or_path",          "model.path", "") \
    W("model_name",                  "model.path", "") \
    W("model_path",                  "model.path", "") \
    W("actor_model_path",            "model.path", "") \
    W("actor_rollout_ref.model.path", "model.path", "") \
    W("actor.path",                  "model.path", "") \
    W("sft_model_path",              "model.path", "") \
    W("hf_checkpoint",               "model.path", "") \
    W("pretrain",                    "model.path", "") \
    W("tokenizer_name_or_path",      "model.path", "the tokenizer lies in the model's directory") \
    W("tokenizer_path",              "model.path", "the tokenizer lies in the model's directory") \
    W("tokenizer_name",              "model.path", "the tokenizer lies in the model's directory") \
    W("ref_model_path",              "rewarder.reference_path", "with rewarder.reference: frozen") \
    W("ref_model",                   "rewarder.reference_path", "with rewarder.reference: frozen") \
    W("ref_load",                    "rewarder.reference_path", "with rewarder.reference: frozen") \
    W("ref_pretrain",                "rewarder.reference_path", "with rewarder.reference: frozen") \
    W("reference_model",             "rewarder.reference_path", "with rewarder.reference: frozen") \
    W("ref.path",                    "rewarder.reference_path", "with rewarder.reference: frozen") \
    W("sync_ref_model",              "learner.reference.kind", "ema (true) or none, with rewarder.reference: none") \
    W("ref_model_mixup_alpha",       "learner.reference.mixup_alpha", "with learner.reference.kind: ema") \
    W("ref_model_sync_steps",        "learner.reference.sync_steps", "with learner.reference.kind: ema") \
    W("ref_reset_freq",              "rewarder.reference", "none or frozen: it does not move") \
    W("precompute_ref_log_probs",    "rewarder.reference", "the rewarder adds them as groups pass") \
    W("reward_funcs",                "rewarder.scorers", "a list of kinds: exact, regex, format, length, rouge, reward_model") \
    W("reward_func",                 "rewarder.scorers", "a list of kinds: exact, regex, format, length, rouge, reward_model") \
    W("reward_fn",                   "rewarder.scorers", "a list of kinds: exact, regex, format, length, rouge, reward_model") \
    W("reward_function",             "rewarder.scorers", "a list of kinds: exact, regex, format, length, rouge, reward_model") \
    W("custom_reward_function",      "rewarder.scorers", "a list of kinds: exact, regex, format, length, rouge, reward_model") \
    W("rm_type",                     "rewarder.scorers", "a list of kinds: exact, regex, format, length, rouge, reward_model") \
    W("reward_weights",              "rewarder.scorers", "weight of each entry") \
    W("remote_rm_url",               "rewarder.scorers", "an entry {kind: http, shape: openrlhf, url: URL}") \
    W("rm_url",                      "rewarder.scorers", "an entry {kind: http, shape: slime, url: URL}") \
    W("reward_pretrain",             "rewarder.scorers", "an entry {kind: reward_model, path: DIRECTORY}") \
    W("reward_model_path",           "rewarder.scorers", "an entry {kind: reward_model, path: DIRECTORY}") \
    W("reward_model",                "rewarder.scorers", "an entry {kind: reward_model, path: DIRECTORY}") \
    W("reward_model_name_or_path",   "rewarder.scorers", "an entry {kind: reward_model, path: DIRECTORY}") \
    W("dataset_name",                "data.train", "a file of JSON lines") \
    W("dataset_path",                "data.train", "a file of JSON lines") \
    W("dataset",                     "data.train", "a file of JSON lines") \
    W("train_dataset",               "data.train", "a file of JSON lines") \
    W("train_files",                 "data.train", "a file of JSON lines") \
    W("train_file",                  "data.train", "a file of JSON lines") \
    W("train_data",                  "data.train", "a file of JSON lines") \
    W("prompt_data",                 "data.train", "a file of JSON lines") \
    W("dataset_train_split",         "data.train", "a file of JSON lines") \
    W("eval_dataset",                "data.eval", "a file of JSON lines") \
    W("val_files",                   "data.eval", "a file of JSON lines") \
    W("valid_dataset",               "data.eval", "a file of JSON lines") \
    W("val_data",                    "data.eval", "a file of JSON lines") \
    W("eval_prompt_data",            "data.eval", "a file of JSON lines") \
    W("dataset_test_split",          "data.eval", "a file of JSON lines") \
    W("input_key",                   "data.prompt_column", "") \
    W("prompt_key",                  "data.prompt_column", "") \
    W("dataset_text_field",          "data.text_column", "") \
    W("output_key",                  "data.completion_column", "") \
    W("label_key",                   "rewarder.scorers", "column of an entry") \
    W("reward_fn_key",               "rewarder.scorers", "column of an entry") \
    W("answer_key",                  "rewarder.scorers", "column of an entry") \
    W("shuffle_dataset",             "data.shuffle", "") \
    W("rollout_shuffle",             "data.shuffle", "") \
    W("chat_template",               "model.path", "the template in that directory renders rows of messages") \
    W("apply_chat_template",         "", "rows of messages are rendered, rows of text are not") \
    W("chat_template_kwargs",        "", "a column of that name in each row") \
    W("chat_template_path",          "model.path", "the template in that directory renders rows of messages") \
    W("system_prompt",               "", "a message of the role system in each row") \
    W("dataloader_num_workers",      "", "rows are read as they are leased") \
    W("remove_unused_columns",       "", "a row keeps all of its columns") \
    W("dataset_num_proc",            "", "rows are read as they are leased") \
    W("packing",                     "learner.micro_tokens", "sequences are always packed") \
    W("packing_samples",             "learner.micro_tokens", "sequences are always packed") \
    W("padding_free",                "learner.micro_tokens", "sequences are always packed") \
    W("completion_only_loss",        "sft.completion_only_loss", "") \
    W("assistant_only_loss",         "sft.assistant_only_loss", "")

#define RECIPE_WORDS_SYSTEM(W) \
    W("bf16",                        "", "weights are bf16, the optimizer's fp32; keys and values: model.kv") \
    W("fp16",                        "", "weights are bf16, the optimizer's fp32; keys and values: model.kv") \
    W("dtype",                       "", "weights are bf16, the optimizer's fp32; keys and values: model.kv") \
    W("torch_dtype",                 "", "weights are bf16, the optimizer's fp32; keys and values: model.kv") \
    W("precision",                   "", "weights are bf16, the optimizer's fp32; keys and values: model.kv") \
    W("enable_gradient_checkpointing", "learner.gradient_checkpointing", "") \
    W("gradient_checkpointing_kwargs", "learner.gradient_checkpointing", "true or false") \
    W("recompute_granularity",       "learner.gradient_checkpointing", "true or false") \
    W("activation_checkpointing",    "learner.gradient_checkpointing", "") \
    W("activation_offloading",       "learner.gradient_checkpointing", "") \
    W("deepspeed",                   "", "the learner holds the whole model") \
    W("zero_stage",                  "", "the learner holds the whole model") \
    W("fsdp", "", "the learner holds the whole model") W("fsdp_config", "", "the learner holds the whole model") \
    W("offload",                     "", "the learner holds the whole model") \
    W("colocate_all_models",         "", "generator, rewarder and learner are processes of their own") \
    W("hybrid_engine",               "", "generator, rewarder and learner are processes of their own") \
    W("num_gpus_per_node",           "generator.count", "") \
    W("n_gpus_per_node",             "generator.count", "") \
    W("nnodes",                      "generator.count", "") \
    W("use_peft",                    "lora.r", "above 0") \
    W("lora_r",                      "lora.r", "") \
    W("lora_rank",                   "lora.r", "") \
    W("lora_alpha",                  "lora.alpha", "") \
    W("lora_dropout",                "lora.dropout", "must be 0") \
    W("lora_target_modules",         "lora.target_modules", "") \
    W("load_in_4bit",                "", "weights are bf16") \
    W("load_in_8bit",                "", "weights are bf16") \
    W("attn_implementation",         "", "there is one attention, the same in generation and training") \
    W("flash_attn",                  "", "there is one attention, the same in generation and training") \
    W("use_liger_kernel",            "", "there is one set of kernels") \
    W("trust_remote_code",           "", "no code is loaded from a model's directory") \
    W("model_revision",              "model.path", "a directory") \
    W("model_init_kwargs",           "model.path", "the directory's config.json says all") \
    W("disable_dropout",             "", "there is no dropout") \
    W("ddp_timeout",                 "net.join_timeout_s", "")

#define RECIPE_WORDS_SFT(W) \
    W("sft.learning_rate",           "sft.optimizer.lr", "") \
    W("sft.max_grad_norm",           "sft.optimizer.clip_norm", "") \
    W("sft.lr_scheduler_type",       "sft.optimizer.schedule", "constant, linear or cosine") \
    W("sft.warmup_steps",            "sft.optimizer.warmup", "counted in updates") \
    W("sft.warmup_ratio",            "sft.optimizer.warmup", "in updates: ratio * sft.steps, or the updates of sft.epochs where they are fewer") \
    W("sft.batch_size",              "sft.batch", "") \
    W("sft.train_batch_size",        "sft.batch", "") \
    W("sft.per_device_train_batch_size", "sft.batch", "rows of one update") \
    W("sft.max_steps",               "sft.steps", "") \
    W("sft.num_train_epochs",        "sft.epochs", "with sft.steps: 0 the data alone ends it") \
    W("sft.num_epochs",              "sft.epochs", "with sft.steps: 0 the data alone ends it") \
    W("sft.max_length",              "sft.max_tokens", "a longer row is skipped, not cut") \
    W("sft.max_seq_length",          "sft.max_tokens", "a longer row is skipped, not cut") \
    W("sft.max_len",                 "sft.max_tokens", "a longer row is skipped, not cut") \
    W("sft.model_name_or_path",      "sft.model", "") \
    W("sft.dataset_name",            "sft.data", "a file of JSON lines") \
    W("sft.dataset",                 "sft.data", "a file of JSON lines") \
    W("sft.output_dir",              "sft.output", "")

#define RECIPE_WORDS(W) \
    RECIPE_WORDS_SFT(W) \
    RECIPE_WORDS_OPTIMIZER(W) \
    RECIPE_WORDS_BATCH(W) \
    RECIPE_WORDS_REWARD(W) \
    RECIPE_WORDS_OBJECTIVE(W) \
    RECIPE_WORDS_SAMPLING(W) \
    RECIPE_WORDS_PACE(W) \
    RECIPE_WORDS_RUN(W) \
    RECIPE_WORDS_DATA(W) \
    RECIPE_WORDS_SYSTEM(W)
