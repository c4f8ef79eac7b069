/* How positions turn q and k, in config.json. transformers 4 has theta at the top, and the scaling
 * in rope_scaling. transformers 5 has both in rope_parameters. */
#include "base/mem.h"
#include "model/files/config.h"
#include <stddef.h>
#include <string.h>

enum { POSITIONS_MAX = 1 << 22 };

static const char *const kinds[] = {[ROPE_DEFAULT] = "default",
                                    [ROPE_LINEAR] = "linear",
                                    [ROPE_DYNAMIC] = "dynamic",
                                    [ROPE_LLAMA3] = "llama3",
                                    [ROPE_YARN] = "yarn"};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Numbers of a scaling. Those of another kind than its own change nothing. */
static const struct number {
    const char *key;
    size_t at;
} numbers[] = {{"rope_theta", offsetof(struct rope, theta)},
               {"factor", offsetof(struct rope, factor)},
               {"low_freq_factor", offsetof(struct rope, low)},
               {"high_freq_factor", offsetof(struct rope, high)},
               {"beta_fast", offsetof(struct rope, beta_fast)},
               {"beta_slow", offsetof(struct rope, beta_slow)},
               {"attention_factor", offsetof(struct rope, attention)},
               {"mscale", offsetof(struct rope, mscale)},
               {"mscale_all_dim", offsetof(struct rope, mscale_all)}};
enum { NUMBERS = sizeof numbers / sizeof *numbers };

/* Where the number of that key is kept; NULL: there is none. */
static double *number_of(struct rope *rope, const char *key)
{
    for (int i = 0; i < NUMBERS; i++)
        if (strcmp(numbers[i].key, key) == 0)
            return (double *)((char *)rope + numbers[i].at);
    return NULL;
}

static err_t parse_kind(const json_t *value, const char *name, const char *key, enum rope_kind *ret)
{
    for (int i = 0; i < KINDS; i++)
        if (json_is_string(value) && strcmp(json_string_value(value), kinds[i]) == 0) {
            *ret = (enum rope_kind)i;
            return OK;
        }
    SCOPED_MEM char *text = json_to_text(value);
    return err_new(ERR_INVALID,
                   "%s: '%s' is %.40s; it must be \"default\", \"linear\", \"dynamic\", "
                   "\"llama3\" or \"yarn\"",
                   name, key, text);
}

/* One of the two objects, as read. */
struct reading {
    struct rope rope;
    double rotary;
};

static err_t parse_member(const json_t *json, const char *name, const char *key,
                          struct reading *ret)
{
    int64_t original = 0;
    double *number = number_of(&ret->rope, key);
    const json_t *value = json_object_get(json, key);
    if (json_is_null(value))
        return OK;
    if (number)
        return json_get_number_or(json, name, key, number);
    if (strcmp(key, "rope_type") == 0 || strcmp(key, "type") == 0)
        return parse_kind(value, name, key, &ret->rope.kind);
    if (strcmp(key, "partial_rotary_factor") == 0)
        return json_get_number_or(json, name, key, &ret->rotary);
    if (strcmp(key, "original_max_position_embeddings") == 0) {
        TRY(json_get_int(json, name, key, 1, POSITIONS_MAX, &original));
        ret->rope.original = (int)original;
        return OK;
    }
    if (strcmp(key, "truncate") == 0 && json_is_boolean(value)) {
        ret->rope.whole = json_is_true(value);
        return OK;
    }
    SCOPED_MEM char *text = json_to_text(value);
    return err_new(ERR_INVALID, "%s: '%.40s' is %.40s; no scaling with it is supported", name, key,
                   text);
}

static bool there(const json_t *json, const char *key)
{
    const json_t *value = json_object_get(json, key);
    return value && !json_is_null(value);
}

/* A kind's own numbers must be there; a factor or an attention of 0 stands for none. */
static err_t check_given(const json_t *json, const char *name, const struct rope *rope)
{
    static const char *const of_llama3[] = {"low_freq_factor", "high_freq_factor"};
    if (rope->kind != ROPE_DEFAULT && rope->factor == 0)
        return err_new(ERR_INVALID, "%s: 'factor' is missing", name);
    for (int i = 0; rope->kind == ROPE_LLAMA3 && i < 2; i++)
        if (!there(json, of_llama3[i]))
            return err_new(ERR_INVALID, "%s: '%s' is missing", name, of_llama3[i]);
    if (rope->kind == ROPE_YARN && there(json, "attention_factor") && !(rope->attention > 0))
        return err_new(ERR_INVALID, "%s: 'attention_factor' is %g; it must be above 0", name,
                       rope->attention);
    return OK;
}

