/* Code by unit tests in a real sandbox, and JSON by its schema. */
#include "base/mem.h"
#include "rewarder/verify/code_tests.h"
#include "rewarder/verify/schema.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <stdlib.h>
#include <string.h>

static err_t score(const char *entry, const json_t *row, const char *text, double *ret)
{
    double reward;
    SCOPED_VALUE(score_kit) kit = {0};
    SCOPED_MEM char *list = mem_printf("[{kind: verify, %s}]", entry);
    TRY(kit_open(list, &kit));
    return kit_score_text(&kit, row, text, strlen(text), FINISH_EOS, ret, &reward);
}

static double scored(const char *entry, const char *row, const char *text)
{
    double value = -1;
    SCOPED_JSON json_t *object = NULL;
    assert_ok(json_parse(row, strlen(row), "row", &object));
    assert_ok(score(entry, object, text, &value));
    return value;
}

/* ---- code */

#define CODE "check: code, column: tests, timeout_ms: 5000"
static const char asserts[] =
    "{\"tests\": [\"assert add(1, 2) == 3\", \"assert add(-1, 1) == 0\"]}";

static void asserts_decide(void **state)
{
    if (!TESTING_SANDBOX)
        skip();
    (void)state;
    assert_near(scored(CODE, asserts, "def add(a, b):\n    return a + b"), 1, 0);
    assert_near(scored(CODE, asserts, "Here:\n```python\ndef add(a, b):\n    return a + b\n```\n."),
                1, 0);
    assert_near(scored(CODE, asserts, "def add(a, b):\n    return 3"), 0, 0);
    assert_near(scored(CODE ", partial: true", asserts, "def add(a, b):\n    return 3"), 0.5, 0);
    assert_near(scored(CODE, asserts, "def add(a, b:"), 0, 0);
    assert_near(scored(CODE, asserts, ""), 0, 0);
    assert_near(scored(CODE, "{\"tests\": \"assert f() == 1\"}", "f = lambda: 1"), 1, 0);
}

/* To leave before the tests, by any way out, is no success. */
static void leaving_early_is_no_success(void **state)
{
    if (!TESTING_SANDBOX)
        skip();
    (void)state;
    assert_near(scored(CODE, asserts, "import sys\nsys.exit(0)"), 0, 0);
    assert_near(scored(CODE, asserts, "import os\nos._exit(0)"), 0, 0);
    assert_near(
        scored("check: code, column: tests, timeout_ms: 700", asserts, "while True:\n    pass"), 0,
        0);
    assert_near(scored(CODE ", memory_mib: 64", asserts, "x = bytearray(1 << 30)"), 0, 0);
    assert_near(scored(CODE, asserts, "while True:\n    print('x' * 100000)"), 0, 0);
}

static void inputs_and_functions(void **state)
{
    if (!TESTING_SANDBOX)
        skip();
    (void)state;
    const char *lines = "{\"tests\": {\"inputs\": [\"1 2\\n\", \"3 4\\n\"], "
                        "\"outputs\": [\"3\\n\", \"7\"]}}";
    const char *sum = "print(sum(map(int, input().split())), ' ')";
    assert_near(scored(CODE, lines, sum), 1, 0);
    assert_near(scored(CODE ", partial: true", lines, "print(3)"), 0.5, 0);
    const char *calls = "{\"tests\": \"{\\\"fn_name\\\": \\\"f\\\", \\\"inputs\\\": [[1, [2]], [0, "
                        "[]]], \\\"outputs\\\": [[1, 2], [0]]}\"}";
    assert_near(scored(CODE, calls, "def f(a, b):\n    return (a, *b)"), 1, 0);
    assert_near(
        scored(CODE, calls, "class Solution:\n    def f(self, a, b):\n        return [a] + b"), 1,
        0);
    assert_near(scored(CODE, calls, "def f(a, b):\n    return [a]"), 0, 0);
    const char *sh = "check: code, column: tests, command: [sh, -c, '{code}']";
    assert_near(scored(sh, lines, "read a b; echo $((a + b))"), 1, 0);
}

