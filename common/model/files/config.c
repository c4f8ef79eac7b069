#include "model/files/config.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CONFIG_MAX_BYTES = 1 << 20 };

static const struct model_family families[] = {
    {"llama", "LlamaForCausalLM"},
};

const struct model_family *family_find(const char *model_type)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

/* Keys of config.json that are whole numbers: where they go, what they may be. optional: 0 means
 * not there, and config_parse then puts transformers' default. D must suit the attention kernels'
 * vectors. */
enum {
    V_MAX = 1 << 22,
    C_MAX = 1 << 16,
    F_MAX = 1 << 18,
    L_MAX = 1024,
    H_MAX = 1024,
    D_MAX = 1024,
    T_MAX = 1 << 22
};
static const struct {
    const char *key;
    size_t at;
    int max;
    bool optional;
} shape_keys[] = {
    {"vocab_size", offsetof(struct model_config, V), V_MAX, false},
    {"hidden_size", offsetof(struct model_config, C), C_MAX, false},
    {"intermediate_size", offsetof(struct model_config, F), F_MAX, false},
    {"num_hidden_layers", offsetof(struct model_config, L), L_MAX, false},
    {"num_attention_heads", offsetof(struct model_config, H), H_MAX, false},
    {"num_key_value_heads", offsetof(struct model_config, K), H_MAX, true},
    {"head_dim", offsetof(struct model_config, D), D_MAX, true},
    {"max_position_embeddings", offsetof(struct model_config, max_positions), T_MAX, true},
};
enum { SHAPE_KEYS = sizeof shape_keys / sizeof *shape_keys };

struct model_config config_llama(int V, int C, int F, int L, int H, int K, int max_positions,
                                 bool tied)
{
    return (struct model_config){.family = &families[0],
                                 .V = V,
                                 .C = C,
                                 .F = F,
                                 .L = L,
                                 .H = H,
                                 .K = K,
                                 .D = H > 0 ? C / H : 0,
                                 .max_positions = max_positions,
                                 .rms_eps = 1e-5,
                                 .rope_theta = 10000,
                                 .tied = tied,
                                 .bos = -1,
                                 .pad = -1,
                                 .dtype = DTYPE_BF16};
}

err_t config_check(const struct model_config *config, const char *name)
{
    for (int i = 0; i < SHAPE_KEYS; i++) {
        int value = *(const int *)((const char *)config + shape_keys[i].at);
        if (value < 1 || value > shape_keys[i].max)
            return err_new(ERR_INVALID, "%s: '%s' is %d; it must be from 1 to %d", name,
                           shape_keys[i].key, value, shape_keys[i].max);
    }
    if (config->H % config->K)
        return err_new(ERR_INVALID,
                       "%s: 'num_attention_heads' %d is not a multiple of 'num_key_value_heads' %d",
                       name, config->H, config->K);
    if (config->D % 16)
        return err_new(ERR_INVALID,
                       "%s: head size %d is not a multiple of 16 ('head_dim', or 'hidden_size' / "
                       "'num_attention_heads')",
                       name, config->D);
    if (!(config->rms_eps > 0 && config->rms_eps < 1))
        return err_new(ERR_INVALID, "%s: 'rms_norm_eps' is %g; it must be between 0 and 1", name,
                       config->rms_eps);
    if (!(config->rope_theta >= 1 && config->rope_theta < 1e12))
        return err_new(ERR_INVALID, "%s: 'rope_theta' is %g; it must be from 1 to 1e12", name,
                       config->rope_theta);
    if (config->bos >= config->V || config->pad >= config->V)
        return err_new(ERR_INVALID,
                       "%s: 'bos_token_id' %d or 'pad_token_id' %d is outside the vocabulary of %d",
                       name, config->bos, config->pad, config->V);
    for (int i = 0; i < config->eos_count; i++)
        if (config->eos[i] < 0 || config->eos[i] >= config->V)
            return err_new(ERR_INVALID, "%s: 'eos_token_id' %d is outside the vocabulary of %d",
                           name, config->eos[i], config->V);
    return OK;
}

static err_t parse_family(const json_t *json, const char *name, const struct model_family **ret)
{
    const char *type;
    TRY(json_get_text(json, name, "model_type", &type));
    const struct model_family *family = family_find(type);
    if (!family)
        return err_new(ERR_INVALID, "%s: 'model_type' is '%.40s'; it must be 'llama'", name, type);
    const json_t *architectures = json_object_get(json, "architectures");
    const json_t *first = json_array_get(architectures, 0);
    if (first &&
        (!json_is_string(first) || strcmp(json_string_value(first), family->architecture) != 0))
        return err_new(ERR_INVALID, "%s: 'architectures' names another model than '%s'", name,
                       family->architecture);
    *ret = family;
    return OK;
}

