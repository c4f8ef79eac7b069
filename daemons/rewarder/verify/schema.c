#include "rewarder/verify/schema.h"
#include "base/mem.h"
#include "base/printable.h"
#include "rewarder/verify/schema_values.h"
#include <stdlib.h>
#include <string.h>

struct checking {
    const json_t *document;
    const struct pattern_limits *limits;
    const struct cell *stop;
    int depth;
    int64_t steps;
};

static err_t valid(struct checking *c, const json_t *schema, const json_t *value, bool *ret);

/* A keyword's own value, the schema around it, and what it is held against. */
typedef err_t (*keyword)(struct checking *c, const json_t *key, const json_t *schema,
                         const json_t *value, bool *ret);

/* ---- of any value */

static err_t key_type(struct checking *, const json_t *key, const json_t *, const json_t *value,
                      bool *ret)
{
    *ret = json_is_string(key) && schema_is_type(value, json_string_value(key));
    for (size_t i = 0; i < json_array_size(key) && !*ret; i++)
        *ret = schema_is_type(value, json_string_value(json_array_get(key, i)));
    return OK;
}

static err_t key_enum(struct checking *, const json_t *key, const json_t *, const json_t *value,
                      bool *ret)
{
    *ret = false;
    for (size_t i = 0; i < json_array_size(key) && !*ret; i++)
        *ret = schema_equal(json_array_get(key, i), value);
    return OK;
}

static err_t key_const(struct checking *, const json_t *key, const json_t *, const json_t *value,
                       bool *ret)
{
    *ret = schema_equal(key, value);
    return OK;
}

/* How many of a list of schemas hold. */
static err_t count_valid(struct checking *c, const json_t *key, const json_t *value, size_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < json_array_size(key); i++) {
        bool one;
        TRY(valid(c, json_array_get(key, i), value, &one));
        *ret += one;
    }
    return OK;
}

static err_t key_all_of(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                        bool *ret)
{
    size_t count;
    TRY(count_valid(c, key, value, &count));
    *ret = count == json_array_size(key);
    return OK;
}

static err_t key_any_of(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                        bool *ret)
{
    size_t count;
    TRY(count_valid(c, key, value, &count));
    *ret = count > 0;
    return OK;
}

static err_t key_one_of(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                        bool *ret)
{
    size_t count;
    TRY(count_valid(c, key, value, &count));
    *ret = count == 1;
    return OK;
}

static err_t key_not(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                     bool *ret)
{
    TRY(valid(c, key, value, ret));
    *ret = !*ret;
    return OK;
}

static err_t key_if(struct checking *c, const json_t *key, const json_t *schema,
                    const json_t *value, bool *ret)
{
    bool holds;
    TRY(valid(c, key, value, &holds));
    const json_t *next = json_object_get(schema, holds ? "then" : "else");
    return next ? valid(c, next, value, ret) : OK;
}

static err_t key_ref(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                     bool *ret)
{
    const json_t *to;
    TRY(schema_at(c->document, key, &to));
    return valid(c, to, value, ret);
}

/* ---- of numbers and texts */

#define COMPARISON(name_, is_, left_, sign_, right_)                                               \
    static err_t name_(struct checking *, const json_t *key, const json_t *, const json_t *value,  \
                       bool *ret)                                                                  \
    {                                                                                              \
        *ret = !(is_) || (left_)sign_(right_);                                                     \
        return OK;                                                                                 \
    }
#define NUMBER json_number_value(value)
#define BOUND  json_number_value(key)
COMPARISON(key_minimum, json_is_number(value), NUMBER, >=, BOUND)
COMPARISON(key_maximum, json_is_number(value), NUMBER, <=, BOUND)
COMPARISON(key_above, json_is_number(value), NUMBER, >, BOUND)
COMPARISON(key_below, json_is_number(value), NUMBER, <, BOUND)
COMPARISON(key_min_length, json_is_string(value), (double)schema_points(value), >=, BOUND)
COMPARISON(key_max_length, json_is_string(value), (double)schema_points(value), <=, BOUND)
COMPARISON(key_min_items, json_is_array(value), (double)json_array_size(value), >=, BOUND)
COMPARISON(key_max_items, json_is_array(value), (double)json_array_size(value), <=, BOUND)
COMPARISON(key_min_members, json_is_object(value), (double)json_object_size(value), >=, BOUND)
COMPARISON(key_max_members, json_is_object(value), (double)json_object_size(value), <=, BOUND)

static err_t key_multiple_of(struct checking *, const json_t *key, const json_t *,
                             const json_t *value, bool *ret)
{
    *ret = !json_is_number(value) || schema_is_multiple(value, key);
    return OK;
}

