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
    {"rope_theta", KEY_THETA, AT(rope_theta), .otherwise = 10000},
    {"rope_scaling", KEY_FIXED, .only = "null"},
    {"attention_bias", KEY_FIXED, .only = "false"},
    {"mlp_bias", KEY_FIXED, .only = "false"},
    {"quantization_config", KEY_FIXED, .only = "null"},
    {"tie_word_embeddings", KEY_BOOL, AT(tied)},
    {NULL},
};

/* The first row is what `rlhfctl model new` makes. */
static const struct model_family families[] = {
    {
        .model_type = "llama",
        .architecture = "LlamaForCausalLM",
        .value_architecture = "LlamaForSequenceClassification",
        .keys = llama_keys,
        .norm = NORM_RMS,
        .activation = ACTIVATION_SWIGLU,
        .rotation = ROTATE_HALVES,
        .order = LAYER_SEQUENTIAL,
        .embed = {"model.embed_tokens", DIM_V, DIM_C},
        .layer = {[PARAM_NORM1] = {"model.layers.%d.input_layernorm", DIM_C},
                  [PARAM_Q] = {"model.layers.%d.self_attn.q_proj", DIM_HD, DIM_C},
                  [PARAM_K] = {"model.layers.%d.self_attn.k_proj", DIM_KD, DIM_C},
                  [PARAM_V] = {"model.layers.%d.self_attn.v_proj", DIM_KD, DIM_C},
                  [PARAM_O] = {"model.layers.%d.self_attn.o_proj", DIM_C, DIM_HD},
                  [PARAM_NORM2] = {"model.layers.%d.post_attention_layernorm", DIM_C},
                  [PARAM_GATE] = {"model.layers.%d.mlp.gate_proj", DIM_F, DIM_C},
                  [PARAM_UP] = {"model.layers.%d.mlp.up_proj", DIM_F, DIM_C},
                  [PARAM_DOWN] = {"model.layers.%d.mlp.down_proj", DIM_C, DIM_F}},
        .final_norm = {"model.norm", DIM_C},
        .head = {[HEAD_VOCABULARY] = {"lm_head", DIM_V, DIM_C},
                 [HEAD_VALUE] = {"score", DIM_ONE, DIM_C}},
        .ignored = ".rotary_emb.inv_freq", // old versions of transformers saved it
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
