#include "model/files/adapter_config.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "model/files/stored.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double ALPHA_MAX = 1e6;
static const char ALL[] = "all-linear";

float lora_scale(const struct lora *lora)
{
    return (float)(lora->alpha / (lora->rslora ? sqrt(lora->r) : lora->r));
}

bool adapter_is(const char *directory)
{
    SCOPED_MEM char *path = file_join(directory, ADAPTER_CONFIG);
    return file_exists(path);
}

bool adapter_is_valued(const char *directory)
{
    SCOPED_MEM char *path = file_join(directory, ADAPTER_CONFIG);
    SCOPED_JSON json_t *json = NULL;
    err_t unread = json_read_file(path, CONFIG_MAX_BYTES, &json);
    err_free(unread);
    const char *task = json_string_value(json_object_get(json, "task_type"));
    return task && strcmp(task, "SEQ_CLS") == 0;
}

/* ---- modules by their names */

/* A matrix of a layer; others are norms. */
static bool is_matrix(const struct family_module *module)
{
    return module->name && module->cols != DIM_NONE;
}

/* The rest of a module's name behind the layer's number, "self_attn.q_proj"; of a part of a fused
 * map, that of the map. */
static const char *name_in_layer(const struct family_module *module)
{
    const char *name = module->fused ? module->within : module->name;
    const char *number = strstr(name, "%d.");
    return number ? number + strlen("%d.") : name;
}

static const char *last_word(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* Whether target ends the name, from a dot on. */
static bool ends(const char *name, const char *target)
{
    const size_t len = strlen(name), tail = strlen(target);
    return tail && tail <= len && strcmp(name + len - tail, target) == 0 &&
           (tail == len || name[len - tail - 1] == '.');
}

static unsigned roles_of(const struct model_family *family, const char *target)
{
    unsigned roles = 0;
    for (int role = 0; role < PARAM_ROLES; role++) {
        const struct family_module *module = &family->layer[role];
        if (is_matrix(module) && (strcmp(target, ALL) == 0 || ends(name_in_layer(module), target)))
            roles |= 1U << role;
    }
    return roles;
}

/* PEFT's own choice: the maps of q and v; where these are fused, all of that map. */
static unsigned default_roles(const struct model_family *family)
{
    return roles_of(family, last_word(name_in_layer(&family->layer[PARAM_Q]))) |
           roles_of(family, last_word(name_in_layer(&family->layer[PARAM_V])));
}

/* How a role's name is told from the others': "q_proj", but "attn.c_proj" where "c_proj" is two. */
static const char *short_name(const struct model_family *family, int role)
{
    const struct family_module *module = &family->layer[role];
    const char *whole = name_in_layer(module), *last = last_word(whole);
    const unsigned same = roles_of(family, whole);
    return roles_of(family, last) == same ? last : whole;
}

char *adapter_target_names(const struct model_family *family, unsigned roles)
{
    struct bytes names = {0};
    unsigned told = 0;
    bytes_text(&names, "");
    for (int role = 0; role < PARAM_ROLES; role++) {
        if (!(roles >> role & 1) || told >> role & 1)
            continue;
        const char *name = short_name(family, role);
        told |= roles_of(family, name);
        bytes_printf(&names, "%s%s", names.len ? ", " : "", name);
    }
    return (char *)names.data;
}

static err_t no_target(const struct model_family *family, const char *target)
{
    SCOPED_MEM char *allowed = adapter_target_names(family, roles_of(family, ALL));
    for (int i = 0; i < HEADS_MAX; i++)
        if (family->head[i].name && ends(family->head[i].name, target))
            return err_new(ERR_INVALID,
                           "'%.60s' is the model's head, which has no adapter; allowed of %s: %s, "
                           "all-linear",
                           target, family->model_type, allowed);
    return err_new(ERR_INVALID, "'%.60s' is no matrix of a layer of %s; allowed: %s, all-linear",
                   target, family->model_type, allowed);
}

err_t adapter_targets(const struct model_family *family, const char *const *names, size_t count,
                      unsigned *ret_roles)
{
    unsigned roles = count ? 0 : default_roles(family);
    for (size_t i = 0; i < count; i++) {
        const unsigned some = roles_of(family, names[i]);
        if (!some)
            return no_target(family, names[i]);
        roles |= some;
    }
    *ret_roles = roles;
    return OK;
}

/* ---- reading */

/* Values that a key of the file may have. */
enum rule {
    RULE_READ,  // by the parser below
    RULE_ANY,   // changes nothing here
    RULE_PLAIN, // null, false, "none" or empty: else it would be other arithmetic
};
static const struct {
    const char *key;
    enum rule rule;
} rules[] = {
    {"peft_type", RULE_READ},
    {"task_type", RULE_READ},
    {"r", RULE_READ},
    {"lora_alpha", RULE_READ},
    {"use_rslora", RULE_READ},
    {"target_modules", RULE_READ},
    {"init_lora_weights", RULE_READ},
    {"base_model_name_or_path", RULE_ANY},
    {"auto_mapping", RULE_ANY},
    {"revision", RULE_ANY},
    {"inference_mode", RULE_ANY},
    {"peft_version", RULE_ANY},
    {"fan_in_fan_out", RULE_ANY}, // follows from the family
    {"lora_dropout", RULE_ANY},   // of the training that was
    {"megatron_core", RULE_ANY},
    {"qalora_group_size", RULE_ANY},
    {"runtime_config", RULE_ANY},
    {"modules_to_save", RULE_READ},
    {"ensure_weight_tying", RULE_ANY}, // of modules_to_save
};

static enum rule rule_of(const char *key)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].key, key) == 0)
            return rules[i].rule;
    return RULE_PLAIN; // keys that we do not know, too
}

