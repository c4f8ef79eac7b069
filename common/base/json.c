#include "base/json.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The parser's words for a person: it quotes what it read, control characters and halves of
 * characters included. */
static err_t not_json(const char *text, size_t len, const char *name, json_error_t *error)
{
    static const char flag[] = " without JSON_ALLOW_NUL"; // of the parser's own interface
    char *at = strstr(error->text, flag);
    if (at)
        memmove(at, at + strlen(flag), strlen(at + strlen(flag)) + 1);
    for (unsigned char *p = (unsigned char *)error->text; *p; p++)
        if (*p < ' ' || *p >= 0x7f)
            *p = '?';
    if (len >= 2 && memcmp(text, "\x1f\x8b", 2) == 0)
        return err_new(ERR_INVALID, "%s: not JSON but gzip: unpack it first", name);
    if (len >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0))
        return err_new(ERR_INVALID, "%s: not JSON: UTF-16; allowed: UTF-8", name);
    if (!memchr(text, '\n', len)) // a row, whose line name has
        return err_new(ERR_INVALID, "%s: not JSON: column %d: %s", name, error->column,
                       error->text);
    return err_new(ERR_INVALID, "%s: not JSON: line %d column %d: %s", name, error->line,
                   error->column, error->text);
}

size_t json_mark(const char *text, size_t len)
{
    return len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

static err_t parse(const char *text, size_t len, const char *name, size_t flags, json_t **ret)
{
    json_error_t error;
    const size_t mark = json_mark(text, len);
    json_t *value = json_loadb(text + mark, len - mark,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | flags, &error);
    if (!value)
        return not_json(text, len, name, &error);
    *ret = value;
    return OK;
}

err_t json_parse(const char *text, size_t len, const char *name, json_t **ret)
{
    return parse(text, len, name, 0, ret);
}

err_t json_parse_nul(const char *text, size_t len, const char *name, json_t **ret)
{
    return parse(text, len, name, JSON_ALLOW_NUL, ret);
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

const char *json_type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list",  [JSON_STRING] = "text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number", [JSON_TRUE] = "a boolean",
        [JSON_FALSE] = "a boolean",  [JSON_NULL] = "null",
    };
    return names[json_typeof(value)];
}

/* Control characters become '?', so a row cannot break the log. */
void json_put_keys(const json_t *object, struct bytes *ret)
{
    enum { KEYS_SHOWN = 200 };
    for (void *it = json_object_iter((json_t *)object); it;
         it = json_object_iter_next((json_t *)object, it)) {
        if (ret->len > KEYS_SHOWN) {
            bytes_text(ret, ", ...");
            break;
        }
        bytes_printf(ret, "%s'%.60s'", ret->len ? ", " : "", json_object_iter_key(it));
    }
    if (!ret->len)
        bytes_text(ret, "none");
    for (size_t i = 0; i < ret->len; i++)
        if (ret->data[i] < 0x20 || ret->data[i] == 0x7f)
            ret->data[i] = '?';
}
