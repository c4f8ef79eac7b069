/* rlhfctl reward train: a reward model from what people prefer, by the real program. A run that is
 * killed, or whose batch is cut in another way, comes to the same weights. Its
 * directories are reward models for others. */
#include "base/bytes.h"
#include "ring/rows/rows_kit.h"
#include <math.h>

enum { ROWS = 60, HELD_OUT = 12, GROUPS = 6, EPOCHS = 3 };

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

static void put_text(const char *directory, const char *name, const struct bytes *text)
{
    SCOPED_MEM char *path = file_join(directory, name);
    assert_ok(file_write(path, text->data, text->len));
}

/* Answers that people rate by their length, beside each other and alone; texts without a prompt;
 * pairs whose labels are of three people, and which are a point apart. */
static void put_rated(const char *directory)
{
    SCOPED_VALUE(bytes) lists = {0}, alone = {0}, texts = {0}, labels = {0}, margins = {0};
    for (int i = 0; i < ROWS; i++) {
        bytes_printf(&lists,
                     "{\"prompt\": \"is %d blue?\", \"completions\": [\" no\", \" yes it is\", "
                     "\" yes it is so blue\"], \"scores\": [3, 4, 5]}\n",
                     i);
        bytes_printf(&alone,
                     "{\"prompt\": \"is %d blue?\", \"completion\": \"%s\", \"score\": %d}\n", i,
                     i % 3 ? " yes it is" : " no", i % 3 ? 2 : -2);
        bytes_printf(&texts, "{\"text\": \"%d is %s\", \"score\": %g}\n", i,
                     i % 2 ? "blue" : "not so", i % 2 ? 1.5 : -0.5);
        bytes_printf(&labels,
                     "{\"prompt\": \"is %d blue?\", \"chosen\": \" yes it is\", \"rejected\": "
                     "\" no\", \"labels\": [1, %d, false]}\n",
                     i, i % 2);
        bytes_printf(&margins,
                     "{\"prompt\": \"is %d blue?\", \"chosen\": \" yes it is\", \"rejected\": "
                     "\" no\", \"margin\": %d}\n",
                     i, 1 + i % 2);
    }
    put_text(directory, "lists.jsonl", &lists);
    put_text(directory, "alone.jsonl", &alone);
    put_text(directory, "texts.jsonl", &texts);
    put_text(directory, "labels.jsonl", &labels);
    put_text(directory, "margins.jsonl", &margins);
}

static struct place prepare(void)
{
    struct place place = {testing_directory(), NULL};
    place.recipe = testing_path(place.directory, "recipe.yaml");
    SCOPED_MEM char *model = file_join(place.directory, "model");
    SCOPED_MEM char *text = mem_printf(
        "run: {name: reward, rounds: 0}\n"
        "model: {path: model}\n"
        "data: {train: rows.jsonl, eval: held.jsonl, epochs: %d, max_prompt_tokens: 32}\n"
        "generator: {max_tokens: 24}\n"
        "learner: {objective: bradley_terry, groups: %d, threads: 1,\n"
        "          reward_model: {pad_token: <|im_start|>},\n"
        "          optimizer: {lr: 2e-3, schedule: linear}}\n"
        "checkpoint: {every: 4, keep: 2}\n"
        "eval: {every: 10}\n",
        EPOCHS, GROUPS);
    new_model(model);
    put_rows(place.directory, "rows.jsonl", 0, ROWS);
    put_rows(place.directory, "held.jsonl", ROWS, HELD_OUT);
    put_rated(place.directory);
    assert_ok(file_write(place.recipe, text, strlen(text)));
    return place;
}

/* The exit status; *ret_output is the caller's. */
static int reward_train(const struct place *place, const char *run, const char *set,
                        const char *more, char **ret_output)
{
    return process_run(ret_output, RUN_MS, "rlhfctl", "reward", "train", place->recipe, "--run",
                       run, "--set", set, "--set", more, NULL);
}

static void trains_with(const struct place *place, const char *run, const char *set,
                        const char *more)
{
    char *output;
    const int status = reward_train(place, run, set, more, &output);
    if (status)
        print_error("%s: exit status %d:\n%s\n", set, status, output);
    free(output);
    assert_int_equal(status, 0);
}

static void trains(const struct place *place, const char *run, const char *set)
{
    trains_with(place, run, set, "run.seed=1");
}