static bool is_plain(const json_t *value)
{
    if (json_is_string(value))
        return strcmp(json_string_value(value), "none") == 0;
    if (json_is_object(value))
        return json_object_size(value) == 0;
    if (json_is_array(value))
        return json_array_size(value) == 0;
    return json_is_null(value) || json_is_false(value);
}

static err_t wrong(const char *name, const char *key, const json_t *value, const char *allowed)
{
    SCOPED_MEM char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    return err_new(ERR_INVALID, "%s: '%.60s' is %.100s; allowed: %s", name, key,
                   text ? text : "not there", allowed);
}

static err_t check_keys(const json_t *json, const char *name)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)json, key, value)
        if (rule_of(key) == RULE_PLAIN && !is_plain(value))
            return wrong(name, key, value, "null, false, \"none\" or empty");
    return OK;
}

/* Kinds whose A and B do not begin beside the base as it is in its directory are refused. */
static err_t check_begun(const json_t *json, const char *name)
{
    const json_t *init = json_object_get(json, "init_lora_weights");
    if (!init || json_is_boolean(init) || json_is_null(init))
        return OK;
    const char *word = json_is_string(init) ? json_string_value(init) : "";
    if (strcmp(word, "gaussian") == 0 || strcmp(word, "orthogonal") == 0 ||
        strcmp(word, "eva") == 0)
        return OK;
    return wrong(name, "init_lora_weights", init,
                 "true, false, \"gaussian\", \"orthogonal\", \"eva\": others change the base");
}

/* Beside a critic the adapter is a reward model's, whose head is its own: PEFT adds "score" and
 * "classifier" to those that it saves, of which the model has one. */
static err_t check_saved(const json_t *json, const char *name, const struct model_config *base)
{
    const json_t *saved = json_object_get(json, "modules_to_save");
    const char *head = base->family->head[HEAD_VALUE].name;
    bool has_head = false, good = true;
    size_t i;
    json_t *module;
    if (!(base->parts & PART_VALUE))
        return !saved || is_plain(saved)
                   ? OK
                   : wrong(name, "modules_to_save", saved, "null, false, \"none\" or empty");
    json_array_foreach ((json_t *)saved, i, module) {
        const char *word = json_is_string(module) ? json_string_value(module) : "";
        has_head = has_head || strcmp(word, head) == 0;
        good = good && (strcmp(word, head) == 0 || strcmp(word, "classifier") == 0);
    }
    if (has_head && good)
        return OK;
    SCOPED_MEM char *allowed = mem_printf("[\"%s\"]: the head is trained", head);
    return wrong(name, "modules_to_save", saved, allowed);
}

