#include "rewarder/verify/code_tests.h"
#include "base/hash.h"
#include "base/mem.h"
#include <string.h>

void code_tests_done(struct code_tests *tests)
{
    for (size_t i = 0; i < tests->count; i++) {
        bytes_done(&tests->at[i].source);
        bytes_done(&tests->at[i].input);
    }
    mem_free(tests->at);
    json_decref(tests->column);
    *tests = (struct code_tests){0};
}

static err_t no_tests(const char *name, const char *why)
{
    return err_new(ERR_INVALID,
                   "the row's column '%s': %s; allowed: text, a list of texts, an object with "
                   "inputs and outputs, or one of these as JSON",
                   name, why);
}

/* ---- asserts */

/* The last line of a program that comes to its end; a function of code and tests. */
static void end_with_token(struct code_test *test)
{
    const struct digest digest = hash128(test->source.data, test->source.len, 0);
    digest_text(&digest, test->token);
    bytes_printf(&test->source, "\nprint('\\n%s')\n", test->token);
}

static void begin_asserts(struct code_test *test, struct text_slice code)
{
    bytes_put(&test->source, code.data, code.len);
    bytes_text(&test->source, "\n");
}

static err_t read_asserts(const json_t *list, const char *name, struct text_slice code, bool apart,
                          struct code_tests *ret)
{
    const size_t count = json_array_size(list);
    for (size_t i = 0; i < count; i++)
        if (!json_is_string(json_array_get(list, i)))
            return no_tests(name, "its list has something else than texts");
    ret->at = mem_array(apart ? count : 1, sizeof *ret->at);
    for (size_t i = 0; i < count; i++) {
        if (apart || i == 0)
            begin_asserts(&ret->at[ret->count++], code);
        struct code_test *test = &ret->at[ret->count - 1];
        bytes_text(&test->source, json_string_value(json_array_get(list, i)));
        bytes_text(&test->source, "\n");
    }
    for (size_t i = 0; i < ret->count; i++)
        end_with_token(&ret->at[i]);
    return OK;
}

/* ---- inputs and outputs */

static err_t read_texts(const json_t *inputs, const json_t *outputs, const char *name,
                        struct text_slice code, struct code_tests *ret)
{
    ret->at = mem_array(json_array_size(inputs), sizeof *ret->at);
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        const json_t *in = json_array_get(inputs, i), *out = json_array_get(outputs, i);
        struct code_test *test = &ret->at[ret->count++];
        if (!json_is_string(in) || !json_is_string(out))
            return no_tests(name, "without fn_name inputs and outputs are texts");
        bytes_put(&test->source, code.data, code.len);
        bytes_text(&test->source, "\n");
        bytes_put(&test->input, json_string_value(in), json_string_length(in));
        test->compares = true;
        test->wanted = (struct text_slice){json_string_value(out), json_string_length(out)};
    }
    return OK;
}

/* JSON's text as a literal of Python: its text as JSON once more. */
static void put_literal(struct bytes *ret, const json_t *value)
{
    SCOPED_MEM char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    SCOPED_JSON json_t *string = json_string(text ? text : "null");
    SCOPED_MEM char *literal =
        json_dumps(string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII); // no line ends a literal
    bytes_text(ret, literal ? literal : "\"null\"");
}

/* Arguments are a list, or, as in APPS, texts of JSON with one argument a line. */
static json_t *arguments_of(const json_t *in)
{
    if (!json_is_string(in))
        return json_is_array(in) ? json_incref((json_t *)in) : NULL;
    json_t *arguments = json_array();
    const char *at = json_string_value(in);
    while (*at) {
        const size_t len = strcspn(at, "\n");
        json_t *value = NULL;
        err_t failed = json_parse(at, len, "argument", &value);
        if (err_failed(failed)) {
            err_free(failed);
            json_decref(arguments);
            return NULL;
        }
        json_array_append_new(arguments, value);
        at += len + (at[len] == '\n');
    }
    return arguments;
}

static bool is_identifier(const char *name)
{
    return *name &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") ==
               strlen(name);
}

