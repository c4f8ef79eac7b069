/* `rlhfctl eval` on the versions of a real run: the distance from the reference, likelihood,
 * scorers, and what it refuses. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, PROMPTS = 40 };

static struct ring ring;
static char *data, *lines;

/* A run of 8 rounds with a checkpoint after every fourth, trained hard enough to move. */
static int train(void **state)
{
    (void)state;
    ring = ring_prepare(&(struct ring_options){.rounds = 8, .groups = 16, .lag = 0});
    data = testing_path(ring.directory, "train.jsonl");
    lines = testing_path(ring.directory, "lines.jsonl");
    char *output;
    int status = process_run(&output, RUN_MS, "rlhfctl", "up", ring.recipe, "--run", ring.run,
                             "--set", "learner.optimizer.lr=0.01", NULL);
    if (status)
        print_error("%s\n", output);
    free(output);
    return status;
}

/* `rlhfctl eval --json` of PROMPTS prompts at temperature 1 with two more words; owned by the
 * caller. */
static json_t *eval(const char *a, const char *b)
{
    char *output, prompts[8];
    json_t *json = NULL;
    snprintf(prompts, sizeof prompts, "%d", PROMPTS);
    int status = process_run(&output, RUN_MS, "rlhfctl", "eval", ring.recipe, "--run", ring.run,
                             "--data", data, "--prompts", prompts, "--temperature", "1", "--out",
                             lines, "--json", a, b, NULL);
    if (status)
        print_error("%s\n", output);
    assert_int_equal(status, 0);
    assert_ok(json_parse(output, strlen(output), "eval", &json)); // nothing but the object
    free(output);
    assert_int_equal(json_integer_value(json_object_get(json, "prompts")), PROMPTS);
    return json;
}

/* The number at a path of one or two keys. */
static double at(const json_t *json, const char *key, const char *below)
{
    const json_t *value = json_object_get(json, key);
    value = below ? json_object_get(value, below) : value;
    if (!json_is_number(value))
        print_error("%s.%s is no number\n", key, below ? below : "");
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static void the_first_version_is_its_own_reference(void **state)
{
    (void)state;
    SCOPED_JSON json_t *json = eval("--version", "0");
    assert_near(at(json, "version", NULL), 0, 0);
    assert_string_equal(json_string_value(json_object_get(json, "model")), ring.model);
    assert_true(at(json, "kl", "k1_per_completion") == 0); // the same bits
    assert_true(at(json, "kl", "k3_per_token") == 0);
    assert_true(at(json, "kl", "tokens") >= PROMPTS);
    /* An untrained model of 29 tokens; the answers are 5 letters and the end. */
    assert_near(at(json, "log_likelihood", "nats_per_token"), -log(29), 0.2);
    assert_near(at(json, "log_likelihood", "tokens"), PROMPTS * 6, 0);
}

/* Every figure again from the lines of --out. */
static void its_figures_are_those_of_its_lines(void **state)
{
    (void)state;
    SCOPED_JSON json_t *json = eval("--version", "4");
    char *text = file_text(lines), *rest = NULL;
    double kl = 0, likelihood = 0, reward = 0, success = 0;
    int count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *one = json_loads(line, 0, NULL);
        const json_t *scores = json_object_get(one, "scores");
        double exact = json_number_value(json_array_get(scores, 0));
        double length = json_number_value(json_array_get(scores, 1));
        assert_near(at(one, "reward", NULL), 0.5 * exact + 0.5 * length, 1e-12);
        assert_int_equal(json_array_size(json_object_get(one, "ids")), at(one, "tokens", NULL));
        kl += at(one, "kl", NULL) / PROMPTS;
        likelihood += at(one, "demonstration_logp", NULL);
        reward += at(one, "reward", NULL) / PROMPTS;
        success += (exact >= 1 && length >= 1) / (double)PROMPTS;
        count++;
    }
    free(text);
    assert_int_equal(count, PROMPTS);
    assert_near(at(json, "version", NULL), 4, 0);
    assert_near(at(json, "kl", "k1_per_completion"), kl, 1e-12);
    assert_true(kl > 0 && at(json, "kl", "k3_per_token") > 0);
    assert_near(at(json, "log_likelihood", "nats_per_token"), likelihood / (PROMPTS * 6), 1e-12);
    assert_near(at(json, "reward", NULL), reward, 1e-12);
    assert_near(at(json, "success", NULL), success, 1e-12);
}

static void training_moves_away_and_the_newest_is_the_default(void **state)
{
    (void)state;
    char *checkpoint = file_join(ring.run, "checkpoints/v8");
    SCOPED_JSON json_t *newest = eval("--reference", ring.model);
    SCOPED_JSON json_t *named = eval("--checkpoint", checkpoint);
    SCOPED_JSON json_t *four = eval("--version", "4");
    SCOPED_JSON json_t *self = eval("--reference", checkpoint);
    assert_near(at(newest, "version", NULL), 8, 0);
    assert_near(at(named, "version", NULL), 8, 0);
    assert_true(at(newest, "kl", "k1_per_completion") == at(named, "kl", "k1_per_completion"));
    assert_true(at(newest, "kl", "k1_per_completion") > at(four, "kl", "k1_per_completion"));
    assert_true(at(self, "kl", "k1_per_completion") == 0);
    assert_true(at(newest, "reward", NULL) > 0);
    free(checkpoint);
}

