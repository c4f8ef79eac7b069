#include "model/files/config.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "model/files/adapter_config.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The dimensions of a model, and the most that a directory may claim. */
enum { V_MAX = 1 << 22 };
#define DIMENSION(field, max)                                                                      \
    {                                                                                              \
        offsetof(struct model_config, field), (max), #field                                        \
    }
static const struct {
    size_t at;
    int max;
    const char *name;
} dimensions[] = {
    DIMENSION(V, V_MAX),   DIMENSION(C, 1 << 16),
    DIMENSION(F, 1 << 18), DIMENSION(L, 1024),
    DIMENSION(H, 1024),    DIMENSION(K, 1024),
    DIMENSION(D, 1024),    DIMENSION(max_positions, 1 << 22),
};
enum { DIMENSIONS = sizeof dimensions / sizeof *dimensions, WINDOW_MAX = 1 << 22 };

/* Keys of models that no row computes. */
static const struct config_key all_families[] = {
    {"quantization_config", KEY_FIXED, .only = "null"},
    {"pruned_heads", KEY_FIXED, .only = "{}"},
    {"original_max_position_embeddings", KEY_FIXED, .only = "null"}, // at the top: see Phi-3
    {NULL},
};

/* 0: there is no such dimension, so no value passes. */
static int max_of(size_t at)
{
    for (int i = 0; i < DIMENSIONS; i++)
        if (dimensions[i].at == at)
            return dimensions[i].max;
    return 0;
}

/* The key under which the family has a value; our own name if it has none. */
static const char *key_of(const struct model_config *config, size_t at, const char *name)
{
    const struct config_key *key = family_key(config->family, at);
    return key ? key->key : name;
}
#define KEY_OF(config, field) key_of((config), offsetof(struct model_config, field), #field)
#define HAS_KEY(config, field)                                                                     \
    (family_key((config)->family, offsetof(struct model_config, field)) != NULL)

void config_family(struct model_config *config, const struct model_family *family)
{
    config->family = family;
    config->activation = family->activation;
    config->order = family->order;
    config->windowed = family->windowed;
    config->window = config->window_from = 0;
    config->rope = (struct rope){.theta = 10000};
    config->rotary = 1;
}

int config_window(const struct model_config *config, int layer)
{
    return config->windowed && layer >= config->window_from ? config->window : 0;
}

struct model_config config_default(int V, int C, int F, int L, int H, int K, int max_positions,
                                   bool tied)
{
    struct model_config config = {.parts = PARTS_LANGUAGE,
                                  .V = V,
                                  .C = C,
                                  .F = F,
                                  .L = L,
                                  .H = H,
                                  .K = K,
                                  .D = H > 0 ? C / H : 0,
                                  .max_positions = max_positions,
                                  .norm_eps = 1e-5,
                                  .tied = tied,
                                  .bos = -1,
                                  .pad = -1,
                                  .eos_file = "config.json",
                                  .dtype = DTYPE_BF16};
    config_family(&config, family_at(0));
    return config;
}

static err_t check_dimensions(const struct model_config *config, const char *name)
{
    for (int i = 0; i < DIMENSIONS; i++) {
        const int value = *(const int *)((const char *)config + dimensions[i].at);
        if (value < 1 || value > dimensions[i].max)
            return err_new(ERR_INVALID, "%s: '%s' is %d; it must be from 1 to %d", name,
                           key_of(config, dimensions[i].at, dimensions[i].name), value,
                           dimensions[i].max);
    }
    if (config->H % config->K)
        return err_new(ERR_INVALID, "%s: '%s' %d is not a multiple of '%s' %d", name,
                       KEY_OF(config, H), config->H, KEY_OF(config, K), config->K);
    if (!HAS_KEY(config, K) && config->K != config->H)
        return err_new(ERR_INVALID,
                       "%s: %d heads have %d of keys and values; a %s model has as many", name,
                       config->H, config->K, config->family->model_type);
    if (!HAS_KEY(config, D) && config->C != config->H * config->D)
        return err_new(ERR_INVALID, "%s: '%s' is %d; %d heads of %d make up %d", name,
                       KEY_OF(config, C), config->C, config->H, config->D, config->H * config->D);
    if (config->D % CONFIG_HEAD_SIZE_STEP)
        return err_new(ERR_INVALID,
                       "%s: head size %d is not a multiple of %d ('%s', or '%s' / '%s')", name,
                       config->D, CONFIG_HEAD_SIZE_STEP, KEY_OF(config, D), KEY_OF(config, C),
                       KEY_OF(config, H));
    return OK;
}