static void rows_without_tests_are_no_score(void **state)
{
    if (!TESTING_SANDBOX)
        skip();
    (void)state;
    static const char *const rows[] = {
        "{}",
        "{\"tests\": []}",
        "{\"tests\": [1]}",
        "{\"tests\": {\"inputs\": [\"\"]}}",
        "{\"tests\": {\"inputs\": [1], \"outputs\": [\"\"]}}",
        "{\"tests\": {\"fn_name\": \"f(); x\", \"inputs\": [[]], \"outputs\": [1]}}"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double value = 7;
        SCOPED_JSON json_t *row = NULL;
        assert_ok(json_parse(rows[i], strlen(rows[i]), "row", &row));
        assert_err(ERR_INVALID, "column 'tests'", score(CODE, row, "x", &value));
        assert_true(value == 7);
    }
    double value;
    assert_err(ERR_INVALID, "command: no word is {code}",
               score(CODE ", command: [true]", NULL, "x", &value));
    assert_err(ERR_INVALID, "column: check: code needs one",
               score("check: code", NULL, "x", &value));
}

/* ---- JSON */

static bool valid(const char *schema, const char *value)
{
    SCOPED_JSON json_t *a = NULL, *b = NULL;
    const struct pattern_limits limits = {10000, 16};
    bool holds = false;
    assert_ok(json_parse(schema, strlen(schema), "schema", &a));
    b = json_loads(value, JSON_DECODE_ANY, NULL);
    assert_non_null(b);
    assert_ok(schema_valid(a, b, &limits, NULL, &holds));
    return holds;
}

/* A true and a false value of each keyword; the official suite has been compared by hand. */
static void each_keyword_decides(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{\"type\": \"integer\"}", "1.0", "1.5"},
        {"{\"type\": [\"null\", \"string\"]}", "\"x\"", "[]"},
        {"{\"enum\": [1, [2]]}", "[2.0]", "2"},
        {"{\"const\": {\"a\": 1}}", "{\"a\": 1.0}", "{\"a\": 2}"},
        {"{\"allOf\": [{\"minimum\": 1}, {\"maximum\": 3}]}", "2", "4"},
        {"{\"anyOf\": [{\"minimum\": 3}, {\"maximum\": 1}]}", "0", "2"},
        {"{\"oneOf\": [{\"minimum\": 1}, {\"maximum\": 3}]}", "0", "2"},
        {"{\"not\": {\"type\": \"string\"}}", "1", "\"\""},
        {"{\"if\": {\"minimum\": 3}, \"then\": {\"multipleOf\": 2}, \"else\": {\"const\": 1}}", "4",
         "3"},
        {"{\"exclusiveMinimum\": 1, \"exclusiveMaximum\": 3}", "2", "3"},
        {"{\"multipleOf\": 0.01}", "0.07", "0.075"},
        {"{\"minLength\": 2, \"maxLength\": 3}", "\"\\u00e9\\u00e9\\u00e9\"", "\"\\u00e9\""},
        {"{\"pattern\": \"^a+$\"}", "\"aa\"", "\"ab\""},
        {"{\"prefixItems\": [{\"const\": 1}], \"items\": {\"const\": 2}}", "[1, 2]", "[1, 1]"},
        {"{\"items\": [{\"const\": 1}], \"additionalItems\": false}", "[1]", "[1, 2]"},
        {"{\"contains\": {\"const\": 1}, \"maxContains\": 1}", "[0, 1]", "[1, 1]"},
        {"{\"minItems\": 1, \"maxItems\": 2}", "[1]", "[1, 2, 3]"},
        {"{\"uniqueItems\": true}", "[1, 2]", "[1, 1.0]"},
        {"{\"required\": [\"a\"]}", "{\"a\": 0}", "{\"b\": 0}"},
        {"{\"properties\": {\"a\": {\"type\": \"string\"}}, \"additionalProperties\": false}",
         "{\"a\": \"\"}", "{\"b\": 1}"},
        {"{\"patternProperties\": {\"^x\": {\"const\": 1}}}", "{\"xa\": 1}", "{\"xa\": 2}"},
        {"{\"propertyNames\": {\"maxLength\": 1}}", "{\"a\": 1}", "{\"ab\": 1}"},
        {"{\"minProperties\": 1, \"maxProperties\": 1}", "{\"a\": 1}", "{}"},
        {"{\"dependentRequired\": {\"a\": [\"b\"]}}", "{\"a\": 1, \"b\": 1}", "{\"a\": 1}"},
        {"{\"$ref\": \"#/$defs/a~1b\", \"$defs\": {\"a/b\": {\"const\": 1}}}", "1", "2"},
        {"{\"properties\": {\"next\": {\"$ref\": \"#\"}}, \"required\": [\"v\"]}",
         "{\"v\": 1, \"next\": {\"v\": 2}}", "{\"v\": 1, \"next\": {}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!valid(cases[i][0], cases[i][1]) || valid(cases[i][0], cases[i][2]))
            fail_msg("%s", cases[i][0]);
}

static void schemas_are_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *schema, *part;
        enum err_code code;
    } cases[] = {
        {"{\"$ref\": \"#\"}", "deeper than 64", ERR_RANGE},
        {"{\"$ref\": \"http://x/y\"}", "'http://x/y' is not supported", ERR_INVALID},
        {"{\"$ref\": \"#/a\"}", "'#/a' goes nowhere", ERR_INVALID},
        {"{\"unevaluatedItems\": false}", "'unevaluatedItems' is not supported", ERR_INVALID},
        {"{\"not\": 1}", "an object, true or false", ERR_INVALID},
        {"{\"pattern\": \"(\"}", "pattern", ERR_INVALID},
        {"{\"pattern\": \"^(a+)+$\"}", "match_limit", ERR_RANGE},
        {"{\"anyOf\": [{\"$ref\": \"#\"}, {\"$ref\": \"#\"}]}", "deeper than 64", ERR_RANGE},
    };
    SCOPED_JSON json_t *value = json_string("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
    const struct pattern_limits limits = {10000, 16};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_JSON json_t *schema = NULL;
        bool holds;
        assert_ok(json_parse(cases[i].schema, strlen(cases[i].schema), "schema", &schema));
        assert_err(cases[i].code, cases[i].part,
                   schema_valid(schema, value, &limits, NULL, &holds));
    }
}

