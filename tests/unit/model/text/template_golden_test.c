/* Templates against jinja2 (tests/golden/chat.py): the same text, or an error in both. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/text/template/template.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { VARIABLES = 64, SHOWN = 20 };

struct golden {
    struct template_variable variable[VARIABLES];
    struct template_input input;
    const json_t *families; // a case may name its template by number
    int texts, errors, unlike, unsupported;
};

/* Where we refuse what jinja2 does: said by name, and counted. */
static bool is_refused(const char *message)
{
    return strstr(message, "is not supported") || strstr(message, "beyond 64 bits") ||
           strstr(message, "names no character") ||
           strstr(message, "has no text"); // an address, another one each time
}

static void add(struct golden *g, const json_t *variables)
{
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)variables, key, value) {
        assert_true(g->input.variables < VARIABLES);
        g->variable[g->input.variables++] =
            (struct template_variable){.name = key, .value = value, .data = true};
    }
}

static err_t render(const struct golden *g, const json_t *template, struct template_text *ret)
{
    SCOPED(template) parsed = NULL;
    TRY(template_parse(json_string_value(template), json_string_length(template), "t", &parsed));
    return template_render(parsed, &g->input, ret);
}

static const json_t *template_of(const struct golden *g, const json_t *row)
{
    const json_t *template = json_object_get(row, "template");
    return json_is_integer(template)
               ? json_array_get(g->families, (size_t)json_integer_value(template))
               : template;
}

static void unlike(struct golden *g, const json_t *row, const char *got)
{
    if (g->unlike++ < SHOWN)
        print_message("%s\n  got  %.300s\n  want %.300s\n", json_string_value(template_of(g, row)),
                      got,
                      json_string_value(
                          json_object_get(row, json_object_get(row, "text") ? "text" : "error")));
}

/* Code points of the text before a byte. */
static json_int_t point(const struct template_text *text, size_t byte)
{
    json_int_t points = 0;
    for (size_t i = 0; i < byte; i++)
        points += ((uint8_t)text->data[i] & 0xC0) != 0x80;
    return points;
}

/* jinja2's spans are of code points; those that touch are one of ours. */
static bool same_spans(const struct template_text *text, const json_t *spans)
{
    SCOPED_MEM bool *want = mem_array(text->len + 1, sizeof *want);
    const json_t *span;
    size_t i;
    json_array_foreach (spans, i, span) {
        for (json_int_t k = json_integer_value(json_array_get(span, 0));
             k < json_integer_value(json_array_get(span, 1)) && k < (json_int_t)text->len; k++)
            want[k] = true;
    }
    for (size_t k = 0; k < text->len; k++)
        if (want[point(text, k)] != !!(text->from[k] & TEMPLATE_GENERATION) &&
            ((uint8_t)text->data[k] & 0xC0) != 0x80)
            return false;
    return true;
}

static void one_case(struct golden *g, const json_t *row)
{
    SCOPED_VALUE(template_text) text = {0};
    const json_t *want = json_object_get(row, "text");
    err_t e = render(g, template_of(g, row), &text);
    g->texts += want != NULL;
    g->errors += want == NULL;
    if (err_failed(e) && want && is_refused(err_message(e)))
        g->unsupported++;
    else if (err_failed(e) ? want != NULL : !want)
        unlike(g, row, err_failed(e) ? err_message(e) : text.data);
    else if (want && (json_string_length(want) != text.len ||
                      memcmp(json_string_value(want), text.data, text.len) != 0))
        unlike(g, row, text.data);
    else if (want && !same_spans(&text, json_object_get(row, "generation")))
        unlike(g, row, "other generation spans");
    err_free(e);
}

static void texts_equal_those_of_jinja2(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) lines = {0};
    SCOPED_JSON json_t *first = NULL;
    struct golden g = {0};
    const char *path = getenv("RLHFD_TEMPLATE_CASES");
    assert_ok(file_read(path ? path : TEST_GOLDEN "/chat/cases.jsonl", 1 << 30, &lines));
    for (char *line = (char *)lines.data, *end; (end = strchr(line, '\n')); line = end + 1) {
        SCOPED_JSON json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        assert_non_null(row);
        if (first) {
            const size_t common = g.input.variables;
            add(&g, json_object_get(row, "with"));
            one_case(&g, row);
            g.input.variables = common;
            continue;
        }
        first = json_incref(row);
        add(&g, json_object_get(row, "variables"));
        g.families = json_object_get(row, "families");
        g.input.variable = g.variable;
        g.input.now_s = json_integer_value(json_object_get(row, "now"));
    }
    print_message("%d texts and %d errors; %d are refused, %d differ\n", g.texts, g.errors,
                  g.unsupported, g.unlike);
    assert_int_equal(g.unlike, 0);
    assert_true(g.texts > 1000 && g.errors > 500 && g.unsupported < g.texts / 50);
}

TESTS(cmocka_unit_test(texts_equal_those_of_jinja2))