err_t config_check(const struct model_config *config, const char *name)
{
    TRY(check_dimensions(config, name));
    if (!(config->norm_eps > 0 && config->norm_eps < 1))
        return err_new(ERR_INVALID, "%s: '%s' is %g; it must be between 0 and 1", name,
                       KEY_OF(config, norm_eps), config->norm_eps);
    TRY(config_check_rope(config, name));
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
    if (!family) {
        SCOPED_VALUE(bytes) known = {0};
        for (int i = 0; family_at(i); i++)
            bytes_printf(&known, "%s'%s'", i ? ", " : "", family_at(i)->model_type);
        return err_new(ERR_INVALID, "%s: 'model_type' is '%.40s'; it must be %s", name, type,
                       (const char *)known.data);
    }
    *ret = family;
    return OK;
}

static bool names(const json_t *architecture, const char *text)
{
    return text && json_is_string(architecture) &&
           strcmp(json_string_value(architecture), text) == 0;
}

static err_t other_model(const struct model_config *config, const char *name)
{
    return err_new(ERR_INVALID, "%s: 'architectures' names another model than '%s'", name,
                   config->family->architecture);
}

static err_t parse_parts(const json_t *json, const char *name, struct model_config *config)
{
    const struct model_family *family = config->family;
    const json_t *first = json_array_get(json_object_get(json, "architectures"), 0);
    const json_t *labels = json_object_get(json, "id2label");
    config->parts = PARTS_LANGUAGE;
    if (!first || names(first, family->architecture))
        return OK;
    if (!names(first, family->value_architecture))
        return other_model(config, name);
    if (json_object_size(labels) != 1)
        return err_new(ERR_INVALID, "%s: 'id2label' has %zu labels; 1 is supported: the value",
                       name,
                       labels ? json_object_size(labels) : 2); // transformers' default
    config->parts = PARTS_CRITIC;
    config->tied = false; // with the vocabulary's head, which is not there
    return OK;
}

static err_t parse_fixed(const json_t *json, const char *name, const struct config_key *key)
{
    const json_t *value = json_object_get(json, key->key);
    SCOPED_JSON json_t *only = json_loads(key->only, JSON_DECODE_ANY, NULL);
    if (!value || json_is_null(value) || json_equal(value, only))
        return OK;
    SCOPED_MEM char *text = json_to_text(value);
    return err_new(ERR_INVALID, "%s: '%s' is %.80s; only %s is supported", name, key->key, text,
                   key->only);
}

/* null: no window. */
static err_t parse_window(const json_t *json, const char *name, const struct config_key *key,
                          int *ret)
{
    int64_t value = (int64_t)key->otherwise;
    if (json_is_null(json_object_get(json, key->key)))
        value = 0;
    else
        TRY(json_get_int_or(json, name, key->key, 1, WINDOW_MAX, &value));
    *ret = (int)value;
    return OK;
}

static err_t parse_from(const json_t *json, const char *name, const struct config_key *key,
                        int *ret)
{
    int64_t value = (int64_t)key->otherwise;
    TRY(json_get_int_or(json, name, key->key, 0, WINDOW_MAX, &value));
    *ret = (int)value;
    return OK;
}