static void refuses(const struct place *place, const char *set, const char *want)
{
    char *output;
    const int status =
        reward_train(place, testing_path(place->directory, "refused"), set, "run.seed=1", &output);
    if (!strstr(output, want))
        fail_msg("%s: not '%s' but:\n%s", set, want, output);
    free(output);
    assert_int_not_equal(status, 0);
}

static void assert_same_weights(const char *run, const char *other)
{
    SCOPED_MEM char *a = text_in(run, "updates.jsonl");
    SCOPED_MEM char *b = text_in(other, "updates.jsonl");
    assert_int_equal(lines_of(a), ROWS * EPOCHS / GROUPS);
    assert_string_equal(a, b);
}

static void a_model_learns_what_people_prefer(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "plain");
    trains(place, run, "run.seed=1");
    assert_true(last_number(run, "evals.jsonl", "rewards_accuracy") == 1);
    assert_true(last_number(run, "evals.jsonl", "loss") < 0.2); // from log 2
    assert_true(last_number(run, "metrics.jsonl", "pairs") == GROUPS);
}

/* A head of one label, a token that pads, and the tokenizer. */
static void what_it_writes_is_a_reward_model(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "plain");
    SCOPED_MEM char *config = text_in(run, "checkpoints/latest/config.json");
    SCOPED_MEM char *tokenizer = file_join(run, "checkpoints/latest/tokenizer.json");
    SCOPED_MEM char *names = text_in(run, "checkpoints/latest/tokenizer_config.json");
    assert_non_null(strstr(names, "\"pad_token\": \"<|im_start|>\""));
    assert_non_null(strstr(config, "\"LlamaForSequenceClassification\""));
    assert_non_null(strstr(config, "\"pad_token_id\": 2"));
    assert_true(file_exists(tokenizer));
}

static void how_a_batch_is_cut_changes_no_bit(void **state)
{
    const struct place *place = *state;
    const char *small = testing_path(place->directory, "small");
    trains(place, small, "learner.micro_tokens=16");
    assert_same_weights(testing_path(place->directory, "plain"), small);
}

/* Killed twice, in rounds that no checkpoint covers, then asked to stop. */
static void a_killed_run_comes_to_the_same_weights(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "killed"),
               *log = testing_path(place->directory, "log");
    const char *const words[] = {
        "reward", "train", place->recipe, "--run", run, "--set", "learner.micro_tokens=16", NULL};
    const int ends[] = {SIGKILL, SIGKILL, SIGTERM};
    for (int i = 0; i < 3; i++) {
        struct process train = process_start_words(log, "rlhfctl", words);
        wait_updates(run, 5 + 8 * i);
        process_kill(&train, ends[i]);
        const int status = process_wait(&train, RUN_MS);
        assert_int_equal(status, ends[i] == SIGKILL ? 128 + SIGKILL : 0);
    }
    trains(place, run, "learner.micro_tokens=64");
    assert_same_weights(testing_path(place->directory, "plain"), run);
    SCOPED_MEM char *evals = text_in(run, "evals.jsonl");
    SCOPED_MEM char *plain = text_in(testing_path(place->directory, "plain"), "evals.jsonl");
    assert_string_equal(evals, plain);
}

/* An adapter and a head beside the base, as PEFT has them. Killed, it comes to the same weights; it
 * goes on from a directory; merged it is a reward model. */
static void an_adapter_trains_with_its_head(void **state)
{
    const struct place *place = *state;
    static const char lora[] = "lora={r: 4, alpha: 16, target_modules: [all-linear]}";
    const char *run = testing_path(place->directory, "lora"),
               *killed = testing_path(place->directory, "lora_killed"),
               *log = testing_path(place->directory, "log");
    trains(place, run, lora);
    assert_true(last_number(run, "evals.jsonl", "rewards_accuracy") == 1);
    SCOPED_MEM char *config = text_in(run, "checkpoints/latest/adapter_config.json");
    assert_non_null(strstr(config, "\"task_type\": \"SEQ_CLS\""));
    assert_non_null(strstr(config, "\"score\""));
    const char *const words[] = {"reward", "train", place->recipe, "--run",      killed,
                                 "--set",  lora,    "--set",       "run.seed=1", NULL};
    struct process train = process_start_words(log, "rlhfctl", words);
    wait_updates(killed, 7);
    process_kill(&train, SIGKILL);
    process_wait(&train, RUN_MS);
    trains(place, killed, lora);
    assert_same_weights(run, killed);
    SCOPED_MEM char *latest = file_join(run, "checkpoints/latest");
    SCOPED_MEM char *path = mem_printf("lora.path=%s", latest);
    const char *on = testing_path(place->directory, "lora_on");
    trains_with(place, on, path, "run.rounds=1");
    assert_near(first_number(on, "evals.jsonl", "loss"), last_number(run, "evals.jsonl", "loss"),
                1e-9);
    assert_int_equal(process_run(NULL, RUN_MS, "rlhfctl", "model", "export", latest,
                                 testing_path(place->directory, "merged"), "--merge", NULL),
                     0);
}

