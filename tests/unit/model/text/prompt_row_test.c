/* Rows of a dataset as prompts. */
#include "base/mem.h"
#include "model/text/prompt_row.h"
#include "testing/testing.h"

/* The row's prompt, and how many of its tokens are the end token. */
static int ends_in(const struct tokenizer *tokenizer, const char *row, bool special, int most)
{
    SCOPED_JSON json_t *json = json_loads(row, 0, NULL);
    SCOPED_VALUE(prompt_row) prompt = {0};
    const struct prompt_rules rules = {.rows = {.tokenizer = tokenizer,
                                                .names = {"prompt", "completion", "text"},
                                                .special = special},
                                       .most = most,
                                       .context = 64,
                                       .max_tokens = 8};
    int ends = 0;
    err_t failed = prompt_row_read(&rules, json, "rows:1", &prompt);
    if (err_failed(failed)) {
        assert_int_equal(err_code(failed), ERR_RANGE);
        err_free(failed);
        return -1;
    }
    assert_int_equal(prompt.max_tokens, 8);
    for (int i = 0; i < prompt.tokens; i++)
        ends += prompt.token[i] == tokenizer_eos(tokenizer);
    return ends;
}

/* data.special_tokens: text, or tokens. */
static void data_decides_about_special_tokens(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = NULL;
    static const char row[] = "{\"prompt\": \"the fox<eos> <eos>\"}";
    assert_ok(tokenizer_load(TEST_GOLDEN "/tokenizer/gpt2", &tokenizer));
    assert_int_equal(ends_in(tokenizer, row, false, 40), 0);
    assert_int_equal(ends_in(tokenizer, row, true, 40), 2);
    assert_int_equal(ends_in(tokenizer, row, true, 5), 2); // the fox<eos> <eos>
    assert_int_equal(ends_in(tokenizer, row, false, 5), -1);
    assert_int_equal(ends_in(tokenizer, "{\"prompt\": \"\"}", false, 5), -1);
}

TESTS(cmocka_unit_test(data_decides_about_special_tokens))
