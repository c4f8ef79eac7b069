/* 1 if the completion is JSON that a schema allows: the recipe's, or the row's. */
#include "base/mem.h"
#include "rewarder/verify/check.h"
#include "rewarder/verify/schema.h"
#include <string.h>

static err_t schema_open(const struct verify_keys *keys, void **ret_state)
{
    json_t *schema = NULL;
    bool valid;
    if (!*keys->schema == !*keys->column)
        return err_new(ERR_INVALID, "check: json_schema needs schema or column, one of them");
    if (!*keys->schema)
        return OK;
    TRY(json_parse(keys->schema, strlen(keys->schema), "schema", &schema));
    SCOPED_JSON json_t *held = schema, *nothing = json_null();
    TRY(schema_valid(schema, nothing, &keys->limits, NULL, &valid));
    *ret_state = json_incref(held);
    return OK;
}

static err_t schema_score(const struct verify_keys *keys, const void *state,
                          const struct scorer_sample *sample, double *ret)
{
    SCOPED_JSON json_t *own = NULL, *value = NULL;
    const json_t *schema = state;
    bool valid;
    if (!schema)
        schema = json_object_get(sample->row, keys->column);
    if (!schema)
        return err_new(ERR_INVALID, "the row has no column '%s'", keys->column);
    if (json_is_string(schema)) {
        TRY(json_parse(json_string_value(schema), json_string_length(schema), keys->column, &own));
        schema = own;
    }
    const struct text_slice text =
        scorer_strip(answer_block((struct text_slice){sample->text, sample->text_len}));
    err_t failed = json_parse_nul(text.data, text.len, "completion", &value);
    *ret = 0;
    if (err_failed(failed)) { // no JSON is no valid JSON
        err_free(failed);
        return OK;
    }
    TRY(schema_valid(schema, value, &keys->limits, sample->stop, &valid));
    *ret = valid;
    return OK;
}

static void schema_close(void *state)
{
    json_decref(state);
}

const struct check check_schema = {
    .name = "json_schema", .open = schema_open, .score = schema_score, .close = schema_close};