static void the_scorers_are_those_of_the_command_line(void **state)
{
    (void)state;
    SCOPED_JSON json_t *json =
        eval("--set", "rewarder.scorers=[{kind: length, name: brief, min: 1, max: 2}]");
    const json_t *scorers = json_object_get(json, "scorers");
    assert_int_equal(json_array_size(scorers), 1);
    const json_t *brief = json_array_get(scorers, 0);
    assert_string_equal(json_string_value(json_object_get(brief, "name")), "brief");
    assert_near(at(brief, "mean", NULL), at(json, "reward", NULL), 1e-12);
    SCOPED_JSON json_t *none = eval("--set", "rewarder.scorers=[]");
    assert_true(json_is_null(json_object_get(none, "reward")));
    SCOPED_JSON json_t *far = eval("--reference", "none");
    assert_true(json_is_null(json_object_get(far, "kl")));
}

/* Prompts of 6 tokens, two of 7 and 8, of which 6 are allowed: skipped and counted, never cut. The
 * lines keep the numbers of their rows. */
static void prompts_that_are_too_long_are_skipped(void **state)
{
    (void)state;
    static const char rows[] = "{\"prompt\": \"abcdef>\", \"completion\": \"abcdef\"}\n"
                               "{\"prompt\": \"edcba>\", \"completion\": \"abcde\"}\n"
                               "{\"prompt\": \"abcdefg>\", \"completion\": \"abcdefg\"}\n"
                               "{\"prompt\": \"zyxwv>\", \"completion\": \"vwxyz\"}\n";
    SCOPED_MEM char *path = file_join(ring.directory, "long.jsonl");
    assert_ok(file_write(path, rows, sizeof rows - 1));
#define WITH ring.recipe, "--run", ring.run, "--set", "data.max_prompt_tokens=6"
    char *output, *rest = NULL;
    assert_int_equal(process_run(&output, RUN_MS, "rlhfctl", "eval", WITH, "--data", path, "--json",
                                 "--out", lines, NULL),
                     0);
    assert_non_null(strstr(output, "2 of 4 prompts are skipped; the first: "));
    assert_non_null(strstr(output, "long.jsonl:1: a prompt of 7 tokens; 1 to 6 are allowed"));
    SCOPED_JSON json_t *json = json_loads(strchr(output, '{'), JSON_DISABLE_EOF_CHECK, NULL);
    assert_near(at(json, "prompts", NULL), 2, 0);
    assert_near(at(json, "prompts_skipped", NULL), 2, 0);
    free(output);
    SCOPED_MEM char *text = file_text(lines);
    const double numbers[] = {1, 3};
    int count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *one = json_loads(line, 0, NULL);
        assert_near(at(one, "prompt", NULL), numbers[count++], 0);
    }
    assert_int_equal(count, 2);
    assert_int_not_equal(
        process_run(&output, RUN_MS, "rlhfctl", "generate", WITH, "--prompt", "abcdef>", NULL), 0);
    assert_non_null(strstr(output, "a prompt of 7 tokens; 1 to 6 are allowed"));
    free(output);
    assert_int_equal(
        process_run(&output, RUN_MS, "rlhfctl", "generate", WITH, "--prompt", "bcdef>", NULL), 0);
    free(output);
#undef WITH
}

static void refused(const char *part, const char *a, const char *b, const char *c, const char *d)
{
    char *output;
    int status = process_run(&output, RUN_MS, "rlhfctl", "eval", ring.recipe, "--data", data, a, b,
                             c, d, NULL);
    if (status == 0 || !strstr(output, part))
        print_error("status %d, wanted '%s':\n%s\n", status, part, output);
    assert_int_not_equal(status, 0);
    assert_non_null(strstr(output, part));
    free(output);
}

static void what_is_not_there_is_named(void **state)
{
    (void)state;
    refused("available: 8, 4 (newest first) and 0 (model.path)", "--run", ring.run, "--version",
            "6");
    refused("--run DIR is missing", "--version", "6", NULL, NULL);
    refused("is not a whole number", "--run", ring.run, "--version", "latest");
    refused("give one of them", "--model", ring.model, "--version", "4");
    refused("names its version", "--checkpoint", ring.model, NULL, NULL);
    refused("/nowhere/config.json", "--model", ring.model, "--reference", "/nowhere");
    refused("is not a number from 0 to 100", "--temperature", "warm", NULL, NULL);
    refused("is not a whole number from 1", "--prompts", "0", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_version_is_its_own_reference),
        cmocka_unit_test(its_figures_are_those_of_its_lines),
        cmocka_unit_test(training_moves_away_and_the_newest_is_the_default),
        cmocka_unit_test(the_scorers_are_those_of_the_command_line),
        cmocka_unit_test(prompts_that_are_too_long_are_skipped),
        cmocka_unit_test(what_is_not_there_is_named),
    };
    return cmocka_run_group_tests(tests, train, NULL);
}
