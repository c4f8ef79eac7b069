/* The recipe's options that are one of a few words, as enums. A row C(key, enum, default, ...) of
 * recipe_table.h reads one.
 *
 *     if (recipe->lag.straggler == RECIPE_STRAGGLER_DROP) ...
 */
#pragma once

/* In the order of their words in the table. */
enum recipe_kv { RECIPE_KV_FP32, RECIPE_KV_BF16 }; // tensor/backend.h's kv_format
enum recipe_head { RECIPE_HEAD_BF16, RECIPE_HEAD_FLOAT32 };
enum recipe_backend {
    RECIPE_BACKEND_AUTO,
    RECIPE_BACKEND_CPU,
    RECIPE_BACKEND_CUDA // model/backend_recipe.c
};
enum recipe_on_complete { RECIPE_COMPLETE_EXIT, RECIPE_COMPLETE_STAY };
enum recipe_special_tokens { RECIPE_SPECIAL_TEXT, RECIPE_SPECIAL_TOKENS };
enum recipe_boundary { RECIPE_BOUNDARY_TOKENS, RECIPE_BOUNDARY_TEXT };
enum recipe_log_format { RECIPE_LOG_DEFAULT, RECIPE_LOG_TEXT, RECIPE_LOG_JSON };
enum recipe_log_stream { RECIPE_STREAM_DEFAULT, RECIPE_STREAM_STDOUT };
enum recipe_mixed_numerics { RECIPE_NUMERICS_TOLERATE, RECIPE_NUMERICS_REFUSE };
enum recipe_lora_init { RECIPE_LORA_KAIMING, RECIPE_LORA_GAUSSIAN }; // model/adapter.h's lora_init
enum recipe_states { RECIPE_STATES_DEVICE, RECIPE_STATES_HOST }; // model/states.h's states_place
enum recipe_last_batch { RECIPE_LAST_SHORT, RECIPE_LAST_DROP };
enum recipe_kl_place { RECIPE_KL_IN_LOSS, RECIPE_KL_IN_REWARD };
enum recipe_kl_logp { RECIPE_KL_OF_BEHAVIOUR, RECIPE_KL_OF_PROXIMAL };
enum recipe_squash { RECIPE_SQUASH_NONE, RECIPE_SQUASH_SIGMOID, RECIPE_SQUASH_TANH };
enum recipe_comparison { RECIPE_COMPARISON_AUTO, RECIPE_COMPARISON_CHAT, RECIPE_COMPARISON_TEXT };
enum recipe_missing_eos { RECIPE_EOS_KEEP, RECIPE_EOS_SUBTRACT, RECIPE_EOS_REPLACE };
enum recipe_normalize { RECIPE_NORMALIZE_NONE, RECIPE_NORMALIZE_STD, RECIPE_NORMALIZE_MEAN_STD };
enum recipe_reference_kind {
    RECIPE_REFERENCE_NONE,
    RECIPE_REFERENCE_FROZEN,
    RECIPE_REFERENCE_EMA,
    RECIPE_REFERENCE_RESET
};
enum recipe_truncated { RECIPE_TRUNCATED_TERMINAL, RECIPE_TRUNCATED_BOOTSTRAP };
enum recipe_critic_model { RECIPE_CRITIC_SEPARATE, RECIPE_CRITIC_SHARED };
enum recipe_critic_head { RECIPE_CRITIC_ZERO, RECIPE_CRITIC_NORMAL };
enum recipe_critic_values { RECIPE_VALUES_ROUND, RECIPE_VALUES_EPOCH };
enum recipe_in_flight { RECIPE_CONTINUE, RECIPE_RECOMPUTE, RECIPE_FINISH };
enum recipe_compress { RECIPE_COMPRESS_AUTO, RECIPE_COMPRESS_NONE, RECIPE_COMPRESS_ZSTD };
enum recipe_ratio_to { RECIPE_TO_BEHAVIOUR, RECIPE_TO_PROXIMAL };
enum recipe_ties { RECIPE_TIES_SKIP, RECIPE_TIES_FIRST };
enum recipe_transport { RECIPE_GRPC, RECIPE_NCCL, RECIPE_AUTO };
enum recipe_policy {
    RECIPE_FIFO,
    RECIPE_UNIFORM,
    /* learner/store/store.h's replay_policy */
    RECIPE_PRIORITY
};
enum recipe_on_stale { RECIPE_STALE_DROP, RECIPE_STALE_KEEP };
enum recipe_straggler { RECIPE_STRAGGLER_WAIT, RECIPE_STRAGGLER_DROP };
