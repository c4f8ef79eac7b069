/* A group as JSON, and what an answer may not be: each fault has its name, and none is a number. */
#include "base/mem.h"
#include "rewarder/answer_fault.h"
#include "rewarder/exchange.h"
#include "svc/recipe/recipe.h"
#include "testing/testing.h"
#include <string.h>

enum { COMPLETIONS = 3 };

static struct completion completion[COMPLETIONS] = {
    {.tokens = 2, .text = (char *)"4", .text_len = 1, .finish = FINISH_EOS},
    {.tokens = 3, .text = (char *)"f\0u", .text_len = 3, .finish = FINISH_LENGTH},
    {.tokens = 1, .text = (char *)"\xc3\xbc\n", .text_len = 3, .finish = FINISH_STOP},
};
static const struct group group = {.id = {{0xab, 1}},
                                   .run = (char *)"sums",
                                   .slot = 7,
                                   .attempt = 2,
                                   .completions = COMPLETIONS,
                                   .completion = completion};

static struct exchange *open_exchange(const char *yaml)
{
    static struct recipe *recipe; // borrowed by the exchange
    struct exchange *exchange;
    recipe_free(recipe);
    recipe = NULL;
    assert_ok(recipe_parse(yaml, strlen(yaml), "ring.yaml", ".", NULL, &recipe));
    assert_ok(exchange_open(recipe, &exchange));
    return exchange;
}

static err_t tell(const char *yaml, const char *row_text, uint32_t first, uint32_t count,
                  json_t **ret)
{
    SCOPED(exchange) exchange = open_exchange(yaml);
    SCOPED_JSON json_t *row = NULL;
    assert_ok(json_parse(row_text, strlen(row_text), "row", &row));
    return exchange_group(exchange, &group, row, &(struct exchange_part){first, count}, ret);
}

static void assert_tells(const char *yaml, const char *row, uint32_t first, uint32_t count,
                         const char *wanted)
{
    SCOPED_JSON json_t *got = NULL;
    SCOPED_JSON json_t *want = NULL;
    assert_ok(tell(yaml, row, first, count, &got));
    assert_ok(json_parse_nul(wanted, strlen(wanted), "wanted", &want));
    SCOPED_MEM char *text = json_to_text(got);
    if (!json_equal(got, want))
        fail_msg("%s\nwanted\n%s", text, wanted);
}

#define ID    "ab010000000000000000000000000000"
#define NAMES "\"run\": \"sums\", \"slot\": 7, \"attempt\": 2, \"evaluation\": false, "

static void a_row_of_text_goes_out_as_text(void **)
{
    assert_tells("run: {seed: 1}", "{\"prompt\": \"2+2=\", \"answer\": [4], \"x\": null}", 0, 3,
                 "{\"id\": \"" ID ":0\", " NAMES
                 "\"first\": 0, \"prompt\": \"2+2=\", \"completions\": [\"4\", \"f\\u0000u\", "
                 "\"\\u00fc\\n\"], \"finish\": [\"eos\", \"length\", \"stop\"], \"tokens\": [2, 3, "
                 "1], \"columns\": {\"answer\": [4], \"x\": null}}");
    assert_tells("data: {prompt_column: question}", "{\"question\": \"\", \"prompt\": 1}", 2, 1,
                 "{\"id\": \"" ID ":2\", " NAMES
                 "\"first\": 2, \"prompt\": \"\", \"completions\": [\"\\u00fc\\n\"], \"finish\": "
                 "[\"stop\"], \"tokens\": [1], \"columns\": {\"prompt\": 1}}");
}

static void a_row_of_messages_goes_out_as_messages(void **)
{
    assert_tells("run: {seed: 1}",
                 "{\"prompt\": [{\"role\": \"user\", \"content\": \"2+2?\"}], \"answer\": \"4\"}",
                 0, 1,
                 "{\"id\": \"" ID ":0\", " NAMES
                 "\"first\": 0, \"prompt\": [{\"role\": \"user\", \"content\": \"2+2?\"}], "
                 "\"completions\": [[{\"role\": \"assistant\", \"content\": \"4\"}]], \"finish\": "
                 "[\"eos\"], \"tokens\": [2], \"columns\": {\"answer\": \"4\"}}");
    assert_tells(
        "run: {seed: 1}",
        "{\"chosen\": [{\"role\": \"user\", \"content\": \"2?\"}, {\"role\": \"assistant\", "
        "\"content\": \"y\"}], \"rejected\": [{\"role\": \"user\", \"content\": \"2?\"}, "
        "{\"role\": \"assistant\", \"content\": \"n\"}]}",
        0, 1,
        "{\"id\": \"" ID ":0\", " NAMES
        "\"first\": 0, \"prompt\": [{\"role\": \"user\", \"content\": \"2?\"}], "
        "\"completions\": [[{\"role\": \"assistant\", \"content\": \"4\"}]], \"finish\": "
        "[\"eos\"], \"tokens\": [2], \"columns\": {\"chosen\": [{\"role\": \"user\", "
        "\"content\": \"2?\"}, {\"role\": \"assistant\", \"content\": \"y\"}], \"rejected\": "
        "[{\"role\": \"user\", \"content\": \"2?\"}, {\"role\": \"assistant\", \"content\": "
        "\"n\"}]}}");
}