/* Without the numbers of other kinds. */
static struct rope of_its_kind(const struct rope *rope)
{
    struct rope ret = {.kind = rope->kind, .theta = rope->theta};
    if (rope->kind != ROPE_DEFAULT)
        ret.factor = rope->factor;
    if (rope->kind == ROPE_LLAMA3 || rope->kind == ROPE_YARN)
        ret.original = rope->original;
    if (rope->kind == ROPE_LLAMA3) {
        ret.low = rope->low;
        ret.high = rope->high;
    }
    if (rope->kind == ROPE_YARN) {
        ret.beta_fast = rope->beta_fast;
        ret.beta_slow = rope->beta_slow;
        ret.attention = rope->attention;
        ret.mscale = rope->mscale;
        ret.mscale_all = rope->mscale_all;
        ret.whole = rope->whole;
    }
    return ret;
}

static err_t parse_object(const json_t *json, const char *name, const char *key,
                          const struct model_config *config, struct reading *ret)
{
    const json_t *object = json_object_get(json, key);
    SCOPED_MEM char *inside = mem_printf("%s: %s", name, key);
    const char *member;
    json_t *value;
    if (!json_is_object(object))
        return err_new(ERR_INVALID, "%s: '%s' must be an object", name, key);
    ret->rope.beta_fast = 32; // transformers' defaults
    ret->rope.beta_slow = 1;
    ret->rope.whole = true;
    json_object_foreach ((json_t *)object, member, value) {
        TRY(parse_member(object, inside, member, ret));
    }
    if (ret->rope.kind == ROPE_YARN && !there(object, "factor") && ret->rope.original)
        ret->rope.factor = (double)config->max_positions / ret->rope.original;
    if (!ret->rope.original)
        ret->rope.original = config->max_positions;
    TRY(check_given(object, inside, &ret->rope));
    ret->rope = of_its_kind(&ret->rope);
    if (ret->rotary != config->rotary &&
        !family_key(config->family, offsetof(struct model_config, rotary)))
        return err_new(ERR_INVALID, "%s: 'partial_rotary_factor' is %g; only 1 is supported",
                       inside, ret->rotary);
    return OK;
}

static bool same(const struct reading *a, const struct reading *b)
{
    for (int i = 0; i < NUMBERS; i++)
        if (*number_of((struct rope *)&a->rope, numbers[i].key) !=
            *number_of((struct rope *)&b->rope, numbers[i].key))
            return false;
    return a->rope.kind == b->rope.kind && a->rope.original == b->rope.original &&
           a->rope.whole == b->rope.whole && a->rotary == b->rotary;
}

err_t config_parse_rope(const json_t *json, const char *name, const struct config_key *theta,
                        struct model_config *config)
{
    struct reading old = {.rope.theta = theta->otherwise, .rotary = config->rotary}, new;
    TRY(json_get_number_or(json, name, theta->key, &old.rope.theta));
    new = old;
    if (there(json, "rope_parameters")) {
        TRY(parse_object(json, name, "rope_parameters", config, &new));
        old.rope.theta = new.rope.theta;
        old.rotary = new.rotary;
    }
    if (there(json, "rope_scaling")) {
        TRY(parse_object(json, name, "rope_scaling", config, &old));
        if (there(json, "rope_parameters") && !same(&old, &new))
            return err_new(ERR_INVALID, "%s: 'rope_scaling' and 'rope_parameters' are not the same",
                           name);
        new = old;
    }
    config->rope = new.rope;
    config->rotary = new.rotary;
    return OK;
}

struct rope config_rope(const struct model_config *config)
{
    struct rope rope = config->rope;
    rope.R = config->family->position.name ? 0 : (int)(config->D * config->rotary);
    return rope;
}