static const char *task_of(const struct model_config *config)
{
    return config->parts & PART_VALUE ? "SEQ_CLS" : "CAUSAL_LM";
}

static err_t check_kind(const json_t *json, const char *name, const struct model_config *base)
{
    const json_t *peft = json_object_get(json, "peft_type"),
                 *task = json_object_get(json, "task_type");
    if (!json_is_string(peft) || strcmp(json_string_value(peft), "LORA") != 0)
        return wrong(name, "peft_type", peft, "\"LORA\"");
    SCOPED_MEM char *allowed = mem_printf("\"%s\", null", task_of(base));
    if (task && !json_is_null(task) &&
        (!json_is_string(task) || strcmp(json_string_value(task), task_of(base)) != 0))
        return wrong(name, "task_type", task, allowed);
    return check_saved(json, name, base);
}

/* The layer's number in a module's whole name, "model.layers.7.mlp.up_proj"; -1: none. */
static int layer_in(const char *target)
{
    enum { DIGITS_MAX = 6 };
    for (const char *at = target; *at;) {
        const size_t len = strcspn(at, "."), digits = strspn(at, "0123456789");
        if (len && len == digits && len <= DIGITS_MAX && at[len] == '.')
            return (int)strtol(at, NULL, 10);
        at += len + (at[len] == '.');
    }
    return -1;
}

/* A name of one layer's module, as PEFT writes "all-linear" out: in covered, by role and layer. */
static bool cover(const struct model_config *base, const char *target, bool *covered)
{
    const int l = layer_in(target);
    bool found = false;
    for (int role = 0; l >= 0 && l < base->L && role < PARAM_ROLES; role++) {
        char name[STORED_NAME_MAX];
        const struct family_module *module = &base->family->layer[role];
        if (!is_matrix(module))
            continue;
        snprintf(name, sizeof name, module->fused ? module->within : module->name, l);
        if (!ends(name, target))
            continue;
        covered[l * PARAM_ROLES + role] = found = true;
    }
    return found;
}

/* Whole names are of all layers, or it would be an adapter of some. */
static err_t roles_covered(const struct model_config *base, const bool *covered, unsigned *roles)
{
    for (int role = 0; role < PARAM_ROLES; role++) {
        int layers = 0;
        for (int l = 0; l < base->L; l++)
            layers += covered[l * PARAM_ROLES + role];
        if (layers && layers < base->L)
            return err_new(ERR_INVALID, "'%s' is named of %d of %d layers; allowed: of all",
                           name_in_layer(&base->family->layer[role]), layers, base->L);
        *roles |= layers ? 1U << role : 0;
    }
    return OK;
}

static err_t add_target(const struct model_config *base, const json_t *word, unsigned *roles,
                        bool *covered)
{
    const char *target = json_is_string(word) ? json_string_value(word) : "";
    unsigned some = 0;
    if (cover(base, target, covered))
        return OK;
    TRY(adapter_targets(base->family, &target, 1, &some));
    *roles |= some;
    return OK;
}

static err_t parse_targets(const json_t *json, const char *name, const struct model_config *base,
                           unsigned *ret)
{
    const json_t *list = json_object_get(json, "target_modules");
    unsigned roles = 0;
    SCOPED_MEM bool *covered = mem_array((size_t)base->L * PARAM_ROLES, sizeof *covered);
    SCOPED_MEM char *where = mem_printf("%s: 'target_modules'", name);
    if (json_is_string(list) && strcmp(json_string_value(list), ALL) == 0)
        TRY(add_target(base, list, &roles, covered));
    else if (!json_is_array(list) || !json_array_size(list) ||
             json_array_size(list) > ADAPTER_TARGETS_MAX)
        return wrong(name, "target_modules", list,
                     "a list of 1 to 4096 names of modules, or \"all-linear\"");
    for (size_t i = 0; json_is_array(list) && i < json_array_size(list); i++)
        TRY(err_wrap(add_target(base, json_array_get(list, i), &roles, covered), "%s", where));
    TRY(err_wrap(roles_covered(base, covered, &roles), "%s", where));
    *ret = roles;
    return OK;
}