static void json_of_completions(void **state)
{
    (void)state;
    const char *row = "{\"s\": {\"type\": \"object\", \"required\": [\"a\"]}}";
    const char *own = "check: json_schema, schema: '{\"type\": \"object\"}'";
    assert_near(scored("check: json_schema, column: s", row, "{\"a\": 1}"), 1, 0);
    assert_near(scored("check: json_schema, column: s", row, "```json\n{\"a\": 1}\n```"), 1, 0);
    assert_near(scored("check: json_schema, column: s", row, "{\"b\": 1}"), 0, 0);
    assert_near(scored("check: json_schema, column: s", row, "{\"a\": 1"), 0, 0);
    assert_near(scored("check: json_schema, column: s", row, "{\"a\": 1} so"), 0, 0);
    assert_near(scored(own, row, "{}"), 1, 0);
    assert_near(scored(own, row, "[]"), 0, 0);
    double value;
    assert_err(ERR_INVALID, "needs schema or column",
               score("check: json_schema", NULL, "x", &value));
    assert_err(ERR_INVALID, "'$dynamicRef' is not supported",
               score("check: json_schema, schema: '{\"$dynamicRef\": \"#\"}'", NULL, "x", &value));
}

static int start(void **state)
{
    (void)state;
    return setenv("RLHFD_BIN", TEST_BIN, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asserts_decide),       cmocka_unit_test(leaving_early_is_no_success),
        cmocka_unit_test(inputs_and_functions), cmocka_unit_test(rows_without_tests_are_no_score),
        cmocka_unit_test(each_keyword_decides), cmocka_unit_test(schemas_are_bounded),
        cmocka_unit_test(json_of_completions),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