static void what_cannot_be_told_is_an_error(void **)
{
    json_t *none = NULL;
    assert_err(ERR_INVALID, "'prompt' is missing", tell("run: {seed: 1}", "{}", 0, 1, &none));
    completion[0].text = (char *)"\xff";
    assert_err(ERR_INVALID, "completion 0: not UTF-8",
               tell("run: {seed: 1}", "{\"prompt\": \"\"}", 0, 1, &none));
    completion[0].text = (char *)"4";
    assert_null(none);
}

/* ---- answers */

static err_t read_list(const char *text, size_t count, double *ret, bool *ret_null)
{
    SCOPED_JSON json_t *answer = NULL;
    TRY(exchange_parse(text, strlen(text), &answer));
    return exchange_scores(answer, "scores", count, ret, ret_null);
}

static void numbers_are_read(void **)
{
    double score[4] = {9, 9, 9, 9};
    bool null[4];
    assert_ok(read_list("[1, -0.5, 1e18, 0]", 4, score, NULL));
    assert_near(score[0], 1, 0);
    assert_near(score[1], -0.5, 0);
    assert_near(score[2], 1e18, 0);
    assert_near(score[3], 0, 0);
    assert_ok(read_list("[null, 2, null]", 3, score, null));
    assert_true(null[0] && !null[1] && null[2]);
    assert_near(score[1], 2, 0);
    assert_ok(read_list("[]", 0, score, NULL));
}

static void each_fault_has_its_name(void **)
{
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"", "empty: 0 bytes"},
        {" \r\n\t", "empty: 4 bytes"},
        {"<html>", "not_json: "},
        {"[1, 2", "not_json: "},
        {"[1, 2] 3", "not_json: "},
        {"[1, \"\xff\"]", "not_json: "},
        {"[1, NaN]", "nan: "},
        {"[1, -Infinity]", "infinite: "},
        {"[1, 1e999]", "infinite: "},
        {"[1, \"NaN\"]", "not_a_number: scores[1] is text"},
        {"[\"Infinity\" 1]", "not_json: "},
        {"[1]", "short_list: scores has 1 values for 2 completions"},
        {"[]", "short_list: "},
        {"[1, 2, 3]", "long_list: scores has 3 values for 2"},
        {"[1, null]", "null: scores[1] is null"},
        {"[1, true]", "not_a_number: scores[1] is a boolean"},
        {"[[1], 2]", "not_a_number: scores[0] is a list"},
        {"[1, \"2\"]", "not_a_number: scores[1] is text"},
        {"[1, 1e19]", "too_large: scores[1] is 1e+19"},
        {"[-1e300, 1]", "too_large: scores[0]"},
        {"3", "no_scores: scores is a number"},
        {"{\"scores\": [1, 2]}", "no_scores: scores is an object"},
        {"{\"a\": 1, \"a\": 2}", "not_json: "},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double score[2] = {-7, -7};
        err_t failed = read_list(cases[i].text, 2, score, NULL);
        if (strncmp(err_message(failed), cases[i].name, strlen(cases[i].name)) != 0)
            fail_msg("'%s': '%s', wanted '%s'", cases[i].text, err_message(failed), cases[i].name);
        assert_true(err_is_transient(failed));
        const char *reason = err_reason_word(failed);
        assert_int_equal(strncmp(reason, cases[i].name, strlen(reason)), 0);
        err_free(failed);
        assert_near(score[0], -7, 0); // untouched
        assert_near(score[1], -7, 0);
    }
}

static void nesting_is_bounded(void **)
{
    enum { DEEP = 1 << 20 };
    SCOPED_MEM char *text = mem_new(DEEP + 1);
    double score[1];
    memset(text, '[', DEEP);
    assert_err(ERR_UNAVAILABLE, "not_json: lists and objects nest deeper than 64",
               read_list(text, 1, score, NULL));
}

TESTS(cmocka_unit_test(a_row_of_text_goes_out_as_text),
      cmocka_unit_test(a_row_of_messages_goes_out_as_messages),
      cmocka_unit_test(what_cannot_be_told_is_an_error), cmocka_unit_test(numbers_are_read),
      cmocka_unit_test(each_fault_has_its_name), cmocka_unit_test(nesting_is_bounded))
