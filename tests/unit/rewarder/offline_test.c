/* `--job score`: a line's text is scored as the ring scores it, whatever characters it has. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "rewarder/offline.h"
#include "testing/testing.h"
#include "unit/rewarder/score_kit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char scorers[] = "[{kind: length, unit: characters, min: 5, max: 9},"
                              " {kind: format, pattern: '(?s)..\\x{fffd}.*'},"
                              " {kind: exact, column: answer}]";

static json_t *offline(const struct score_kit *kit, const char *line)
{
    char *text = NULL;
    size_t len = 0;
    json_t *ret;
    FILE *in = fmemopen((void *)line, strlen(line), "r"), *out = open_memstream(&text, &len);
    assert_ok(score_offline(kit->recipe, in, out));
    fclose(in);
    fclose(out);
    assert_ok(json_parse_nul(text, len, "scored", &ret));
    free(text);
    return ret;
}

static void a_text_may_hold_any_character(void **)
{
    static const char text[] = "a\0\xef\xbf\xbd";
    double score[RECIPE_SCORERS] = {0}, reward = -1;
    SCOPED_VALUE(score_kit) kit = {0};
    assert_ok(kit_open(scorers, &kit));
    SCOPED_JSON json_t *row = json_pack("{s:s}", "answer", "a");
    SCOPED_JSON json_t *line = offline(
        &kit, "{\"row\": {\"answer\": \"a\"}, \"text\": \"a\\u0000\\ufffd\", \"tokens\": 4}\n");
    assert_ok(kit_score_text(&kit, row, text, sizeof text - 1, FINISH_EOS, score, &reward));
    assert_near(score[0], 3.0 / 5, 1e-15);
    assert_near(score[1], 1, 0);
    assert_near(score[2], 0, 0); // the zero does not end it
    for (size_t i = 0; i < 3; i++)
        assert_near(json_number_value(json_array_get(json_object_get(line, "scores"), i)), score[i],
                    0);
    assert_near(json_number_value(json_object_get(line, "reward")), reward, 1e-15);
    assert_int_equal(json_string_length(json_object_get(line, "text")), sizeof text - 1);
}

/* Ids are of the completion that "tokens" counts. Without them a row need not be a prompt. */
static void ids_are_checked(void **)
{
    static const struct {
        const char *ids, *error;
    } cases[] = {{"[1]", "'ids' has 1 tokens, 'tokens' says 2"},
                 {"[1, -1]", "ids[1] is no token"},
                 {"[1, 4294967296]", "ids[1] is no token"},
                 {"[1, 0.5]", "ids[1] is no token"}};
    SCOPED_VALUE(score_kit) kit = {0};
    assert_ok(kit_open(scorers, &kit));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM char *line = mem_printf(
            "{\"row\": {\"answer\": \"a\"}, \"text\": \"a\", \"tokens\": 2, \"ids\": %s}\n",
            cases[i].ids);
        FILE *in = fmemopen(line, strlen(line), "r"), *out = fopen("/dev/null", "w");
        assert_err(ERR_INVALID, cases[i].error, score_offline(kit.recipe, in, out));
        fclose(in);
        fclose(out);
    }
}

/* A check of these scorers on two rows. */
static err_t checked(const char *scorer, char **ret)
{
    static const char rows[] = "{\"prompt\": \"a\", \"answer\": \"b\"}\n{\"prompt\": \"c\"}\n";
    const char *data = testing_path(testing_directory(), "rows.jsonl");
    size_t len = 0;
    assert_ok(file_write(data, rows, sizeof rows - 1));
    SCOPED(recipe) recipe = NULL;
    SCOPED_MEM char *yaml =
        mem_printf("data: {train: %s}\nrewarder: {scorers: [%s]}\n", data, scorer);
    assert_ok(recipe_parse(yaml, strlen(yaml), "ring.yaml", ".", NULL, &recipe));
    FILE *out = open_memstream(ret, &len);
    err_t failed = check_offline(recipe, out);
    fclose(out);
    return failed;
}

/* One completion of a row, as a check has it, is no pair: a scorer of groups is opened alone. */
static void a_check_takes_a_scorer_of_groups(void **)
{
    static const char compares[] = "{kind: preference_model, path: " TEST_GOLDEN "/pairwise}";
    SCOPED_MEM char *ring = NULL, *column = NULL;
    assert_ok(checked(compares, &ring));
    assert_string_equal(ring, "{\"notes\":[]}\n");
    assert_ok(checked("{kind: exact, column: answer}", &column));
    assert_non_null(strstr(column, "1 of the first 2 rows cannot be scored"));
}

/* Nobody listens at the address: a check that asked would fail, or never end. */
static void a_check_asks_no_server(void **)
{
    static const char rows[] = "{\"prompt\": \"a\", \"answer\": \"b\"}\n";
    const char *data = testing_path(testing_directory(), "train.jsonl");
    assert_ok(file_write(data, rows, sizeof rows - 1));
    SCOPED(recipe) recipe = NULL;
    SCOPED_MEM char *yaml =
        mem_printf("data: {train: %s}\nrewarder: {scorers: [{kind: http, url: "
                   "\"http://127.0.0.1:1/\"}, {kind: exact, column: answer}]}\n",
                   data);
    assert_ok(recipe_parse(yaml, strlen(yaml), "ring.yaml", ".", NULL, &recipe));
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    assert_ok(check_offline(recipe, out));
    fclose(out);
    assert_string_equal(text, "{\"notes\":[]}\n");
    free(text);
}

TESTS(cmocka_unit_test(a_text_may_hold_any_character), cmocka_unit_test(ids_are_checked),
      cmocka_unit_test(a_check_takes_a_scorer_of_groups), cmocka_unit_test(a_check_asks_no_server))