static err_t check_scaling(const struct rope *rope, const char *name)
{
    if (!(rope->factor >= 1 && rope->factor <= 1e6))
        return err_new(ERR_INVALID, "%s: the scaling's 'factor' is %g; it must be from 1 to 1e6",
                       name, rope->factor);
    if (rope->kind == ROPE_LLAMA3 && !(rope->low > 0 && rope->high > rope->low && rope->high < 1e6))
        return err_new(ERR_INVALID,
                       "%s: 'low_freq_factor' %g and 'high_freq_factor' %g: they must be above 0, "
                       "the second the larger",
                       name, rope->low, rope->high);
    if (rope->kind != ROPE_YARN)
        return OK;
    if (!(rope->beta_slow > 0 && rope->beta_fast > rope->beta_slow && rope->beta_fast < 1e6))
        return err_new(ERR_INVALID,
                       "%s: 'beta_fast' %g and 'beta_slow' %g: they must be above 0, the first the "
                       "larger",
                       name, rope->beta_fast, rope->beta_slow);
    if (rope->theta <= 1)
        return err_new(ERR_INVALID, "%s: 'rope_theta' is %g; \"yarn\" needs more than 1", name,
                       rope->theta);
    if (!(rope->attention >= 0 && rope->attention <= 1e3 && rope->mscale >= 0 &&
          rope->mscale <= 1e3 && rope->mscale_all >= 0 && rope->mscale_all <= 1e3))
        return err_new(ERR_INVALID,
                       "%s: 'attention_factor' %g, 'mscale' %g, 'mscale_all_dim' %g: they must be "
                       "from 0 to 1000",
                       name, rope->attention, rope->mscale, rope->mscale_all);
    return OK;
}

/* A model's cosines and sines are a table of all its positions. */
static err_t check_table(const struct model_config *config, const struct rope *rope,
                         const char *name)
{
    enum { MOST_MIB = 4096 };
    const int64_t bytes = (int64_t)config->max_positions * rope->R * (int64_t)sizeof(float);
    if (bytes >> 20 <= MOST_MIB)
        return OK;
    return err_new(ERR_INVALID,
                   "%s: '%s' %d: the angles of %d elements a head would take %lld MiB; at most %d",
                   name,
                   family_key(config->family, offsetof(struct model_config, max_positions))->key,
                   config->max_positions, rope->R, (long long)(bytes >> 20), MOST_MIB);
}

err_t config_check_rope(const struct model_config *config, const char *name)
{
    const struct rope rope = config_rope(config);
    const struct config_key *theta =
        family_key(config->family, offsetof(struct model_config, rope.theta));
    if (!(rope.theta >= 1 && rope.theta < 1e12))
        return err_new(ERR_INVALID, "%s: '%s' is %g; it must be from 1 to 1e12", name,
                       theta ? theta->key : "rope_theta", rope.theta);
    if (!(config->rotary > 0 && config->rotary <= 1) || rope.R % 2 ||
        (rope.R < 2 && !config->family->position.name))
        return err_new(
            ERR_INVALID,
            "%s: %g of a head of %d turns: it must be a share whose elements are an even "
            "number",
            name, config->rotary, config->D);
    TRY(check_table(config, &rope, name));
    return rope.kind == ROPE_DEFAULT ? OK : check_scaling(&rope, name);
}

static void set_real(json_t *json, const char *key, double value)
{
    json_object_set_new(json, key, json_real(value));
}

/* The kind and its numbers. */
static void set_scaling(json_t *json, const struct rope *rope)
{
    json_object_set_new(json, "rope_type", json_string(kinds[rope->kind]));
    if (rope->kind != ROPE_DEFAULT)
        set_real(json, "factor", rope->factor);
    if (rope->kind == ROPE_LLAMA3 || rope->kind == ROPE_YARN)
        json_object_set_new(json, "original_max_position_embeddings", json_integer(rope->original));
    if (rope->kind == ROPE_LLAMA3) {
        set_real(json, "low_freq_factor", rope->low);
        set_real(json, "high_freq_factor", rope->high);
    }
    if (rope->kind != ROPE_YARN)
        return;
    set_real(json, "beta_fast", rope->beta_fast);
    set_real(json, "beta_slow", rope->beta_slow);
    if (rope->attention != 0)
        set_real(json, "attention_factor", rope->attention);
    if (rope->mscale != 0)
        set_real(json, "mscale", rope->mscale);
    if (rope->mscale_all != 0)
        set_real(json, "mscale_all_dim", rope->mscale_all);
    if (!rope->whole)
        json_object_set_new(json, "truncate", json_false());
}

void config_set_rope(json_t *json, const struct config_key *theta,
                     const struct model_config *config)
{
    const struct rope *rope = &config->rope;
    json_t *parameters = json_object(); // transformers 5 reads these, transformers 4 the others
    set_real(json, theta->key, rope->theta);
    set_real(parameters, "rope_theta", rope->theta);
    set_scaling(parameters, rope);
    if (family_key(config->family, offsetof(struct model_config, rotary)))
        set_real(parameters, "partial_rotary_factor", config->rotary);
    json_object_set_new(json, "rope_parameters", parameters);
    if (rope->kind == ROPE_DEFAULT)
        return;
    json_t *scaling = json_object();
    set_scaling(scaling, rope);
    json_object_set_new(json, "rope_scaling", scaling);
}