static err_t matches(const struct checking *c, const char *text, struct text_slice of, bool *ret)
{
    SCOPED(pattern) pattern = NULL;
    struct pattern_match match;
    TRY(pattern_new(text, false, c->limits, &pattern));
    TRY(pattern_find(pattern, of, c->stop, &match));
    *ret = match.found;
    return OK;
}

static err_t key_pattern(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                         bool *ret)
{
    if (!json_is_string(value))
        return OK;
    const struct text_slice text = {json_string_value(value), json_string_length(value)};
    return matches(c, json_string_value(key), text, ret);
}

/* ---- of lists */

/* The schemas of the first items: prefixItems, or the list that items was before. */
static const json_t *first_of(const json_t *schema)
{
    const json_t *items = json_object_get(schema, "items");
    return json_is_array(items) ? items : json_object_get(schema, "prefixItems");
}

static err_t each_item(struct checking *c, const json_t *schema, size_t from, const json_t *value,
                       bool *ret)
{
    for (size_t i = from; i < json_array_size(value) && *ret; i++)
        TRY(valid(c, schema, json_array_get(value, i), ret));
    return OK;
}

static err_t key_first_items(struct checking *c, const json_t *key, const json_t *,
                             const json_t *value, bool *ret)
{
    for (size_t i = 0; i < json_array_size(key) && i < json_array_size(value) && *ret; i++)
        TRY(valid(c, json_array_get(key, i), json_array_get(value, i), ret));
    return OK;
}

static err_t key_items(struct checking *c, const json_t *key, const json_t *schema,
                       const json_t *value, bool *ret)
{
    if (json_is_array(key))
        return key_first_items(c, key, schema, value, ret);
    return each_item(c, key, json_array_size(first_of(schema)), value, ret);
}

static err_t key_other_items(struct checking *c, const json_t *key, const json_t *schema,
                             const json_t *value, bool *ret)
{
    const json_t *items = json_object_get(schema, "items");
    return json_is_array(items) ? each_item(c, key, json_array_size(items), value, ret) : OK;
}

static err_t key_contains(struct checking *c, const json_t *key, const json_t *schema,
                          const json_t *value, bool *ret)
{
    const json_t *least = json_object_get(schema, "minContains");
    const json_t *most = json_object_get(schema, "maxContains");
    double count = 0;
    if (!json_is_array(value))
        return OK;
    for (size_t i = 0; i < json_array_size(value); i++) {
        bool one;
        TRY(valid(c, key, json_array_get(value, i), &one));
        count += one;
    }
    *ret = count >= (least ? json_number_value(least) : 1) &&
           (!most || count <= json_number_value(most));
    return OK;
}

static err_t key_unique(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                        bool *ret)
{
    const size_t count = json_array_size(value);
    c->steps += (int64_t)(count * count / 2);
    if (!json_is_true(key) || c->steps > SCHEMA_STEPS)
        return OK; // the next step says so
    for (size_t i = 0; i < count && *ret; i++)
        for (size_t j = 0; j < i && *ret; j++)
            *ret = !schema_equal(json_array_get(value, i), json_array_get(value, j));
    return OK;
}

/* ---- of objects */

static err_t key_required(struct checking *, const json_t *key, const json_t *, const json_t *value,
                          bool *ret)
{
    for (size_t i = 0; json_is_object(value) && i < json_array_size(key) && *ret; i++)
        *ret = json_object_get(value, json_string_value(json_array_get(key, i))) != NULL;
    return OK;
}

static err_t key_properties(struct checking *c, const json_t *key, const json_t *,
                            const json_t *value, bool *ret)
{
    const char *name;
    json_t *schema;
    json_object_foreach ((json_t *)key, name, schema) {
        const json_t *member = json_object_get(value, name);
        if (member && *ret)
            TRY(valid(c, schema, member, ret));
    }
    return OK;
}

static err_t key_patterns(struct checking *c, const json_t *key, const json_t *,
                          const json_t *value, bool *ret)
{
    const char *pattern, *name;
    json_t *schema, *member;
    json_object_foreach ((json_t *)key, pattern, schema) {
        json_object_foreach ((json_t *)value, name, member) {
            bool match = false;
            if (*ret)
                TRY(matches(c, pattern, (struct text_slice){name, strlen(name)}, &match));
            if (match)
                TRY(valid(c, schema, member, ret));
        }
    }
    return OK;
}

