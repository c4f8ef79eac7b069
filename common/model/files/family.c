#include "model/files/family.h"
#include "model/files/config.h"
#include <string.h>

#define AT(field) offsetof(struct model_config, field)

static const struct config_key llama_keys[] = {
    {"vocab_size", KEY_INT, AT(V), .required = true},
    {"hidden_size", KEY_INT, AT(C), .required = true},
    {"intermediate_size", KEY_INT, AT(F), .required = true},
    {"num_hidden_layers", KEY_INT, AT(L), .required = true},
    {"num_attention_heads", KEY_INT, AT(H), .required = true},
    {"num_key_value_heads", KEY_INT, AT(K)},
    {"head_dim", KEY_INT, AT(D)},
    {"max_position_embeddings", KEY_INT, AT(max_positions), .otherwise = 2048},
    {"hidden_act", KEY_FIXED, .only = "\"silu\""},
    {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), .otherwise = 1e-6},
    {"rope_theta", KEY_ROPE, AT(rope.theta), .otherwise = 10000},
    {"attention_bias", KEY_FIXED, .only = "false"},
    {"mlp_bias", KEY_FIXED, .only = "false"},
    {"tie_word_embeddings", KEY_BOOL, AT(tied)},
    {NULL},
};

/* Layers from max_window_layers on have the window, if use_sliding_window says so. */
#define QWEN_KEYS                                                                                  \
    {"vocab_size", KEY_INT, AT(V), .required = true},                                              \
        {"hidden_size", KEY_INT, AT(C), .required = true},                                         \
        {"intermediate_size", KEY_INT, AT(F), .required = true},                                   \
        {"num_hidden_layers", KEY_INT, AT(L), .required = true},                                   \
        {"num_attention_heads", KEY_INT, AT(H), .required = true},                                 \
        {"num_key_value_heads", KEY_INT, AT(K), .otherwise = 32},                                  \
        {"max_position_embeddings", KEY_INT, AT(max_positions), .otherwise = 32768},               \
        {"hidden_act", KEY_FIXED, .only = "\"silu\""},                                             \
        {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), .otherwise = 1e-6},                             \
        {"rope_theta", KEY_ROPE, AT(rope.theta), .otherwise = 10000},                              \
        {"use_sliding_window", KEY_BOOL, AT(windowed)},                                            \
        {"sliding_window", KEY_WINDOW, AT(window), .otherwise = 4096},                             \
        {"max_window_layers", KEY_FROM, AT(window_from), .otherwise = 28},                         \
    {                                                                                              \
        "tie_word_embeddings", KEY_BOOL, AT(tied)                                                  \
    }

static const struct config_key qwen2_keys[] = {
    QWEN_KEYS,
    {"head_dim", KEY_INT, AT(D)},
    {NULL},
};

static const struct config_key qwen3_keys[] = {
    QWEN_KEYS,
    {"head_dim", KEY_INT, AT(D), .otherwise = 128},
    {"attention_bias", KEY_FIXED, .only = "false"},
    {NULL},
};

static const struct config_key mistral_keys[] = {
    {"vocab_size", KEY_INT, AT(V), .required = true},
    {"hidden_size", KEY_INT, AT(C), .required = true},
    {"intermediate_size", KEY_INT, AT(F), .required = true},
    {"num_hidden_layers", KEY_INT, AT(L), .required = true},
    {"num_attention_heads", KEY_INT, AT(H), .required = true},
    {"num_key_value_heads", KEY_INT, AT(K), .otherwise = 8},
    {"head_dim", KEY_INT, AT(D)},
    {"max_position_embeddings", KEY_INT, AT(max_positions), .otherwise = 131072},
    {"hidden_act", KEY_FIXED, .only = "\"silu\""},
    {"rms_norm_eps", KEY_NUMBER, AT(norm_eps), .otherwise = 1e-6},
    {"rope_theta", KEY_ROPE, AT(rope.theta), .otherwise = 10000},
    {"sliding_window", KEY_WINDOW, AT(window), .otherwise = 4096},
    {"tie_word_embeddings", KEY_BOOL, AT(tied)},
    {NULL},
};

static const struct config_key gpt_neox_keys[] = {
    {"vocab_size", KEY_INT, AT(V), .required = true},
    {"hidden_size", KEY_INT, AT(C), .required = true},
    {"intermediate_size", KEY_INT, AT(F), .required = true},
    {"num_hidden_layers", KEY_INT, AT(L), .required = true},
    {"num_attention_heads", KEY_INT, AT(H), .required = true},
    {"max_position_embeddings", KEY_INT, AT(max_positions), .otherwise = 2048},
    {"hidden_act", KEY_ACTIVATION, AT(activation)},
    {"layer_norm_eps", KEY_NUMBER, AT(norm_eps), .otherwise = 1e-5},
    {"rotary_pct", KEY_NUMBER, AT(rotary), .otherwise = 0.25},
    {"rotary_emb_base", KEY_ROPE, AT(rope.theta), .otherwise = 10000},
    {"use_parallel_residual", KEY_PARALLEL, AT(order), .otherwise = 1},
    {"attention_bias", KEY_FIXED, .only = "true"},
    {"tie_word_embeddings", KEY_BOOL, AT(tied)},
    {NULL},
};