/* Whatever these say beyond the allowed value would change the arithmetic. */
static err_t refuse_unsupported(const json_t *json, const char *name)
{
    static const char *const must_be_false[] = {"attention_bias", "mlp_bias"};
    static const char *const must_be_absent[] = {"rope_scaling", "quantization_config"};
    for (size_t i = 0; i < 2; i++) {
        bool set = false;
        TRY(json_get_bool_or(json, name, must_be_false[i], &set));
        if (set)
            return err_new(ERR_INVALID, "%s: '%s' is true; only false is supported", name,
                           must_be_false[i]);
    }
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(json, must_be_absent[i]);
        if (!value || json_is_null(value))
            continue;
        SCOPED_MEM char *text = json_to_text(value);
        return err_new(ERR_INVALID, "%s: '%s' is %.80s; only null is supported", name,
                       must_be_absent[i], text);
    }
    const json_t *act = json_object_get(json, "hidden_act");
    if (act && !json_is_null(act) &&
        (!json_is_string(act) || strcmp(json_string_value(act), "silu") != 0)) {
        SCOPED_MEM char *text = json_to_text(act);
        return err_new(ERR_INVALID, "%s: 'hidden_act' is %.40s; only \"silu\" is supported", name,
                       text);
    }
    return OK;
}

/* transformers 4 has rope_theta, transformers 5 rope_parameters {rope_theta, rope_type}. */
static err_t parse_rope(const json_t *json, const char *name, double *theta)
{
    TRY(json_get_number_or(json, name, "rope_theta", theta));
    const json_t *rope = json_object_get(json, "rope_parameters");
    if (!rope || json_is_null(rope))
        return OK;
    if (!json_is_object(rope))
        return err_new(ERR_INVALID, "%s: 'rope_parameters' must be an object", name);
    SCOPED_MEM char *inside = mem_printf("%s: rope_parameters", name);
    TRY(json_get_number_or(rope, inside, "rope_theta", theta));
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)rope, key, value) {
        bool known = strcmp(key, "rope_theta") == 0 || json_is_null(value);
        if (strcmp(key, "rope_type") == 0 || strcmp(key, "type") == 0)
            known = json_is_string(value) && strcmp(json_string_value(value), "default") == 0;
        if (!known) {
            SCOPED_MEM char *text = json_to_text(value);
            return err_new(
                ERR_INVALID,
                "%s: '%.40s' is %.40s; only rope_theta and rope_type \"default\" are supported",
                inside, key, text);
        }
    }
    return OK;
}

/* -1, as some old directories have it, is none. */
static err_t parse_token(const json_t *json, const char *name, const char *key, int *ret)
{
    int64_t id = -1;
    TRY(json_get_int_or(json, name, key, -1, V_MAX, &id));
    *ret = (int)id;
    return OK;
}

/* Replaces config's end tokens if the key is there. */
static err_t parse_eos(const json_t *json, const char *name, struct model_config *config)
{
    const json_t *eos = json_object_get(json, "eos_token_id");
    if (!eos || json_is_null(eos))
        return OK;
    const size_t count = json_is_array(eos) ? json_array_size(eos) : 1;
    if (count > CONFIG_EOS_MAX)
        return err_new(ERR_INVALID, "%s: 'eos_token_id' lists %zu tokens; at most %d are supported",
                       name, count, CONFIG_EOS_MAX);
    config->eos_count = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id) || json_integer_value(id) < -1 || json_integer_value(id) > V_MAX)
            return err_new(ERR_INVALID, "%s: 'eos_token_id' must be a token id or a list of them",
                           name);
        if (json_integer_value(id) >= 0)
            config->eos[config->eos_count++] = (int)json_integer_value(id);
    }
    return OK;
}

static err_t parse_dtype(const json_t *json, const char *name, enum dtype *ret)
{
    const json_t *value = json_object_get(json, "dtype");
    if (!value || json_is_null(value))
        value = json_object_get(json, "torch_dtype");
    *ret = DTYPE_F32; // transformers' default
    if (!value || json_is_null(value))
        return OK;
    for (enum dtype dtype = 0; dtype < DTYPE_OTHER; dtype++)
        if (json_is_string(value) && strcmp(json_string_value(value), dtype_name(dtype)) == 0) {
            *ret = dtype;
            return OK;
        }
    SCOPED_MEM char *text = json_to_text(value);
    return err_new(ERR_INVALID,
                   "%s: 'dtype' is %.40s; it must be \"bfloat16\", \"float16\" or \"float32\"",
                   name, text);
}

