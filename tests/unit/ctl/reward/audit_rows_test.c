/* Rows of files as pairs: by their labels, of text and messages; and what is refused. */
#include "base/file.h"
#include "base/mem.h"
#include "ctl/reward/audit_pairs.h"
#include "testing/testing.h"
#include <string.h>

static const struct row_names names = {"prompt", "completion", "text"};

static err_t read_text(const char *text, struct audit_pairs *ret)
{
    struct mixture_file file = {testing_path(testing_directory(), "rows.jsonl"), 1};
    const struct recipe_files files = {1, &file};
    assert_ok(file_write(file.path, text, strlen(text)));
    return audit_pairs_read(&files, &names, ret);
}

static void labels_decide_the_winner(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = {0};
    SCOPED_JSON json_t *row = NULL;
    SCOPED_MEM char *name = NULL;
    assert_ok(read_text(
        "{\"prompt\": \"p\", \"chosen\": \"one two\", \"rejected\": \"three\"}\n"
        "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\", \"labels\": [1, 0, 0], \"annotator\": \"x\", \"source\": \"s\"}\n"
        "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\", \"labels\": [true, false]}\n"
        "{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\", \"annotator\": \"y\", \"source\": null}\n",
        &pairs));
    assert_int_equal(pairs.count, 3);
    assert_int_equal(pairs.ties, 1);
    assert_string_equal(pairs.at[0].winner, "one two");
    assert_true(pairs.at[0].winner_words == 2 && pairs.at[0].loser_words == 1);
    assert_true(!pairs.at[0].swapped && pairs.at[1].swapped);
    assert_string_equal(pairs.at[1].winner, "b");
    assert_near(pairs.at[1].preferred, 2.0 / 3, 1e-12);
    assert_int_equal(pairs.at[2].row, 3);
    assert_true(pairs.at[0].annotator == -1 && pairs.at[1].annotator == 0 &&
                pairs.at[2].annotator == 1);
    assert_true(pairs.at[1].source == 0 && pairs.at[2].source == -1 && pairs.sources.count == 1);
    assert_ok(audit_pairs_row(&pairs, 2, &row, &name));
    assert_string_equal(json_string_value(json_object_get(row, "annotator")), "y");
    assert_non_null(strstr(name, "rows.jsonl:4"));
}

static void messages_and_prompts_in_common(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = {0};
    assert_ok(read_text(
        "{\"chosen\": \"Q: x? A: yes it is\", \"rejected\": \"Q: x? A: no\"}\n"
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"hi\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": \"good day\"}],"
        " \"rejected\": [{\"role\": \"assistant\", \"content\": null}]}\n"
        "{\"chosen\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"a\"}],"
        " \"rejected\": [{\"role\": \"user\", \"content\": \"hi\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n",
        &pairs));
    assert_string_equal(pairs.at[0].prompt, "Q: x? A:");
    assert_string_equal(pairs.at[0].winner, " yes it is");
    assert_string_equal(pairs.at[1].prompt, "hi");
    assert_string_equal(pairs.at[1].winner, "good day");
    assert_string_equal(pairs.at[1].loser, "");
    assert_string_equal(pairs.at[2].prompt, "hi");
    assert_string_equal(pairs.at[2].loser, "b");
}

static void refused(const char *line, const char *part)
{
    SCOPED_VALUE(audit_pairs) pairs = {0};
    assert_err(ERR_INVALID, part, read_text(line, &pairs));
}

#define PAIR "\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": \"b\""
static void rows_that_are_no_pairs(void **)
{
    refused("{" PAIR "}\n{\"prompt\": \"p\", \"completion\": \"a\"}\n",
            "rows.jsonl:2: a prompt-completion row; an audit takes preference rows");
    refused("{\"prompt\": \"p\", \"chosen\": \"a\", \"rejected\": 1}\n", "'rejected' is 1");
    refused("{" PAIR ", \"labels\": []}\n", "'labels' must be a list of 1 to 1024");
    refused("{" PAIR ", \"labels\": 1}\n", "'labels' must be a list");
    refused("{" PAIR ", \"labels\": [1, 2]}\n", "labels[1]: allowed are 0 and 1");
    refused("{" PAIR ", \"annotator\": 3}\n", "'annotator' must be a text");
    refused("{" PAIR ", \"labels\": [0, 1]}\n", "has no pair with a winner");
    refused("{\"chosen\": \"\", \"rejected\": \"b\"}\n", "no prompt in common");
}

static void too_many_names(void **)
{
    SCOPED_VALUE(audit_pairs) pairs = {0};
    SCOPED_VALUE(bytes) text = {0};
    for (int i = 0; i <= AUDIT_NAMES; i++)
        bytes_printf(&text, "{" PAIR ", \"source\": \"s%d\"}\n", i);
    assert_err(ERR_RANGE, "rows.jsonl:4097: 'source' has more than 4096 different values",
               read_text((const char *)text.data, &pairs));
}

TESTS(cmocka_unit_test(labels_decide_the_winner), cmocka_unit_test(messages_and_prompts_in_common),
      cmocka_unit_test(rows_that_are_no_pairs), cmocka_unit_test(too_many_names))
