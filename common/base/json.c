#include "base/json.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <inttypes.h>
#include <stdlib.h>

err_t json_parse(const char *text, size_t len, const char *name, json_t **ret)
{
    json_error_t error;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!value)
        return err_new(ERR_INVALID, "%s: not JSON: line %d column %d: %s", name, error.line,
                       error.column, error.text);
    *ret = value;
    return OK;
}

err_t json_read_file(const char *path, size_t max_bytes, json_t **ret)
{
    SCOPED_VALUE(bytes) text = {0};
    TRY(file_read(path, max_bytes, &text));
    return json_parse((const char *)text.data, text.len, path, ret);
}

static err_t wrong(const json_t *found, const char *name, const char *key, const char *wanted)
{
    SCOPED_MEM char *text = found ? json_to_text(found) : NULL;
    if (!text)
        return err_new(ERR_INVALID, "%s: '%s' is missing; it must be %s", name, key, wanted);
    return err_new(ERR_INVALID, "%s: '%s' is %.60s; it must be %s", name, key, text, wanted);
}

static const json_t *present(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

err_t json_get_int(const json_t *object, const char *name, const char *key, int64_t min,
                   int64_t max, int64_t *ret)
{
    const json_t *value = present(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        SCOPED_MEM char *wanted =
            mem_printf("a whole number from %" PRId64 " to %" PRId64, min, max);
        return wrong(value, name, key, wanted);
    }
    *ret = json_integer_value(value);
    return OK;
}

err_t json_get_int_or(const json_t *object, const char *name, const char *key, int64_t min,
                      int64_t max, int64_t *ret)
{
    return present(object, key) ? json_get_int(object, name, key, min, max, ret) : OK;
}

err_t json_get_number_or(const json_t *object, const char *name, const char *key, double *ret)
{
    const json_t *value = present(object, key);
    if (!value)
        return OK;
    if (!json_is_number(value))
        return wrong(value, name, key, "a number");
    *ret = json_number_value(value);
    return OK;
}

err_t json_get_bool_or(const json_t *object, const char *name, const char *key, bool *ret)
{
    const json_t *value = present(object, key);
    if (!value)
        return OK;
    if (!json_is_boolean(value))
        return wrong(value, name, key, "true or false");
    *ret = json_is_true(value);
    return OK;
}

err_t json_get_text(const json_t *object, const char *name, const char *key, const char **ret)
{
    const json_t *value = present(object, key);
    if (!json_is_string(value))
        return wrong(value, name, key, "a string");
    *ret = json_string_value(value);
    return OK;
}

char *json_to_text(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
}