err_t config_parse(const json_t *json, const char *name, struct model_config *ret)
{
    if (!json_is_object(json))
        return err_new(ERR_INVALID, "%s: must hold a JSON object", name);
    struct model_config config = {.rms_eps = 1e-6, .rope_theta = 10000};
    TRY(parse_family(json, name, &config.family));
    for (int i = 0; i < SHAPE_KEYS; i++) {
        int64_t value = 0;
        if (shape_keys[i].optional)
            TRY(json_get_int_or(json, name, shape_keys[i].key, 1, shape_keys[i].max, &value));
        else
            TRY(json_get_int(json, name, shape_keys[i].key, 1, shape_keys[i].max, &value));
        *(int *)((char *)&config + shape_keys[i].at) = (int)value;
    }
    config.K = config.K ? config.K : config.H;
    config.max_positions = config.max_positions ? config.max_positions : 2048;
    if (!config.D && config.C % config.H)
        return err_new(ERR_INVALID,
                       "%s: 'hidden_size' %d is not a multiple of 'num_attention_heads' %d", name,
                       config.C, config.H);
    config.D = config.D ? config.D : config.C / config.H;
    TRY(json_get_number_or(json, name, "rms_norm_eps", &config.rms_eps));
    TRY(json_get_bool_or(json, name, "tie_word_embeddings", &config.tied));
    TRY(refuse_unsupported(json, name));
    TRY(parse_rope(json, name, &config.rope_theta));
    TRY(parse_token(json, name, "bos_token_id", &config.bos));
    TRY(parse_token(json, name, "pad_token_id", &config.pad));
    TRY(parse_eos(json, name, &config));
    TRY(parse_dtype(json, name, &config.dtype));
    TRY(config_check(&config, name));
    *ret = config;
    return OK;
}

err_t config_read(const char *directory, struct model_config *ret)
{
    SCOPED_MEM char *path = file_join(directory, "config.json");
    SCOPED_MEM char *generation = file_join(directory, "generation_config.json");
    SCOPED_JSON json_t *json = NULL;
    SCOPED_JSON json_t *more = NULL;
    struct model_config config;
    TRY(json_read_file(path, CONFIG_MAX_BYTES, &json));
    TRY(config_parse(json, path, &config));
    if (file_exists(generation)) {
        TRY(json_read_file(generation, CONFIG_MAX_BYTES, &more));
        if (!json_is_object(more))
            return err_new(ERR_INVALID, "%s: must hold a JSON object", generation);
        TRY(parse_eos(more, generation, &config));
        TRY(config_check(&config, generation));
    }
    *ret = config;
    return OK;
}

err_t config_room(const struct model_config *config, int64_t max_tokens)
{
    if (max_tokens < config->max_positions)
        return OK;
    return err_new(ERR_INVALID,
                   "completions of %" PRId64
                   " tokens: the model's longest sequence is %d, prompt included",
                   max_tokens, config->max_positions);
}

static void set(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value);
}

static json_t *token_or_null(int id)
{
    return id < 0 ? json_null() : json_integer(id);
}

static void set_tokens(json_t *json, const struct model_config *config)
{
    json_t *eos = config->eos_count == 1 ? json_integer(config->eos[0]) : json_array();
    for (int i = 0; config->eos_count > 1 && i < config->eos_count; i++)
        json_array_append_new(eos, json_integer(config->eos[i]));
    if (!config->eos_count) {
        json_decref(eos);
        eos = json_null();
    }
    set(json, "bos_token_id", token_or_null(config->bos));
    set(json, "eos_token_id", eos);
    set(json, "pad_token_id", token_or_null(config->pad));
}

json_t *config_json(const struct model_config *config)
{
    json_t *json = json_object();
    set(json, "architectures", json_pack("[s]", config->family->architecture));
    set(json, "model_type", json_string(config->family->model_type));
    for (int i = 0; i < SHAPE_KEYS; i++)
        set(json, shape_keys[i].key,
            json_integer(*(const int *)((const char *)config + shape_keys[i].at)));
    set(json, "hidden_act", json_string("silu"));
    set(json, "rms_norm_eps", json_real(config->rms_eps));
    set(json, "rope_theta", json_real(config->rope_theta)); // transformers 4 reads this, 5 the next
    set(json, "rope_parameters",
        json_pack("{s:f,s:s}", "rope_theta", config->rope_theta, "rope_type", "default"));
    set(json, "attention_bias", json_false());
    set(json, "mlp_bias", json_false());
    set(json, "tie_word_embeddings", json_boolean(config->tied));
    set_tokens(json, config);
    set(json, "torch_dtype", json_string("bfloat16")); // likewise for 4 and 5
    set(json, "dtype", json_string("bfloat16"));
    return json;
}

json_t *config_generation_json(const struct model_config *config)
{
    json_t *json = json_object();
    set(json, "_from_model_config", json_true());
    set_tokens(json, config);
    return json;
}

bool config_is_eos(const struct model_config *config, int token)
{
    for (int i = 0; i < config->eos_count; i++)
        if (config->eos[i] == token)
            return true;
    return false;
}