/* Whether properties or patternProperties speak of the name. */
static err_t is_named(const struct checking *c, const json_t *schema, const char *name, bool *ret)
{
    const char *pattern;
    json_t *of_pattern;
    *ret = json_object_get(json_object_get(schema, "properties"), name) != NULL;
    json_object_foreach (json_object_get(schema, "patternProperties"), pattern, of_pattern) {
        if (!*ret)
            TRY(matches(c, pattern, (struct text_slice){name, strlen(name)}, ret));
    }
    return OK;
}

static err_t key_other_members(struct checking *c, const json_t *key, const json_t *schema,
                               const json_t *value, bool *ret)
{
    const char *name;
    json_t *member;
    json_object_foreach ((json_t *)value, name, member) {
        bool named = true;
        if (*ret)
            TRY(is_named(c, schema, name, &named));
        if (!named)
            TRY(valid(c, key, member, ret));
    }
    return OK;
}

static err_t key_names(struct checking *c, const json_t *key, const json_t *, const json_t *value,
                       bool *ret)
{
    const char *name;
    json_t *member;
    json_object_foreach ((json_t *)value, name, member) {
        SCOPED_JSON json_t *text = json_string(name);
        if (*ret)
            TRY(valid(c, key, text, ret));
    }
    return OK;
}

static err_t key_dependencies(struct checking *c, const json_t *key, const json_t *schema,
                              const json_t *value, bool *ret)
{
    const char *name;
    json_t *then;
    json_object_foreach ((json_t *)key, name, then) {
        if (!*ret || !json_object_get(value, name))
            continue;
        if (json_is_array(then))
            TRY(key_required(c, then, schema, value, ret));
        else
            TRY(valid(c, then, value, ret));
    }
    return OK;
}

/* ---- all together */

static const struct {
    const char *name;
    keyword check; // NULL: not supported
} keywords[] = {
    {"$ref", key_ref},
    {"type", key_type},
    {"enum", key_enum},
    {"const", key_const},
    {"allOf", key_all_of},
    {"anyOf", key_any_of},
    {"oneOf", key_one_of},
    {"not", key_not},
    {"if", key_if},
    {"minimum", key_minimum},
    {"maximum", key_maximum},
    {"exclusiveMinimum", key_above},
    {"exclusiveMaximum", key_below},
    {"multipleOf", key_multiple_of},
    {"minLength", key_min_length},
    {"maxLength", key_max_length},
    {"pattern", key_pattern},
    {"prefixItems", key_first_items},
    {"items", key_items},
    {"additionalItems", key_other_items},
    {"contains", key_contains},
    {"minItems", key_min_items},
    {"maxItems", key_max_items},
    {"uniqueItems", key_unique},
    {"required", key_required},
    {"properties", key_properties},
    {"patternProperties", key_patterns},
    {"additionalProperties", key_other_members},
    {"propertyNames", key_names},
    {"minProperties", key_min_members},
    {"maxProperties", key_max_members},
    {"dependencies", key_dependencies},
    {"dependentRequired", key_dependencies},
    {"dependentSchemas", key_dependencies},
    {"$dynamicRef", NULL},
    {"$recursiveRef", NULL},
    {"unevaluatedItems", NULL},
    {"unevaluatedProperties", NULL},
};

/* One schema, whose steps and depth are counted by valid. */
static err_t each_keyword(struct checking *c, const json_t *schema, const json_t *value, bool *ret)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords && *ret; i++) {
        const json_t *key = json_object_get(schema, keywords[i].name);
        if (!key)
            continue;
        if (!keywords[i].check)
            return err_new(ERR_INVALID, "schema: '%s' is not supported", keywords[i].name);
        TRY(keywords[i].check(c, key, schema, value, ret));
    }
    return OK;
}

static err_t valid(struct checking *c, const json_t *schema, const json_t *value, bool *ret)
{
    *ret = !json_is_false(schema);
    if (json_is_boolean(schema))
        return OK;
    if (!json_is_object(schema))
        return err_new(ERR_INVALID, "schema: %s; an object, true or false is needed",
                       json_type_name(schema));
    if (++c->steps > SCHEMA_STEPS)
        return err_new(ERR_RANGE, "schema: more than %d steps", SCHEMA_STEPS);
    if (c->depth >= SCHEMA_DEPTH)
        return err_new(ERR_RANGE, "schema: deeper than %d", SCHEMA_DEPTH);
    c->depth++;
    err_t failed = each_keyword(c, schema, value, ret);
    c->depth--;
    return failed;
}

err_t schema_valid(const json_t *schema, const json_t *value, const struct pattern_limits *limits,
                   const struct cell *stop, bool *ret)
{
    struct checking c = {.document = schema, .limits = limits, .stop = stop};
    return valid(&c, schema, value, ret);
}