/* Words of transformers for the activations without a gate; the first of each is written. */
static const struct {
    const char *word;
    enum activation activation;
} activations[] = {{"gelu", ACTIVATION_GELU},
                   {"gelu_new", ACTIVATION_GELU_TANH},
                   {"gelu_fast", ACTIVATION_GELU_TANH},
                   {"gelu_pytorch_tanh", ACTIVATION_GELU_TANH}};
enum { ACTIVATION_WORDS = sizeof activations / sizeof *activations };

static err_t parse_activation(const json_t *json, const char *name, const char *key,
                              enum activation *ret)
{
    const json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value))
        return OK;
    for (int i = 0; i < ACTIVATION_WORDS; i++)
        if (json_is_string(value) && strcmp(json_string_value(value), activations[i].word) == 0) {
            *ret = activations[i].activation;
            return OK;
        }
    SCOPED_MEM char *text = json_to_text(value);
    return err_new(ERR_INVALID,
                   "%s: '%s' is %.80s; it must be \"gelu\", \"gelu_new\", \"gelu_fast\" or "
                   "\"gelu_pytorch_tanh\"",
                   name, key, text);
}

static err_t parse_order(const json_t *json, const char *name, const struct config_key *key,
                         enum layer_order *ret)
{
    bool parallel = key->otherwise != 0;
    TRY(json_get_bool_or(json, name, key->key, &parallel));
    *ret = parallel ? LAYER_PARALLEL : LAYER_SEQUENTIAL;
    return OK;
}

/* transformers 5 has each layer's kind of attention in a list. The other keys must say the
 * same. */
