#include "model/files/config.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { CONFIG_MAX_BYTES = 1 << 20 };

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
enum { DIMENSIONS = sizeof dimensions / sizeof *dimensions };

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
    for (const struct config_key *key = config->family->keys; key->key; key++)
        if (key->at == at && key->kind != KEY_FIXED)
            return key->key;
    return name;
}
#define KEY_OF(config, field) key_of((config), offsetof(struct model_config, field), #field)

struct model_config config_default(int V, int C, int F, int L, int H, int K, int max_positions,
                                   bool tied)
{
    return (struct model_config){.family = family_at(0),
                                 .parts = PARTS_LANGUAGE,
                                 .V = V,
                                 .C = C,
                                 .F = F,
                                 .L = L,
                                 .H = H,
                                 .K = K,
                                 .D = H > 0 ? C / H : 0,
                                 .max_positions = max_positions,
                                 .norm_eps = 1e-5,
                                 .rope_theta = 10000,
                                 .tied = tied,
                                 .bos = -1,
                                 .pad = -1,
                                 .eos_file = "config.json",
                                 .dtype = DTYPE_BF16};
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
    if (!(config->rope_theta >= 1 && config->rope_theta < 1e12))
        return err_new(ERR_INVALID, "%s: '%s' is %g; it must be from 1 to 1e12", name,
                       KEY_OF(config, rope_theta), config->rope_theta);
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

/* transformers 4 has the key at the top, transformers 5 inside rope_parameters, beside
 * rope_type. */
static err_t parse_theta(const json_t *json, const char *name, const char *theta_key, double *theta)
{
    TRY(json_get_number_or(json, name, theta_key, theta));
    const json_t *rope = json_object_get(json, "rope_parameters");
    if (!rope || json_is_null(rope))
        return OK;
    if (!json_is_object(rope))
        return err_new(ERR_INVALID, "%s: 'rope_parameters' must be an object", name);
    SCOPED_MEM char *inside = mem_printf("%s: rope_parameters", name);
    TRY(json_get_number_or(rope, inside, theta_key, theta));
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)rope, key, value) {
        bool known = strcmp(key, theta_key) == 0 || json_is_null(value);
        if (strcmp(key, "rope_type") == 0 || strcmp(key, "type") == 0)
            known = json_is_string(value) && strcmp(json_string_value(value), "default") == 0;
        if (!known) {
            SCOPED_MEM char *text = json_to_text(value);
            return err_new(ERR_INVALID,
                           "%s: '%.40s' is %.40s; only %s and rope_type \"default\" are supported",
                           inside, key, text, theta_key);
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
    case KEY_THETA:
        *(double *)at = key->otherwise;
        return parse_theta(json, name, key->key, at);
    case KEY_FIXED:
        return parse_fixed(json, name, key);
    }
    __builtin_unreachable();
}

err_t config_parse(const json_t *json, const char *name, struct model_config *ret)
{
    if (!json_is_object(json))
        return err_new(ERR_INVALID, "%s: must hold a JSON object", name);
    struct model_config config = {.eos_file = "config.json"};
    TRY(parse_family(json, name, &config.family));
    for (const struct config_key *key = config.family->keys; key->key; key++)
        TRY(parse_key(json, name, key, &config));
    TRY(parse_parts(json, name, &config));
    config.K = config.K ? config.K : config.H;
    if (!config.D && config.C % config.H)
        return err_new(ERR_INVALID, "%s: '%s' %d is not a multiple of '%s' %d", name,
                       KEY_OF(&config, C), config.C, KEY_OF(&config, H), config.H);
    config.D = config.D ? config.D : config.C / config.H;
    TRY(parse_token(json, name, "bos_token_id", &config.bos));
    TRY(parse_token(json, name, "pad_token_id", &config.pad));
    TRY(parse_eos(json, name, "config.json", &config));
    TRY(parse_dtype(json, name, &config.dtype));
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

static void set_key(json_t *json, const struct model_config *config, const struct config_key *key)
{
    const void *at = (const char *)config + key->at;
    switch (key->kind) {
    case KEY_INT:
        set(json, key->key, json_integer(*(const int *)at));
        break;
    case KEY_NUMBER:
        set(json, key->key, json_real(*(const double *)at));
        break;
    case KEY_BOOL:
        set(json, key->key, json_boolean(*(const bool *)at));
        break;
    case KEY_THETA: // transformers 4 reads the first, transformers 5 the second
        set(json, key->key, json_real(*(const double *)at));
        set(json, "rope_parameters",
            json_pack("{s:f,s:s}", key->key, *(const double *)at, "rope_type", "default"));
        break;
    case KEY_FIXED:
        if (strcmp(key->only, "null") != 0)
            set(json, key->key, json_loads(key->only, JSON_DECODE_ANY, NULL));
        break;
    }
}

/* A value's head alone is no model of transformers, so no architecture names it. */
static void set_parts(json_t *json, const struct model_config *config)
{
    const struct model_family *family = config->family;
    const bool value = config->parts & PART_VALUE;
    if (config->parts & PART_TRUNK)
        set(json, "architectures",
            json_pack("[s]", value ? family->value_architecture : family->architecture));
    if (value) { // one label
        set(json, "id2label", json_pack("{s:s}", "0", "LABEL_0"));
        set(json, "label2id", json_pack("{s:i}", "LABEL_0", 0));
    }
}

json_t *config_json(const struct model_config *config)
{
    json_t *json = json_object();
    set_parts(json, config);
    set(json, "model_type", json_string(config->family->model_type));
    for (const struct config_key *key = config->family->keys; key->key; key++)
        set_key(json, config, key);
    set_tokens(json, config);
    set(json, "torch_dtype", json_string("bfloat16")); // transformers 4 reads this, 5 the next
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
