/* A template, a zero byte, and a JSON object of variables: refused in one line, or rendered to
 * UTF-8 within its bounds, twice the same. */
#include "base/json.h"
#include "base/printable.h"
#include "model/text/template/template.h"
#include <stdlib.h>
#include <string.h>

enum { VARIABLES = 16, STEPS = 50000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_error(err_t e)
{
    const enum err_code code = err_code(e);
    must(code == ERR_NONE || code == ERR_INVALID || code == ERR_RANGE);
    must(!strchr(err_message(e), '\n'));
    err_free(e);
}

static void check_text(const struct template_text *text, bool data)
{
    uint32_t point;
    for (size_t at = 0, bytes; at < text->len; at += bytes) {
        bytes = utf8_point(text->data + at, text->len - at, &point);
        must(bytes > 0);
        for (size_t i = 0; i < bytes; i++)
            must(text->from[at + i] == text->from[at]); // a character has one writer
    }
    for (size_t i = 0; i < text->len; i++)
        must(data || !(text->from[i] & TEMPLATE_FROM_DATA));
}

static void render(const struct template *template, const json_t *variables)
{
    struct template_variable variable[VARIABLES];
    struct template_input input = {.variable = variable, .steps = STEPS};
    struct template_text first = {0}, second = {0};
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)variables, key, value) {
        if (input.variables < VARIABLES)
            variable[input.variables++] =
                (struct template_variable){.name = key, .value = value, .data = true};
    }
    err_t e = template_render(template, &input, &first), again = {0};
    if (!err_failed(e)) {
        check_text(&first, input.variables);
        again = template_render(template, &input, &second);
        must(!err_failed(again) && first.len == second.len);
        must(!memcmp(first.data, second.data, first.len) &&
             !memcmp(first.from, second.from, first.len));
    }
    check_error(e);
    check_error(again);
    template_text_done(&first);
    template_text_done(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    SCOPED(template) template = NULL;
    SCOPED_JSON json_t *variables = NULL;
    const uint8_t *zero = memchr(data, 0, len);
    const size_t source = zero ? (size_t)(zero - data) : len;
    if (zero)
        variables = json_loadb((const char *)zero + 1, len - source - 1, JSON_ALLOW_NUL, NULL);
    err_t e = template_parse((const char *)data, source, "fuzz", &template);
    if (!err_failed(e))
        render(template, variables);
    check_error(e);
    return 0;
}
