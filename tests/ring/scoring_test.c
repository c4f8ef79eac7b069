/* `rlhfctl reward` on completions as eval writes them. Their scores are the numbers that the
 * rewarder's reward_model gave them, to the bit. So eval and check hand that scorer the tokens of
 * prompts and completions. */
#include "base/file.h"
#include "base/jsonl.h"
#include "base/mem.h"
#include "model/model.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, PROMPTS = 40 };

/* The policy's shapes with a drawn head, and its tokenizer. */
static const char *reward_directory(const struct ring *ring)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json"};
    const char *directory = testing_directory();
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    struct model_config config;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(config_read(ring->model, &config));
    config.parts = PARTS_CRITIC;
    config.tied = false;
    assert_ok(model_new(be, &config, 9, &model));
    assert_ok(model_draw_value(model, 11, 0.5));
    assert_ok(model_save(model, directory));
    for (int i = 0; i < 2; i++) {
        SCOPED_MEM char *from = file_join(ring->model, files[i]);
        SCOPED_MEM char *to = file_join(directory, files[i]);
        assert_ok(file_copy(from, to));
    }
    return directory;
}

static void run_well(int status, char **output)
{
    if (status)
        print_error("exit status %d:\n%s\n", status, *output);
    assert_int_equal(status, 0);
}

static void check_line(const char *text, size_t len)
{
    SCOPED_JSON json_t *line = NULL;
    assert_ok(json_parse(text, len, "line", &line));
    const json_t *score = json_object_get(line, "score"),
                 *given = json_array_get(json_object_get(line, "scores"), 0);
    assert_true(json_is_real(score) && json_is_real(given));
    assert_true(json_real_value(score) == json_real_value(given));
    assert_true(json_real_value(score) != 0);
}

static struct ring ring;
static const char *reward; // a model
static char *lines;        // completions with its scores

static void the_scores_are_the_rewarders(void **state)
{
    (void)state;
    ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    reward = reward_directory(&ring);
    lines = testing_path(ring.directory, "lines.jsonl");
    SCOPED_MEM char *scorers =
        mem_printf("rewarder.scorers=[{kind: reward_model, path: '%s'}]", reward);
    char *data = testing_path(ring.directory, "train.jsonl"), *output;
    run_well(process_run(&output, RUN_MS, "rlhfctl", "check", ring.recipe, "--run", ring.run,
                         "--set", scorers, NULL),
             &output);
    assert_null(strstr(output, "scored")); // every row of data can be
    free(output);
    run_well(process_run(&output, RUN_MS, "rlhfctl", "eval", ring.recipe, "--model", ring.model,
                         "--data", data, "--prompts", "40", "--temperature", "1", "--set", scorers,
                         "--out", lines, NULL),
             &output);
    free(output);
    run_well(process_run(&output, RUN_MS, "rlhfctl", "reward", "score", ring.recipe, "--model",
                         reward, "--data", lines, NULL),
             &output);
    int count = 0;
    for (char *at = output, *end; (end = strchr(at, '\n')); at = end + 1, count++)
        check_line(at, (size_t)(end - at));
    assert_int_equal(count, PROMPTS);
    free(output);
}

/* `rlhfctl reward eval` with these words; the object that it prints is the caller's. */
static json_t *eval(const char *a, const char *b, const char *c, const char *d)
{
    char *output;
    json_t *json = NULL;
    run_well(process_run(&output, RUN_MS, "rlhfctl", "reward", "eval", "--json", "--score",
                         "reward", "--gold", "gold", a, b, c, d, NULL),
             &output);
    assert_ok(json_parse(output, strlen(output), "eval", &json)); // nothing but the object
    free(output);
    return json;
}

static double value(const json_t *of, const char *figure)
{
    const json_t *number = json_object_get(json_object_get(of, figure), "value");
    assert_true(json_is_number(number));
    return json_number_value(number);
}

/* A model is its own best judge. */
static void a_model_agrees_with_itself(void **state)
{
    (void)state;
    char *output, *gold = testing_path(ring.directory, "gold.jsonl");
    run_well(process_run(&output, RUN_MS, "rlhfctl", "reward", "score", "--model", reward, "--data",
                         lines, "--as", "gold", NULL),
             &output);
    assert_ok(file_write(gold, output, strlen(output)));
    free(output);
    SCOPED_JSON json_t *json = eval("--data", gold, "--draws", "50");
    const json_t *answers = json_object_get(json, "answers");
    assert_int_equal(json_integer_value(json_object_get(json, "lines")), PROMPTS);
    assert_near(value(answers, "pearson"), 1, 1e-9);
    assert_near(value(answers, "kendall"), 1, 1e-9);
    SCOPED_JSON json_t *curve = eval("--curve", gold, "--base", "gold");
    const json_t *point = json_array_get(json_object_get(curve, "points"), 0);
    assert_near(value(point, "kl"), 0, 0); // the policy is its reference
    assert_near(value(point, "score"), value(point, "gold"), 1e-12);
    assert_near(value(point, "win_base"), 0.5, 0);
    run_well(
        process_run(&output, RUN_MS, "rlhfctl", "reward", "eval", "--curve", gold, "--csv", NULL),
        &output);
    assert_non_null(strstr(output, "point,lines,kl,kl_low,kl_high,score,"));
    assert_non_null(strstr(output, "\n\"gold\",40,0,0,0,"));
    free(output);
    /* Scored anew: the lines' own "scores" are their scorers'. */
    run_well(process_run(&output, RUN_MS, "rlhfctl", "reward", "eval", "--model", reward, "--data",
                         gold, "--draws", "10", NULL),
             &output);
    assert_non_null(strstr(output, "answers 40  prompts with two and more 0"));
    assert_non_null(strstr(output, " 1.0000  1.0000 to 1.0000\n"));
    free(output);
}

static void refused(const char *error, const char *command, const char *a, const char *b,
                    const char *c, const char *d)
{
    char *output;
    const int status = process_run(&output, RUN_MS, "rlhfctl", "reward", command, "--data", lines,
                                   a, b, c, d, NULL);
    if (!strstr(output, error))
        print_error("%s\n", output);
    assert_non_null(strstr(output, error));
    assert_int_equal(status, 2);
    free(output);
}

static void words_that_do_not_go_together_are_refused(void **state)
{
    (void)state;
    refused("--model DIR is missing", "score", NULL, NULL, NULL, NULL);
    refused("--as '': allowed is a name of 1 to 64 bytes", "score", "--model", reward, "--as", "");
    refused("lines.jsonl:1: no score: neither 'score_chosen'", "eval", NULL, NULL, NULL, NULL);
    refused("no pair and no answer with a gold score (lines 40, without a score 0, without a gold "
            "score 40)",
            "eval", "--score", "reward", NULL, NULL);
    refused("--data and --curve: one of them", "eval", "--curve", lines, NULL, NULL);
    refused("--base and --law go with --curve", "eval", "--law", "rl", NULL, NULL);
    refused("--json and --csv: one of them", "eval", "--json", "--csv", NULL, NULL);
    refused("--draws", "eval", "--draws", "-1", NULL, NULL);
    refused("column '': allowed is a name", "eval", "--by", "", NULL, NULL);
    refused("reward model '", "score", "--model", ring.model, NULL, NULL);
}

TESTS(cmocka_unit_test(the_scores_are_the_rewarders), cmocka_unit_test(a_model_agrees_with_itself),
      cmocka_unit_test(words_that_do_not_go_together_are_refused))