/* From a reward model: its head goes on, and 0 of its learning rate changes nothing of it. */
static void a_reward_model_goes_on(void **state)
{
    const struct place *place = *state;
    const char *plain = testing_path(place->directory, "plain"),
               *run = testing_path(place->directory, "on");
    SCOPED_MEM char *set = mem_printf("model.path=%s/checkpoints/latest", plain);
    trains(place, run, set);
    assert_near(first_number(run, "evals.jsonl", "loss"), last_number(plain, "evals.jsonl", "loss"),
                0);
}

/* Ranked completions are pairs, all of them; a row is one loss. */
static void all_pairs_of_a_prompt_are_trained(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "lists");
    trains_with(place, run, "data.train=lists.jsonl", "data.eval=lists.jsonl");
    assert_true(last_number(run, "metrics.jsonl", "pairs") == 3 * GROUPS);
    assert_true(last_number(run, "evals.jsonl", "rewards_accuracy") == 1);
}

/* Of three annotators one or two prefer the chosen: scores come to log(p / (1 - p)) apart at
 * best. */
static void labels_are_shares_of_people(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "labels");
    trains_with(place, run, "data.train=labels.jsonl", "data.eval=labels.jsonl");
    assert_near(last_number(run, "evals.jsonl", "rewards_margin"), 0, 0.3); // half p 1/3, half 2/3
    assert_true(last_number(run, "evals.jsonl", "loss") > 0.6);             // no less is possible
}

/* With margins of 1 and 2 the same pairs end farther apart, where steps have the size of slopes. */
static void margins_are_added(void **state)
{
    const struct place *place = *state;
    static const char linear[] = "learner.optimizer={lr: 0.3, eps: 1.0, clip_norm: 0}";
    const char *run = testing_path(place->directory, "margins"),
               *plain = testing_path(place->directory, "without");
    trains_with(place, run, "data.train=margins.jsonl", linear);
    SCOPED_MEM char *from = text_in(place->directory, "margins.jsonl");
    for (char *at = from; (at = strstr(at, "margin")); at++)
        *at = 'M'; // a column that nobody reads
    SCOPED_VALUE(bytes) text = {0};
    bytes_text(&text, from);
    put_text(place->directory, "without.jsonl", &text);
    trains_with(place, plain, "data.train=without.jsonl", linear);
    assert_true(last_number(run, "evals.jsonl", "rewards_margin") >
                last_number(plain, "evals.jsonl", "rewards_margin") + 2);
}

#define REGRESSION "learner.objective=reward_regression"

static void regresses(const struct place *place, const char *name, const char *rows)
{
    const char *run = testing_path(place->directory, name);
    SCOPED_MEM char *train = mem_printf("data={train: %s, eval: %s, epochs: 12}", rows, rows);
    trains_with(place, run, REGRESSION, train);
    assert_true(last_number(run, "evals.jsonl", "value_correlation") > 0.9);
}

static void ratings_become_scores(void **state)
{
    const struct place *place = *state;
    regresses(place, "rated", "lists.jsonl");
    regresses(place, "alone", "alone.jsonl");
    regresses(place, "texts", "texts.jsonl");
}

/* Scores are then near 0, and the files say what they are of. */
static void ratings_are_standardized_where_asked(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "standard");
    trains_with(place, run, "data={train: lists.jsonl, eval: lists.jsonl, epochs: 3}",
                "learner={objective: reward_regression, reward_model: {standardize: true, "
                "pad_token: <|im_start|>}, groups: 6}");
    SCOPED_MEM char *text = text_in(run, "ratings.json");
    SCOPED_JSON json_t *ratings = json_loads(text, 0, NULL);
    assert_near(json_number_value(json_object_get(ratings, "mean")), 4, 1e-12);
    assert_near(json_number_value(json_object_get(ratings, "std")), sqrt(2.0 / 3), 1e-12);
    assert_near(last_number(run, "evals.jsonl", "returns_mean"), 0, 1e-12);
}

