/* Scores of the lines of a file: which tokens are read of each format, the columns, the bits, and
 * lines that are refused. */
#include "ctl/reward/reward_scorer.h"
#include "model/text/tokenizer.h"
#include "reward_kit.h"
#include <math.h>
#include <stdlib.h>

enum { LINES = 16 };

/* A file's lines with their scores. */
struct seen {
    size_t lines;
    json_t *line[LINES];
};

static void seen_done(struct seen *seen)
{
    for (size_t i = 0; i < seen->lines; i++)
        json_decref(seen->line[i]);
}

/* Each score again, of its tokens alone. */
struct again {
    struct reward_scorer *scorer;
    struct seen *seen;
};

static err_t keep(void *arg, json_t *line, const char *name, const struct answers *answers,
                  const double *score)
{
    struct again *again = arg;
    (void)name;
    for (int i = 0; i < answers->tokens.sequences; i++) {
        const struct row_sequence *all = &answers->tokens.at[i];
        SCOPED(scores) scores = NULL;
        float want;
        if (all->tokens > again->scorer->longest) {
            assert_true(isnan(score[i]));
            continue;
        }
        assert_ok(scores_new(again->scorer->model, all->tokens, &scores));
        assert_ok(scores_run(scores, all->id, all->tokens, &want));
        assert_true(score[i] == (double)want && want != 0);
    }
    answers_put(answers, "score", score, line);
    again->seen->line[again->seen->lines++] = json_incref(line);
    return OK;
}

static err_t score(const char *directory, const char *text, bool by_text, struct seen *seen)
{
    struct recipe *recipe = NULL;
    SCOPED(jsonl) rows = NULL;
    SCOPED_VALUE(reward_scorer) scorer = {0};
    struct again again = {.scorer = &scorer, .seen = seen};
    assert_ok(recipe_parse("{}", 2, "r.yaml", ".", &(struct recipe_source){0}, &recipe));
    err_t failed = jsonl_open_nul(kit_rows(text), &rows);
    if (!err_failed(failed))
        failed = reward_scorer_open(recipe, directory, &scorer);
    scorer.text = by_text;
    if (!err_failed(failed))
        failed = reward_scorer_check(&scorer, rows, NULL, NULL);
    if (!err_failed(failed))
        failed = reward_scorer_run(&scorer, rows, keep, &again);
    recipe_free(recipe);
    return failed;
}

static double number(const json_t *line, const char *column)
{
    const json_t *value = json_object_get(line, column);
    if (!json_is_real(value))
        fail_msg("'%s' is no number", column);
    return json_real_value(value);
}

/* Two ways to say the same tokens have the same score; what differs has another. */
static void every_format_has_its_columns(void **state)
{
    (void)state;
    SCOPED_VALUE(seen) seen = {0};
    const char *directory = kit_directory(64, 0);
    assert_ok(score(
        directory,
        "{\"prompt\": \"The sky is\", \"chosen\": \" blue.\", \"rejected\": \" green.\"}\n"
        "{\"prompt\": \"The sky is\", \"completion\": \" blue.\"}\n"
        "{\"prompt\": \"The sky is\", \"completion\": \" green.\", \"label\": false}\n"
        "{\"prompt\": \"The sky is\", \"completions\": [\" blue.\", \" green.\"]}\n"
        "{\"prompt\": \"The sky is\", \"completions\": [\" green.\", \" red.\"], \"scores\": [4, 2]}\n"
        "{\"text\": \"The sky is blue.\", \"id\": 7}\n"
        "{\"chosen\": \"The sky is blue.\", \"rejected\": \"The sky is green.\"}\n"
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", "
        "\"content\": \"Hello!\"}]}\n"
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"Hi\"}], \"completion\": [{\"role\": "
        "\"assistant\", \"content\": \"Hello!\"}]}\n",
        false, &seen));
    assert_int_equal(seen.lines, 9);
    const double blue = number(seen.line[0], "score_chosen"),
                 green = number(seen.line[0], "score_rejected");
    assert_true(blue != green);
    assert_true(number(seen.line[1], "score") == blue);
    assert_true(number(seen.line[2], "score") == green);
    const json_t *both = json_object_get(seen.line[3], "scores");
    assert_int_equal(json_array_size(both), 2);
    assert_true(json_real_value(json_array_get(both, 0)) == blue);
    assert_true(json_real_value(json_array_get(both, 1)) == green);
    assert_true(json_real_value(json_array_get(json_object_get(seen.line[4], "scores"), 0)) ==
                green);
    assert_true(number(seen.line[5], "score") == blue);
    assert_int_equal(json_integer_value(json_object_get(seen.line[5], "id")), 7); // as it was
    assert_true(number(seen.line[6], "score_rejected") == green);
    assert_true(number(seen.line[7], "score") == number(seen.line[8], "score"));
}

#define SKY "{\"row\": {\"prompt\": \"The sky is\"}, "

