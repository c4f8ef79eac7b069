#include "rewarder/verify/schema_values.h"
#include "base/mem.h"
#include "base/printable.h"
#include "base/scoped.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_whole(const json_t *value)
{
    const double x = json_real_value(value);
    return json_is_integer(value) || (json_is_real(value) && x == floor(x));
}

bool schema_is_type(const json_t *value, const char *type)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "object",  [JSON_ARRAY] = "array", [JSON_STRING] = "string",
        [JSON_INTEGER] = "number", [JSON_REAL] = "number", [JSON_TRUE] = "boolean",
        [JSON_FALSE] = "boolean",  [JSON_NULL] = "null",
    };
    if (!type)
        return false;
    return strcmp(names[json_typeof(value)], type) == 0 ||
           (strcmp(type, "integer") == 0 && is_whole(value));
}

static bool equal_members(const json_t *a, const json_t *b)
{
    const char *name;
    json_t *member;
    if (json_object_size(a) != json_object_size(b))
        return false;
    json_object_foreach ((json_t *)a, name, member) {
        const json_t *other = json_object_get(b, name);
        if (!other || !schema_equal(member, other))
            return false;
    }
    return true;
}

bool schema_equal(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b))
        return json_integer_value(a) == json_integer_value(b);
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (json_is_object(a) && json_is_object(b))
        return equal_members(a, b);
    if (!json_is_array(a) || !json_is_array(b))
        return json_equal(a, b);
    bool same = json_array_size(a) == json_array_size(b);
    for (size_t i = 0; same && i < json_array_size(a); i++)
        same = schema_equal(json_array_get(a, i), json_array_get(b, i));
    return same;
}

/* 0.07 is a multiple of 0.01, whatever doubles say. */
bool schema_is_multiple(const json_t *value, const json_t *of)
{
    if (json_is_integer(value) && json_is_integer(of) && json_integer_value(of) > 0)
        return json_integer_value(value) % json_integer_value(of) == 0;
    const double times = json_number_value(value) / json_number_value(of);
    return isfinite(times) && fabs(times - round(times)) <= 1e-9 * fmax(1, fabs(times)) &&
           (fabs(times) < 1e9 || times == floor(times));
}

size_t schema_points(const json_t *text)
{
    const char *data = json_string_value(text);
    size_t points = 0;
    for (size_t i = 0; i < json_string_length(text); i++)
        points += ((unsigned char)data[i] & 0xc0) != 0x80;
    return points;
}

/* ---- references */

/* One step of a pointer, with ~0, ~1 and %25 read. */
static char *step_of(const char *at, size_t len)
{
    char *step = mem_array(len + 1, 1);
    size_t to = 0;
    for (size_t i = 0; i < len; i++) {
        char c = at[i];
        if (c == '~' && i + 1 < len && (at[i + 1] == '0' || at[i + 1] == '1'))
            c = at[++i] == '0' ? '~' : '/';
        else if (c == '%' && i + 2 < len && isxdigit((unsigned char)at[i + 1]) &&
                 isxdigit((unsigned char)at[i + 2])) {
            const char hex[3] = {at[i + 1], at[i + 2], 0};
            c = (char)strtol(hex, NULL, 16);
            i += 2;
        }
        step[to++] = c;
    }
    return step;
}

static const json_t *child(const json_t *of, const char *step)
{
    if (json_is_array(of))
        return *step && strspn(step, "0123456789") == strlen(step)
                   ? json_array_get(of, (size_t)strtoul(step, NULL, 10))
                   : NULL;
    return json_object_get(of, step);
}

err_t schema_at(const json_t *document, const json_t *ref, const json_t **ret)
{
    const char *text = json_string_value(ref);
    const json_t *at = document;
    if (!text || *text != '#' || (text[1] && text[1] != '/')) {
        SCOPED_MEM char *shown = printable_text(text ? text : "", "");
        return err_new(ERR_INVALID,
                       "schema: $ref '%.100s' is not supported; allowed: #, #/PLACE of the same "
                       "schema",
                       shown);
    }
    for (const char *rest = text + 1; *rest && at;) {
        const size_t len = strcspn(rest + 1, "/");
        SCOPED_MEM char *step = step_of(rest + 1, len);
        at = child(at, step);
        rest += 1 + len;
    }
    if (!at) {
        SCOPED_MEM char *shown = printable_text(text, "");
        return err_new(ERR_INVALID, "schema: $ref '%.100s' goes nowhere", shown);
    }
    *ret = at;
    return OK;
}