/* A row of a file of its own. */
static void refuses_row(const struct place *place, const char *objective, const char *row,
                        const char *want)
{
    SCOPED_VALUE(bytes) text = {0};
    char *output;
    bytes_printf(&text, "%s\n", row);
    put_text(place->directory, "wrong.jsonl", &text);
    const int status = reward_train(place, testing_path(place->directory, "refused"), objective,
                                    "data.train=wrong.jsonl", &output);
    if (!strstr(output, want))
        fail_msg("%s: not '%s' but:\n%s", row, want, output);
    free(output);
    assert_int_not_equal(status, 0);
}

static void rows_that_say_nothing_are_refused(void **state)
{
    const struct place *place = *state;
    static const char compares[] = "learner.objective=bradley_terry";
    refuses_row(place, compares, "{\"chosen\": \"a b\", \"rejected\": \"a c\", \"margin\": \"x\"}",
                "wrong.jsonl:1: 'margin' is \"x\"; it must be a number");
    refuses_row(place, compares, "{\"chosen\": \"a b\", \"rejected\": \"a c\", \"margin\": 1e300}",
                "; it must be a number from -1e6 to 1e6");
    refuses_row(place, compares, "{\"chosen\": \"a b\", \"rejected\": \"a c\", \"labels\": [2]}",
                "'labels' is [2]; it must be a list of 1 to 4096 labels");
    refuses_row(place, compares, "{\"chosen\": \"a b\", \"rejected\": \"a c\", \"labels\": []}",
                "'labels' is []");
    refuses_row(place, compares, "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": true}",
                "bradley_terry takes preferences");
    refuses_row(place, REGRESSION, "{\"chosen\": \"a b\", \"rejected\": \"a c\"}",
                "reward_regression takes ranked completions");
    refuses_row(place, REGRESSION, "{\"prompt\": \"a\", \"completion\": \"b\"}",
                "'score' is missing; it must be a number");
    refuses_row(place, REGRESSION, "{\"text\": \"a\", \"score\": true}", "'score' is true");
}

static void what_cannot_be_is_refused(void **state)
{
    const struct place *place = *state;
    char *output;
    refuses(place, "learner.objective=sft", "sft trains a policy; rlhfctl reward train allows ");
    refuses(place, "learner.reward_model.pad_token=", "token 1 ends texts");
    refuses(place, "learner.reward_model.pad_token=<|end|>", "<|end|>: token 1 ends texts");
    refuses(place, "learner.reward_model.pad_token=nothing", "'nothing' is no token");
    refuses(place, "train.chunks=2", "train.chunks");
    refuses(place, "learner.reward_model.standardize=true", "bradley_terry compares");
    refuses(place, "learner.reference.kind=frozen", "a reward model has no reference");
    refuses(place, "learner.reward.length_penalty=0.1", "and here people judge");
    refuses(place, "learner.rows.entropy_coef=0.1", "trains scores alone");
    int status = process_run(&output, RUN_MS, "rlhfctl", "train", place->recipe, "--run",
                             testing_path(place->directory, "refused"), NULL);
    assert_non_null(strstr(output, "bradley_terry trains a reward model (rlhfctl reward train)"));
    assert_int_not_equal(status, 0);
    free(output);
    status = process_run(&output, RUN_MS, "rlhfctl", "check", place->recipe, NULL);
    assert_non_null(strstr(output, "bradley_terry trains a reward model (rlhfctl reward train)"));
    assert_int_not_equal(status, 0);
    free(output);
}

static int set_up(void **state)
{
    static struct place place;
    place = prepare();
    *state = &place;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_learns_what_people_prefer),
        cmocka_unit_test(what_it_writes_is_a_reward_model),
        cmocka_unit_test(how_a_batch_is_cut_changes_no_bit),
        cmocka_unit_test(a_killed_run_comes_to_the_same_weights),
        cmocka_unit_test(an_adapter_trains_with_its_head),
        cmocka_unit_test(a_reward_model_goes_on),
        cmocka_unit_test(all_pairs_of_a_prompt_are_trained),
        cmocka_unit_test(labels_are_shares_of_people),
        cmocka_unit_test(margins_are_added),
        cmocka_unit_test(ratings_become_scores),
        cmocka_unit_test(ratings_are_standardized_where_asked),
        cmocka_unit_test(rows_that_say_nothing_are_refused),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
