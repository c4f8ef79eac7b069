/* The variables of a template: JSON as values. */
#include "model/text/template/template_run.h"

enum { VALUE_DEPTH = 400 }; // of values within one another

struct reading {
    struct run *r;
    const struct template_variable *variable;
    int depth;
};

static err_t read_value(struct reading *in, const json_t *json, const char *key, struct value *ret);

static uint8_t origin(const struct reading *in, const char *key, const char *text)
{
    const struct template_variable *variable = in->variable;
    if (!variable->data)
        return 0;
    /* an array's objects are at depth 2, their members at depth 3 */
    if (key && in->depth == 3 && json_is_array(variable->value) && variable->trusted &&
        variable->trusted(key, text))
        return 0;
    return TEMPLATE_FROM_DATA;
}

static err_t read_text(struct reading *in, const json_t *json, const char *key, struct value *ret)
{
    const size_t len = json_string_length(json);
    const char *text = json_string_value(json);
    TRY(run_work(in->r, len));
    TRY(run_room(in->r, 2 * len));
    *ret = value_text(text_new(&in->r->room, text, len, origin(in, key, text)));
    return OK;
}

static err_t read_array(struct reading *in, const json_t *json, struct value *ret)
{
    TRY(run_room(in->r, json_array_size(json) * sizeof(struct value)));
    struct list *list = list_new(in->r, json_array_size(json));
    for (size_t i = 0; i < json_array_size(json); i++)
        TRY(read_value(in, json_array_get(json, i), NULL, &list->at[list->count++]));
    *ret = value_list(list);
    return OK;
}

static err_t read_object(struct reading *in, const json_t *json, struct value *ret)
{
    struct dict *dict = dict_new(in->r);
    const char *key;
    json_t *member;
    json_object_foreach ((json_t *)json, key, member) {
        struct value value;
        const struct text *name =
            text_new(&in->r->room, key, strlen(key), in->variable->data ? TEMPLATE_FROM_DATA : 0);
        TRY(read_value(in, member, key, &value));
        TRY(dict_set(in->r, dict, value_text(name), value));
    }
    *ret = value_dict(dict);
    return OK;
}

static err_t read_value(struct reading *in, const json_t *json, const char *key, struct value *ret)
{
    TRY(run_work(in->r, 0));
    if (++in->depth > VALUE_DEPTH)
        return err_new(ERR_INVALID, "a value is more than %d deep", VALUE_DEPTH);
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        TRY(read_object(in, json, ret));
        break;
    case JSON_ARRAY:
        TRY(read_array(in, json, ret));
        break;
    case JSON_STRING:
        TRY(read_text(in, json, key, ret));
        break;
    case JSON_INTEGER:
        *ret = value_int(json_integer_value(json));
        break;
    case JSON_REAL:
        *ret = value_float(json_real_value(json));
        break;
    case JSON_NULL:
        *ret = value_none();
        break;
    default:
        *ret = value_bool(json_is_true(json));
    }
    in->depth--;
    return OK;
}

err_t template_value(struct run *r, const struct template_variable *variable, struct value *ret)
{
    struct reading in = {.r = r, .variable = variable};
    return read_value(&in, variable->value, NULL, ret);
}
