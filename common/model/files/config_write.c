/* A config as transformers reads it: config.json and generation_config.json. */
#include "model/files/config.h"
#include <string.h>

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
    case KEY_COPY:
        set(json, key->key, json_integer(*(const int *)at));
        break;
    case KEY_NUMBER:
        set(json, key->key, json_real(*(const double *)at));
        break;
    case KEY_BOOL:
        set(json, key->key, json_boolean(*(const bool *)at));
        break;
    case KEY_ROPE:
        config_set_rope(json, key, config);
        break;
    case KEY_WINDOW:
        set(json, key->key, config->window ? json_integer(config->window) : json_null());
        break;
    case KEY_FROM:
        set(json, key->key, json_integer(*(const int *)at));
        break;
    case KEY_ACTIVATION:
        set(json, key->key, json_string(config_activation_word(config->activation)));
        break;
    case KEY_PARALLEL:
        set(json, key->key, json_boolean(config->order == LAYER_PARALLEL));
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

void config_set_dtype(json_t *json, enum dtype dtype)
{
    set(json, "torch_dtype", json_string(dtype_name(dtype))); // transformers 4's, 5 has the next
    set(json, "dtype", json_string(dtype_name(dtype)));
}

json_t *config_json(const struct model_config *config)
{
    json_t *json = json_object();
    set_parts(json, config);
    set(json, "model_type", json_string(config->family->model_type));
    for (const struct config_key *key = config->family->keys; key->key; key++)
        set_key(json, config, key);
    set_tokens(json, config);
    config_set_dtype(json, DTYPE_BF16);
    return json;
}

json_t *config_generation_json(const struct model_config *config)
{
    json_t *json = json_object();
    set(json, "_from_model_config", json_true());
    set_tokens(json, config);
    return json;
}
