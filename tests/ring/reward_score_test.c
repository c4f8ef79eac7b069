/* `rlhfctl reward score` of completions as eval writes them: the numbers that the rewarder's
 * reward_model gave them, to the bit. So eval and check hand that scorer the tokens of prompts and
 * completions. */
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

static void the_scores_are_the_rewarders(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){.rounds = 1, .groups = 8});
    const char *reward = reward_directory(&ring);
    SCOPED_MEM char *scorers =
        mem_printf("rewarder.scorers=[{kind: reward_model, path: '%s'}]", reward);
    char *data = testing_path(ring.directory, "train.jsonl"),
         *lines = testing_path(ring.directory, "lines.jsonl"), *output;
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
    int status = process_run(&output, RUN_MS, "rlhfctl", "reward", "score", ring.recipe, "--model",
                             reward, "--data", lines, "--as", "", NULL);
    assert_int_equal(status, 2);
    assert_non_null(strstr(output, "--as '': allowed is a name of 1 to 64 bytes"));
    free(output);
}

TESTS(cmocka_unit_test(the_scores_are_the_rewarders))