static void completions_are_scored_by_their_ids(void **state)
{
    (void)state;
    SCOPED_VALUE(seen) by_ids = {0};
    SCOPED_VALUE(seen) by_text = {0};
    const char *directory = kit_directory(64, -1),
               *lines =
                   SKY "\"text\": \" blue.\", \"ids\": [394, 17, 1], \"ended\": true}\n" SKY
                       "\"text\": \" blue.\", \"ids\": [394, 17], \"ended\": false}\n" SKY
                       "\"text\": \" b\", \"ids\": [394, 17], \"ended\": true}\n"
                       "{\"prompt\": \"The sky is\", \"completion\": \" blue.\"}\n" SKY
                       "\"text\": \"\\ufffd b\", \"ids\": [131, 224, 69, 1], \"ended\": true}\n" SKY
                       "\"text\": \"\\u0000b\", \"ids\": [192, 69, 1], \"ended\": true}\n";
    assert_ok(score(directory, lines, false, &by_ids));
    assert_ok(score(directory, lines, true, &by_text));
    assert_true(number(by_ids.line[0], "score") == number(by_ids.line[3], "score"));
    assert_true(number(by_ids.line[1], "score") != number(by_ids.line[3], "score"));
    assert_true(number(by_ids.line[2], "score") == number(by_ids.line[1], "score"));
    for (int i = 0; i < 2; i++) // the same tokens, one cut and one ended
        assert_true(number(by_ids.line[i], "score") == number(by_text.line[i], "score"));
    assert_true(number(by_ids.line[2], "score") != number(by_text.line[2], "score"));
}

static void too_long_sequences_have_no_score(void **state)
{
    (void)state;
    SCOPED_VALUE(seen) seen = {0};
    const char *directory = kit_directory(9, 0);
    assert_ok(score(directory,
                    "{\"prompt\": \"The sky is\", \"chosen\": \" blue.\", \"rejected\": \" blue, "
                    "green and red.\"}\n",
                    false, &seen));
    assert_true(number(seen.line[0], "score_chosen") != 0);
    assert_true(json_is_null(json_object_get(seen.line[0], "score_rejected")));
    assert_err(ERR_INVALID, "every sequence is longer than the model's 9 positions",
               score(directory, "{\"text\": \"The sky is blue, green and red.\"}\n", false, &seen));
}

static void lines_that_say_nothing_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line, *error;
        bool text;
    } cases[] = {
        {"{\"prompt\": \"a\"}\n", "rows.jsonl:1: a row of a prompt alone has no answer", false},
        {"{\"prompt\": \"a\", \"completions\": [\"b\"], \"labels\": [true]}\n",
         "rows.jsonl:1: a row of steps has no answer", false},
        {"{\"text\": \"a\"}\n{\"other\": 1}\n", "rows.jsonl:2: the columns are 'other'", false},
        {SKY "\"ids\": [458]}\n", "rows.jsonl:1: ids[0]: allowed are the tokens 0 to 457", false},
        {SKY "\"ids\": [1.5]}\n", "ids[0]: allowed", false},
        {SKY "\"ids\": [-1]}\n", "ids[0]: allowed", false},
        {SKY "\"ids\": 7, \"text\": 7}\n", "'text' is a number; it must be a string", true},
        {SKY "\"ids\": [394], \"text\": \" green\"}\n", "they are of another tokenizer", false},
        {"{\"row\": {\"chosen\": \"a b\", \"rejected\": \"a c\"}, \"text\": \"x\"}\n",
         "its row has no 'prompt'", true},
        {"{\"prompt\": \"a\", \"completions\": []}\n", "rows.jsonl:1: ", false},
        {"{\"prompt\": \"a\", \"completions\": [\"b\", 7]}\n", "rows.jsonl:1: ", false},
        {"{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": 3}\n", "'rejected' is 3", false},
    };
    const char *directory = kit_directory(64, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_VALUE(seen) seen = {0};
        assert_err(ERR_INVALID, cases[i].error,
                   score(directory, cases[i].line, cases[i].text, &seen));
        assert_int_equal(seen.lines, 0); // nothing comes out before all have been read
    }
}

static void a_column_that_is_there_stays(void **state)
{
    (void)state;
    const struct answers one = {.shape = ANSWERS_ONE}, pair = {.shape = ANSWERS_PAIR};
    SCOPED_JSON json_t *line = json_pack("{s:f, s:f}", "score", 1.0, "gold_rejected", 2.0);
    assert_ok(answers_vacant(&pair, "score", line, "f:1"));
    assert_ok(answers_vacant(&one, "gold", line, "f:1"));
    assert_err(ERR_INVALID, "f:1: has 'score' already; --as NAME",
               answers_vacant(&one, "score", line, "f:1"));
    assert_err(ERR_INVALID, "f:1: has 'gold_rejected' already",
               answers_vacant(&pair, "gold", line, "f:1"));
}

static void other_directories_are_refused(void **state)
{
    (void)state;
    SCOPED_VALUE(seen) seen = {0};
    assert_err(ERR_NOT_FOUND, "reward model '",
               score(testing_directory(), "{\"text\": \"a\"}\n", false, &seen));
    assert_err(ERR_NOT_FOUND, "tokenizer.json",
               score(TEST_GOLDEN "/scores/llama", "{\"text\": \"a\"}\n", false, &seen));
}

TESTS(cmocka_unit_test(every_format_has_its_columns),
      cmocka_unit_test(completions_are_scored_by_their_ids),
      cmocka_unit_test(too_long_sequences_have_no_score),
      cmocka_unit_test(lines_that_say_nothing_are_refused),
      cmocka_unit_test(a_column_that_is_there_stays),
      cmocka_unit_test(other_directories_are_refused))