static const struct config_key gpt2_keys[] = {
    {"vocab_size", KEY_INT, AT(V), .required = true},
    {"n_embd", KEY_INT, AT(C), .required = true},
    {"n_inner", KEY_INT, AT(F)},
    {"n_layer", KEY_INT, AT(L), .required = true},
    {"n_head", KEY_INT, AT(H), .required = true},
    {"n_positions", KEY_INT, AT(max_positions), .otherwise = 1024},
    {"n_ctx", KEY_COPY, AT(max_positions)}, // llama.cpp's converter has no other
    {"activation_function", KEY_ACTIVATION, AT(activation)},
    {"layer_norm_epsilon", KEY_NUMBER, AT(norm_eps), .otherwise = 1e-5},
    {"scale_attn_weights", KEY_FIXED, .only = "true"},
    {"scale_attn_by_inverse_layer_idx", KEY_FIXED, .only = "false"},
    {"add_cross_attention", KEY_FIXED, .only = "false"},
    {"tie_word_embeddings", KEY_BOOL, AT(tied), .otherwise = 1},
    {NULL},
};

/* Llama's modules, which others have with biases of q, k and v, or with norms of q and k. */
#define LLAMA_MODULES(qkv_bias, q_norm, k_norm)                                                    \
    .norm = NORM_RMS, .activation = ACTIVATION_SWIGLU, .order = LAYER_SEQUENTIAL,                  \
    .embed = {"model.embed_tokens", DIM_V, DIM_C},                                                 \
    .layer = {[PARAM_NORM1] = {"model.layers.%d.input_layernorm", DIM_C},                          \
              [PARAM_Q] = {"model.layers.%d.self_attn.q_proj", DIM_HD, DIM_C, .bias = qkv_bias},   \
              [PARAM_K] = {"model.layers.%d.self_attn.k_proj", DIM_KD, DIM_C, .bias = qkv_bias},   \
              [PARAM_V] = {"model.layers.%d.self_attn.v_proj", DIM_KD, DIM_C, .bias = qkv_bias},   \
              [PARAM_Q_NORM] = {q_norm, DIM_D},                                                    \
              [PARAM_K_NORM] = {k_norm, DIM_D},                                                    \
              [PARAM_O] = {"model.layers.%d.self_attn.o_proj", DIM_C, DIM_HD},                     \
              [PARAM_NORM2] = {"model.layers.%d.post_attention_layernorm", DIM_C},                 \
              [PARAM_GATE] = {"model.layers.%d.mlp.gate_proj", DIM_F, DIM_C},                      \
              [PARAM_UP] = {"model.layers.%d.mlp.up_proj", DIM_F, DIM_C},                          \
              [PARAM_DOWN] = {"model.layers.%d.mlp.down_proj", DIM_C, DIM_F}},                     \
    .final_norm = {"model.norm", DIM_C},                                                           \
    .head =                                                                                        \
        {[HEAD_VOCABULARY] = {"lm_head", DIM_V, DIM_C}, [HEAD_VALUE] = {"score", DIM_ONE, DIM_C}}, \
    .ignored = {".rotary_emb.inv_freq"} /* old versions of transformers saved it */

/* A part of a family's fused map of q, k and v; a map of GPT-2, whose files have it transposed. */
#define NEOX_PART(name, i)                                                                         \
    {                                                                                              \
        "gpt_neox.layers.%d.attention." name, DIM_HD, DIM_C,                                       \
            .bias = true, .fused = FUSED_HEADS, .part = i,                                         \
            .within = "gpt_neox.layers.%d.attention.query_key_value"                               \
    }
#define GPT2_PART(name, i)                                                                         \
    {                                                                                              \
        "transformer.h.%d.attn." name, DIM_HD, DIM_C, .bias = true, .transposed = true,            \
                                                      .fused = FUSED_BLOCKS, .part = i,            \
                                                      .within = "transformer.h.%d.attn.c_attn"     \
    }
#define GPT2_MAP(name, rows, cols)                                                                 \
    {                                                                                              \
        "transformer.h.%d." name, rows, cols, .bias = true, .transposed = true                     \
    }