err_t adapter_config_parse(const json_t *json, const char *name, const struct model_config *base,
                           struct lora *ret)
{
    struct lora lora = {0};
    int64_t r;
    if (!json_is_object(json))
        return err_new(ERR_INVALID, "%s: must hold a JSON object", name);
    TRY(check_kind(json, name, base));
    TRY(check_keys(json, name));
    TRY(check_begun(json, name));
    TRY(json_get_int(json, name, "r", 1, ADAPTER_RANK_MAX, &r));
    TRY(json_get_number_or(json, name, "lora_alpha", &lora.alpha));
    TRY(json_get_bool_or(json, name, "use_rslora", &lora.rslora));
    if (!(lora.alpha > 0) || lora.alpha > ALPHA_MAX)
        return wrong(name, "lora_alpha", json_object_get(json, "lora_alpha"),
                     "a number above 0, up to 1e6");
    TRY(parse_targets(json, name, base, &lora.roles));
    lora.r = (int)r;
    *ret = lora;
    return OK;
}

err_t adapter_config_read(const char *directory, const struct model_config *base, struct lora *ret)
{
    SCOPED_MEM char *path = file_join(directory, ADAPTER_CONFIG);
    SCOPED_JSON json_t *json = NULL;
    TRY(json_read_file(path, CONFIG_MAX_BYTES, &json));
    return adapter_config_parse(json, path, base, ret);
}

err_t adapter_base(const char *directory, char **ret)
{
    const char *name;
    SCOPED_MEM char *path = file_join(directory, ADAPTER_CONFIG);
    SCOPED_MEM char *beside = NULL;
    SCOPED_JSON json_t *json = NULL;
    TRY(json_read_file(path, CONFIG_MAX_BYTES, &json));
    TRY(json_get_text(json, path, "base_model_name_or_path", &name));
    if (*name && strlen(name) < PATH_MAX)
        beside = file_join(directory, name);
    SCOPED_MEM char *config = beside ? file_join(beside, "config.json") : NULL;
    if (!config || !file_exists(config))
        return err_new(ERR_NOT_FOUND,
                       "%s: 'base_model_name_or_path' is \"%.200s\", where there is no model; "
                       "allowed: a directory, absolute or beside the adapter",
                       path, name);
    *ret = STEAL(beside);
    return OK;
}

/* ---- writing */

static json_t *list_targets(const struct model_family *family, unsigned roles)
{
    json_t *list = json_array();
    unsigned told = 0;
    for (int role = 0; role < PARAM_ROLES; role++) {
        if (!(roles >> role & 1) || told >> role & 1)
            continue;
        const char *name = short_name(family, role);
        told |= roles_of(family, name);
        json_array_append_new(list, json_string(name));
    }
    return list;
}

json_t *adapter_config_json(const struct model_config *adapter, const char *base)
{
    const struct lora *lora = &adapter->lora;
    const struct model_family *family = adapter->family;
    const bool whole = lora->alpha == floor(lora->alpha);
    json_t *alpha = whole ? json_integer((json_int_t)lora->alpha) : json_real(lora->alpha);
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:i, s:o, s:b, s:o, s:f, s:s, s:b, s:b, s:b}", "peft_type", "LORA",
        "task_type", task_of(adapter), "base_model_name_or_path", base, "r", lora->r, "lora_alpha",
        alpha, "use_rslora", lora->rslora, "target_modules", list_targets(family, lora->roles),
        "lora_dropout", 0.0, "bias", "none", "fan_in_fan_out", family->layer[PARAM_O].transposed,
        "inference_mode", true, "init_lora_weights", true);
    if (adapter->parts & PART_VALUE)
        json_object_set_new(json, "modules_to_save",
                            json_pack("[s]", family->head[HEAD_VALUE].name));
    return json;
}