static err_t check_layer_types(const json_t *json, const char *name,
                               const struct model_config *config)
{
    const json_t *types = json_object_get(json, "layer_types");
    if (!types || json_is_null(types))
        return OK;
    if (!json_is_array(types) || json_array_size(types) != (size_t)config->L)
        return err_new(ERR_INVALID, "%s: 'layer_types' must be a list of %d words", name,
                       config->L);
    for (int l = 0; l < config->L; l++) {
        const json_t *type = json_array_get(types, (size_t)l);
        const char *wanted = config_window(config, l) ? "sliding_attention" : "full_attention";
        if (!json_is_string(type) || strcmp(json_string_value(type), wanted) != 0) {
            SCOPED_MEM char *text = json_to_text(type);
            return err_new(ERR_INVALID,
                           "%s: 'layer_types' has %.40s for layer %d; by the other keys it is "
                           "\"%s\"",
                           name, text, l, wanted);
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

/* Replaces config's end tokens if the key is there. file: the name without its directory. */
static err_t parse_eos(const json_t *json, const char *name, const char *file,
                       struct model_config *config)
{
    const json_t *eos = json_object_get(json, "eos_token_id");
    if (!eos || json_is_null(eos))
        return OK;
    const size_t count = json_is_array(eos) ? json_array_size(eos) : 1;
    if (count > CONFIG_EOS_MAX)
        return err_new(ERR_INVALID, "%s: 'eos_token_id' lists %zu tokens; at most %d are supported",
                       name, count, CONFIG_EOS_MAX);
    config->eos_count = 0;
    config->eos_file = file;
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

static err_t parse_int(const json_t *json, const char *name, const struct config_key *key, int *ret)
{
    int64_t value = (int64_t)key->otherwise;
    if (key->required)
        TRY(json_get_int(json, name, key->key, 1, max_of(key->at), &value));
    else
        TRY(json_get_int_or(json, name, key->key, 1, max_of(key->at), &value));
    *ret = (int)value;
    return OK;
}

static err_t parse_key(const json_t *json, const char *name, const struct config_key *key,
                       struct model_config *config)
{
    void *at = (char *)config + key->at;
    switch (key->kind) {
    case KEY_INT:
        return parse_int(json, name, key, at);
    case KEY_NUMBER:
        *(double *)at = key->otherwise;
        return json_get_number_or(json, name, key->key, at);
    case KEY_BOOL:
        *(bool *)at = key->otherwise != 0;
        return json_get_bool_or(json, name, key->key, at);
    case KEY_ROPE:
        return config_parse_rope(json, name, key, config);
    case KEY_WINDOW:
        return parse_window(json, name, key, at);
    case KEY_FROM:
        return parse_from(json, name, key, at);
    case KEY_ACTIVATION:
        return parse_activation(json, name, key->key, at);
    case KEY_PARALLEL:
        return parse_order(json, name, key, at);
    case KEY_FIXED:
        return parse_fixed(json, name, key);
    case KEY_COPY:
        return OK;
    }
    __builtin_unreachable();
}

err_t config_parse(const json_t *json, const char *name, struct model_config *ret)
{
    if (!json_is_object(json))
        return err_new(ERR_INVALID, "%s: must hold a JSON object", name);
    struct model_config config = {.eos_file = "config.json"};
    const struct model_family *family = NULL;
    TRY(parse_family(json, name, &family));
    config_family(&config, family);
    for (const struct config_key *key = family->keys; key->key; key++)
        TRY(parse_key(json, name, key, &config));
    for (const struct config_key *key = all_families; key->key; key++)
        TRY(parse_fixed(json, name, key));
    TRY(parse_parts(json, name, &config));
    config.K = config.K ? config.K : config.H;
    config.F = config.F ? config.F : 4 * config.C; // GPT-2's
    if (!config.D && config.C % config.H)
        return err_new(ERR_INVALID, "%s: '%s' %d is not a multiple of '%s' %d", name,
                       KEY_OF(&config, C), config.C, KEY_OF(&config, H), config.H);
    config.D = config.D ? config.D : config.C / config.H;
    TRY(parse_token(json, name, "bos_token_id", &config.bos));
    TRY(parse_token(json, name, "pad_token_id", &config.pad));
    TRY(parse_eos(json, name, "config.json", &config));
    TRY(parse_dtype(json, name, &config.dtype));
    TRY(check_layer_types(json, name, &config));
    TRY(config_check(&config, name));
    *ret = config;
    return OK;
}

err_t config_read_any(const char *directory, struct model_config *ret)
{
    SCOPED_MEM char *path = file_join(directory, "config.json");
    SCOPED_MEM char *generation = file_join(directory, "generation_config.json");
    SCOPED_JSON json_t *json = NULL;
    SCOPED_JSON json_t *more = NULL;
    struct model_config config;
    if (adapter_is(directory) && !file_exists(path))
        return err_new(
            ERR_INVALID,
            "'%s' is an adapter's directory, with no model in it: where a model is asked "
            "for give its base, and the adapter as lora.path",
            directory);
    TRY(json_read_file(path, CONFIG_MAX_BYTES, &json));
    TRY(config_parse(json, path, &config));
    if (file_exists(generation)) {
        TRY(json_read_file(generation, CONFIG_MAX_BYTES, &more));
        if (!json_is_object(more))
            return err_new(ERR_INVALID, "%s: must hold a JSON object", generation);
        TRY(parse_eos(more, generation, "generation_config.json", &config));
        TRY(config_check(&config, generation));
    }
    *ret = config;
    return OK;
}

err_t config_read(const char *directory, struct model_config *ret)
{
    struct model_config config;
    SCOPED_MEM char *path = file_join(directory, "config.json");
    TRY(config_read_any(directory, &config));
    if (config.parts != PARTS_LANGUAGE)
        return other_model(&config, path);
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

int config_context(const struct model_config *config, int64_t prompt_tokens, int64_t max_tokens)
{
    const int64_t longest = prompt_tokens + max_tokens;
    return longest < config->max_positions ? (int)longest : config->max_positions;
}

const char *config_activation_word(enum activation activation)
{
    for (int i = 0; i < ACTIVATION_WORDS; i++)
        if (activations[i].activation == activation)
            return activations[i].word;
    return NULL;
}
