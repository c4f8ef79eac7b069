/* Against `tokenizers` (tests/golden/tokenizer.py). */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/printable.h"
#include "model/text/tokenizer.h"
#include "testing/testing.h"
#include <string.h>

#define GOLDEN TEST_GOLDEN "/tokenizer/"

static struct tokenizer *load(const char *name)
{
    SCOPED_MEM char *directory = mem_printf(GOLDEN "%s", name);
    struct tokenizer *tokenizer = NULL;
    assert_ok(tokenizer_load(directory, &tokenizer));
    return tokenizer;
}

static void same_ids(const struct tokenizer *tokenizer, const json_t *text, bool special,
                     const json_t *ids)
{
    SCOPED_MEM int32_t *got = NULL;
    int count = -1;
    assert_ok(tokenizer_encode_row(tokenizer, json_string_value(text), json_string_length(text),
                                   special, &got, &count));
    if (count != (int)json_array_size(ids))
        print_message("text '%s'\n", json_string_value(text));
    assert_int_equal(count, json_array_size(ids));
    for (int i = 0; i < count; i++)
        assert_int_equal(got[i], json_integer_value(json_array_get(ids, (size_t)i)));
}

/* If it has ids at all. */
static void holds_no_special(const struct tokenizer *tokenizer, const json_t *text)
{
    SCOPED_MEM int32_t *got = NULL;
    int count = 0;
    err_free(tokenizer_encode_row(tokenizer, json_string_value(text), json_string_length(text),
                                  false, &got, &count));
    for (int i = 0; i < count; i++)
        assert_true(got[i] != tokenizer_eos(tokenizer) && got[i] != tokenizer_pad(tokenizer));
}

/* "ids" are a template's, "data" those of data if they are others; null: `tokenizers` has none that
 * count. "back" is the text of the ids where that is another. */
static void one_case(const struct tokenizer *tokenizer, const json_t *one)
{
    const json_t *text = json_object_get(one, "text"), *ids = json_object_get(one, "ids");
    const json_t *data = json_object_get(one, "data"), *back = json_object_get(one, "back");
    SCOPED_VALUE(bytes) raw = {0}, got = {0};
    SCOPED_MEM int32_t *id = mem_array(json_array_size(ids), sizeof *id);
    same_ids(tokenizer, text, true, ids);
    if (json_is_null(data))
        holds_no_special(tokenizer, text);
    else
        same_ids(tokenizer, text, false, data ? data : ids);
    for (size_t i = 0; i < json_array_size(ids); i++)
        id[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    assert_ok(tokenizer_decode(tokenizer, id, json_array_size(ids), false, &raw));
    utf8_put(&got, raw.data, raw.len);
    text = back ? back : text;
    assert_int_equal(got.len, json_string_length(text));
    if (got.len)
        assert_memory_equal(got.data, json_string_value(text), got.len);
}

static void ids_equal_those_of_tokenizers(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) lines = {0};
    SCOPED(tokenizer) tokenizer = NULL;
    SCOPED_MEM char *last = mem_string("");
    int cases = 0;
    assert_ok(file_read(GOLDEN "cases.jsonl", 16 << 20, &lines));
    for (char *line = (char *)lines.data, *end; (end = strchr(line, '\n'));
         line = end + 1, cases++) {
        SCOPED_JSON json_t *one = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        assert_non_null(one);
        const char *name = json_string_value(json_object_get(one, "tokenizer"));
        if (strcmp(name, last)) {
            tokenizer_free(tokenizer);
            tokenizer = load(name);
            free(last);
            last = mem_string(name);
        }
        one_case(tokenizer, one);
    }
    assert_true(cases > 1000);
}

TESTS(cmocka_unit_test(ids_equal_those_of_tokenizers))
