/* Answers that a policy writes: mathematics, JSON and tests, all hostile. The first byte says which
 * of them; a line break ends the wanted answer. Comparing ends soon, and twice the same way. */
#include "base/json.h"
#include "rewarder/verify/answer.h"
#include "rewarder/verify/code_tests.h"
#include "rewarder/verify/math_same.h"
#include "rewarder/verify/schema.h"
#include <stdlib.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void compare(struct text_slice want, struct text_slice got)
{
    struct text_slice found = {0};
    const bool same = math_same(want, got, 1e-6);
    must(same == math_same(want, got, 1e-6));
    if (answer_find(got, ANSWER_AUTO, &found))
        must(found.data >= got.data && found.data + found.len <= got.data + got.len);
    const struct text_slice wanted = answer_wanted(want), block = answer_block(got);
    must(wanted.len <= want.len && block.len <= got.len);
    (void)math_same(wanted, found, 0);
}

static json_t *parsed(struct text_slice text)
{
    json_t *value = NULL;
    err_free(json_parse_nul(text.data, text.len, "fuzz", &value));
    return value;
}

static void validate(struct text_slice schema, struct text_slice value)
{
    const struct pattern_limits limits = {2000, 1};
    SCOPED_JSON json_t *a = parsed(schema), *b = parsed(value);
    bool holds;
    if (a && b)
        err_free(schema_valid(a, b, &limits, NULL, &holds));
}

static void tests_of(struct text_slice column, struct text_slice code, bool apart)
{
    SCOPED_JSON json_t *value = parsed(column);
    SCOPED_VALUE(code_tests) tests = {0};
    err_t failed = code_tests_read(value, "tests", code, apart, &tests);
    must(err_failed(failed) || tests.count > 0);
    for (size_t i = 0; !err_failed(failed) && i < tests.count; i++)
        (void)code_test_passed(&tests.at[i], code);
    err_free(failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data + 1;
    if (len < 2)
        return 0;
    const char *line = memchr(text, '\n', len - 1);
    const size_t first = line ? (size_t)(line - text) : (len - 1) / 2;
    const size_t second = len - 1 - first - (line != NULL);
    const struct text_slice a = {text, first}, b = {text + first + (line != NULL), second};
    if (data[0] % 4 == 0)
        validate(a, b);
    else if (data[0] % 4 == 1)
        tests_of(a, b, data[0] & 4);
    else
        compare(a, b);
    return 0;
}
