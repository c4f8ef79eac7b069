/* rlhfctl reward train of a pairwise preference model, by the real program. A run that is killed
 * comes to the same weights. The model that it writes, or an adapter, then tells better answers
 * from worse as a scorer. */
#include "base/bytes.h"
#include "ring/rows/rows_kit.h"
#include "unit/rewarder/score_kit.h"
#include <signal.h>

enum { ROWS = 30, HELD_OUT = 8, GROUPS = 6, EPOCHS = 3 };

struct place {
    const char *directory;
    char *recipe;
};

static void put_rows(const char *directory, const char *name, int first, int count)
{
    SCOPED_VALUE(bytes) text = {0};
    SCOPED_MEM char *path = file_join(directory, name);
    for (int i = first; i < first + count; i++)
        bytes_printf(&text,
                     "{\"prompt\": \"is %d blue?\", \"chosen\": \" yes it is%s\", \"rejected\": "
                     "\" no%s\"}\n",
                     i, i % 2 ? " so" : "", i % 3 ? " not at all" : "");
    assert_ok(file_write(path, text.data, text.len));
}

static struct place prepare(void)
{
    struct place place = {testing_directory(), NULL};
    place.recipe = testing_path(place.directory, "recipe.yaml");
    SCOPED_MEM char *model = file_join(place.directory, "model");
    SCOPED_MEM char *text = mem_printf(
        "run: {name: pairwise, rounds: 0}\n"
        "model: {path: model}\n"
        "data: {train: rows.jsonl, eval: held.jsonl, epochs: %d, max_prompt_tokens: 100}\n"
        "generator: {max_tokens: 24}\n"
        "learner: {objective: pairwise_preference, groups: %d, threads: 1,\n"
        "          optimizer: {lr: 5e-3, schedule: linear}}\n"
        "checkpoint: {every: 4, keep: 2}\n"
        "eval: {every: 10}\n",
        EPOCHS, GROUPS);
    new_model(model);
    put_rows(place.directory, "rows.jsonl", 0, ROWS);
    put_rows(place.directory, "held.jsonl", ROWS, HELD_OUT);
    assert_ok(file_write(place.recipe, text, strlen(text)));
    return place;
}

static void trains(const struct place *place, const char *run, const char *set)
{
    char *output;
    const int status = process_run(&output, RUN_MS, "rlhfctl", "reward", "train", place->recipe,
                                   "--run", run, "--set", set, NULL);
    if (status)
        print_error("%s: exit status %d:\n%s\n", set, status, output);
    free(output);
    assert_int_equal(status, 0);
}

static void both_orders_are_learnt(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "plain");
    trains(place, run, "run.seed=1");
    SCOPED_MEM char *updates = text_in(run, "updates.jsonl");
    assert_int_equal(lines_of(updates), 2 * ROWS * EPOCHS / GROUPS);
    assert_true(last_number(run, "evals.jsonl", "rows") == 2 * HELD_OUT);
    assert_true(last_number(run, "evals.jsonl", "rewards_accuracy") == 1);
    assert_true(last_number(run, "evals.jsonl", "loss") < 0.1); // from log 2
}

static void a_killed_run_comes_to_the_same_weights(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "killed"),
               *log = testing_path(place->directory, "log");
    const char *const words[] = {"reward", "train", place->recipe, "--run",
                                 run,      "--set", "run.seed=1",  NULL};
    struct process train = process_start_words(log, "rlhfctl", words);
    wait_updates(run, 7);
    process_kill(&train, SIGKILL);
    process_wait(&train, RUN_MS);
    trains(place, run, "learner.micro_tokens=16");
    SCOPED_MEM char *again = text_in(run, "updates.jsonl");
    SCOPED_MEM char *plain = text_in(testing_path(place->directory, "plain"), "updates.jsonl");
    assert_string_equal(again, plain);
}

/* Two answers of a prompt that no row has; the better one wins with this probability and more. */
static void assert_tells(const char *directory, double best)
{
    SCOPED_VALUE(score_kit) kit = {0};
    static const char *const answers[] = {" no not at all", " yes it is so"};
    struct completion completion[2] = {0};
    struct group group = {
        .row = "{\"prompt\": \"is 71 blue?\"}", .completions = 2, .completion = completion};
    SCOPED_MEM char *entry = mem_printf("[{kind: preference_model, path: '%s'}]", directory);
    for (int i = 0; i < 2; i++)
        completion[i] = (struct completion){.text = (char *)answers[i],
                                            .text_len = (uint32_t)strlen(answers[i])};
    assert_ok(kit_open(entry, &kit));
    assert_ok(kit_score(&kit, &group));
    const double *score = group_values(&group, COLUMN_SCORES, 0);
    assert_true(score[1] > best);
    assert_near(score[0] + score[1], 1, 1e-12);
    column_list_done(&group.columns);
}

static void the_model_is_a_scorer(void **state)
{
    const struct place *place = *state;
    SCOPED_MEM char *directory =
        file_join(testing_path(place->directory, "plain"), "checkpoints/latest");
    assert_tells(directory, 0.9);
}

static void an_adapter_is_one_too(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "adapter");
    SCOPED_MEM char *directory = file_join(run, "checkpoints/latest");
    SCOPED_MEM char *config = file_join(directory, "adapter_config.json");
    trains(place, run, "lora={r: 8}");
    assert_true(last_number(run, "evals.jsonl", "rewards_accuracy") == 1);
    assert_true(file_exists(config));
    assert_tells(directory, 0.53); // its few parameters learn more slowly
}

static void refuses(const char *const *words, const char *want)
{
    const char *log = testing_path(testing_directory(), "log");
    struct process process = process_start_words(log, "rlhfctl", words);
    const int status = process_wait(&process, RUN_MS);
    SCOPED_MEM char *text = file_text(log);
    if (!status || !strstr(text, want))
        fail_msg("not '%s' but:\n%s", want, text);
}

/* A policy is trained by other commands, and by other objectives. */
static void no_policy_is_trained_by_it(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "refused");
    const struct {
        const char *words[8], *says;
    } cases[] = {
        {{"train", place->recipe, "--run", run}, "trains a reward model (rlhfctl reward train)"},
        {{"reward", "train", place->recipe, "--run", run, "--set", "learner.objective=simpo"},
         "rlhfctl reward train allows "},
        {{"check", place->recipe}, "and a ring a policy"},
        {{"reward", "train", place->recipe, "--run", run, "--set", "generator.temperature=0.5"},
         "generator.temperature: 0.5; a preference model's"},
        {{"reward", "train", place->recipe, "--run", run, "--set", "data.max_prompt_tokens=20"},
         "no row fits"},
        {{"reward", "train", place->recipe, "--run", run, "--set",
          "learner.preference_model.format=chat"},
         "learner.preference_model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(cases[i].words, cases[i].says);
}

int main(void)
{
    struct place place = prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(both_orders_are_learnt, &place),
        cmocka_unit_test_prestate(a_killed_run_comes_to_the_same_weights, &place),
        cmocka_unit_test_prestate(the_model_is_a_scorer, &place),
        cmocka_unit_test_prestate(an_adapter_is_one_too, &place),
        cmocka_unit_test_prestate(no_policy_is_trained_by_it, &place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