/* Results pass through JSON, where a tuple is a list. A result in a list of its own is one, too. */
static void put_call(struct code_test *test, const char *function, const json_t *arguments,
                     const json_t *out)
{
    bytes_printf(&test->source,
                 "import json as _json\n"
                 "_call = Solution().%s if 'Solution' in globals() else %s\n"
                 "_got = _json.loads(_json.dumps(_call(*_json.loads(",
                 function, function);
    put_literal(&test->source, arguments);
    bytes_text(&test->source, "))))\n_want = _json.loads(");
    put_literal(&test->source, out);
    bytes_text(&test->source, ")\nassert _got == _want or [_got] == _want\n");
}

static err_t read_calls(const json_t *inputs, const json_t *outputs, const char *function,
                        const char *name, struct text_slice code, struct code_tests *ret)
{
    if (!is_identifier(function))
        return no_tests(name, "fn_name is no name of a function");
    ret->at = mem_array(json_array_size(inputs), sizeof *ret->at);
    for (size_t i = 0; i < json_array_size(inputs); i++) {
        struct code_test *test = &ret->at[ret->count++];
        const json_t *out = json_array_get(outputs, i);
        SCOPED_JSON json_t *arguments = arguments_of(json_array_get(inputs, i));
        SCOPED_JSON json_t *parsed = json_is_string(out) ? arguments_of(out) : NULL;
        if (!arguments)
            return no_tests(name, "arguments of fn_name are lists, or lines of JSON");
        begin_asserts(test, code);
        put_call(test, function, arguments,
                 parsed && json_array_size(parsed) == 1 ? json_array_get(parsed, 0) : out);
        end_with_token(test);
    }
    return OK;
}

static err_t read_pairs(const json_t *column, const char *name, struct text_slice code,
                        struct code_tests *ret)
{
    const json_t *inputs = json_object_get(column, "inputs");
    const json_t *outputs = json_object_get(column, "outputs");
    const json_t *function = json_object_get(column, "fn_name");
    const size_t count = json_array_size(inputs);
    if (!count || count != json_array_size(outputs))
        return no_tests(name, "inputs and outputs must be lists of the same length, 1 or more");
    if (count > CODE_TESTS)
        return no_tests(name, "it has more than 1000 tests");
    if (!function || json_is_null(function))
        return read_texts(inputs, outputs, name, code, ret);
    return read_calls(inputs, outputs, json_is_string(function) ? json_string_value(function) : "",
                      name, code, ret);
}

/* ---- all of them */

/* Datasets of one type a column have objects as text. */
static json_t *parsed(const json_t *column)
{
    json_t *value = NULL;
    if (json_is_string(column)) {
        err_t failed =
            json_parse(json_string_value(column), json_string_length(column), "tests", &value);
        err_free(failed);
        if (json_is_object(value) || json_is_array(value))
            return value;
        json_decref(value);
        return json_pack("[O]", column);
    }
    return json_incref((json_t *)column);
}

err_t code_tests_read(const json_t *column, const char *name, struct text_slice code, bool apart,
                      struct code_tests *ret)
{
    if (!column)
        return err_new(ERR_INVALID, "the row has no column '%s'", name);
    ret->column = parsed(column);
    if (json_is_object(ret->column))
        return read_pairs(ret->column, name, code, ret);
    if (!json_array_size(ret->column))
        return no_tests(name, "it has none");
    if (json_array_size(ret->column) > CODE_TESTS)
        return no_tests(name, "it has more than 1000 tests");
    return read_asserts(ret->column, name, code, apart, ret);
}

/* ---- outputs */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct text_slice next_line(struct text_slice *rest)
{
    const char *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    struct text_slice line = {rest->data, end ? (size_t)(end - rest->data) : rest->len};
    const size_t taken = line.len + (end != NULL);
    rest->data += taken;
    rest->len -= taken;
    while (line.len && is_blank(line.data[line.len - 1]))
        line.len--;
    return line;
}

bool code_test_passed(const struct code_test *test, struct text_slice output)
{
    if (!test->compares) {
        output = scorer_strip(output);
        const size_t len = strlen(test->token);
        return output.len >= len && memcmp(output.data + output.len - len, test->token, len) == 0;
    }
    struct text_slice a = scorer_strip(test->wanted), b = scorer_strip(output);
    while (a.len || b.len)
        if (!scorer_same(next_line(&a), next_line(&b)))
            return false;
    return true;
}