/* The first row is what `rlhfctl model new` makes. */
static const struct model_family families[] = {
    {
        .model_type = "llama",
        .architecture = "LlamaForCausalLM",
        .value_architecture = "LlamaForSequenceClassification",
        .keys = llama_keys,
        LLAMA_MODULES(false, NULL, NULL),
    },
    {
        .model_type = "qwen2",
        .architecture = "Qwen2ForCausalLM",
        .value_architecture = "Qwen2ForSequenceClassification",
        .keys = qwen2_keys,
        LLAMA_MODULES(true, NULL, NULL),
    },
    {
        .model_type = "qwen3",
        .architecture = "Qwen3ForCausalLM",
        .value_architecture = "Qwen3ForSequenceClassification",
        .keys = qwen3_keys,
        LLAMA_MODULES(false, "model.layers.%d.self_attn.q_norm",
                      "model.layers.%d.self_attn.k_norm"),
    },
    {
        .model_type = "mistral",
        .architecture = "MistralForCausalLM",
        .value_architecture = "MistralForSequenceClassification",
        .keys = mistral_keys,
        .windowed = true,
        LLAMA_MODULES(false, NULL, NULL),
    },
    {
        .model_type = "gpt_neox",
        .architecture = "GPTNeoXForCausalLM",
        .value_architecture = "GPTNeoXForSequenceClassification",
        .keys = gpt_neox_keys,
        .norm = NORM_LAYER,
        .activation = ACTIVATION_GELU,
        .order = LAYER_PARALLEL,
        .embed = {"gpt_neox.embed_in", DIM_V, DIM_C},
        .layer = {[PARAM_NORM1] = {"gpt_neox.layers.%d.input_layernorm", DIM_C, .bias = true},
                  [PARAM_Q] = NEOX_PART("query", 0),
                  [PARAM_K] = NEOX_PART("key", 1),
                  [PARAM_V] = NEOX_PART("value", 2),
                  [PARAM_O] = {"gpt_neox.layers.%d.attention.dense", DIM_C, DIM_HD, .bias = true},
                  [PARAM_NORM2] = {"gpt_neox.layers.%d.post_attention_layernorm", DIM_C,
                                   .bias = true},
                  [PARAM_UP] = {"gpt_neox.layers.%d.mlp.dense_h_to_4h", DIM_F, DIM_C, .bias = true},
                  [PARAM_DOWN] = {"gpt_neox.layers.%d.mlp.dense_4h_to_h", DIM_C, DIM_F,
                                  .bias = true}},
        .final_norm = {"gpt_neox.final_layer_norm", DIM_C, .bias = true},
        .head = {[HEAD_VOCABULARY] = {"embed_out", DIM_V, DIM_C},
                 [HEAD_VALUE] = {"score", DIM_ONE, DIM_C}},
        /* The causal mask, as old versions saved it. */
        .ignored = {".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"},
    },
    {
        .model_type = "gpt2",
        .architecture = "GPT2LMHeadModel",
        .value_architecture = "GPT2ForSequenceClassification",
        .keys = gpt2_keys,
        .norm = NORM_LAYER,
        .activation = ACTIVATION_GELU_TANH,
        .order = LAYER_SEQUENTIAL,
        .embed = {"transformer.wte", DIM_V, DIM_C},
        .position = {"transformer.wpe", DIM_P, DIM_C},
        .layer = {[PARAM_NORM1] = {"transformer.h.%d.ln_1", DIM_C, .bias = true},
                  [PARAM_Q] = GPT2_PART("q", 0),
                  [PARAM_K] = GPT2_PART("k", 1),
                  [PARAM_V] = GPT2_PART("v", 2),
                  [PARAM_O] = GPT2_MAP("attn.c_proj", DIM_C, DIM_HD),
                  [PARAM_NORM2] = {"transformer.h.%d.ln_2", DIM_C, .bias = true},
                  [PARAM_UP] = GPT2_MAP("mlp.c_fc", DIM_F, DIM_C),
                  [PARAM_DOWN] = GPT2_MAP("mlp.c_proj", DIM_C, DIM_F)},
        .final_norm = {"transformer.ln_f", DIM_C, .bias = true},
        .head = {[HEAD_VOCABULARY] = {"lm_head", DIM_V, DIM_C},
                 [HEAD_VALUE] = {"score", DIM_ONE, DIM_C}},
        .prefix = "transformer.",
        .ignored = {".attn.bias", ".attn.masked_bias"},
    },
};
enum { FAMILIES = sizeof families / sizeof *families };

const struct model_family *family_find(const char *model_type)
{
    for (int i = 0; i < FAMILIES; i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

const struct model_family *family_at(int i)
{
    return i >= 0 && i < FAMILIES ? &families[i] : NULL;
}

const struct config_key *family_key(const struct model_family *family, size_t at)
{
    for (const struct config_key *key = family->keys; key->key; key++)
        if (key->at == at && key->kind != KEY_FIXED)
            return key;
    return NULL;
}
