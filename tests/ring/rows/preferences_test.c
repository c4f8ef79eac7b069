/* rlhfctl train: preferences from files, by the real program. A run that is killed, or whose batch
 * is cut in another way, comes to the same weights. Chunks move the reference. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "ring/rows/rows_kit.h"
#include "rl/objective_table.h"
#include <stdlib.h>
#include <string.h>

enum { ROWS = 60, HELD_OUT = 12, GROUPS = 6, EPOCHS = 3 };

struct place {
    const char *directory;
    char *recipe;
};

/* ---- a small model, and rows whose better answers a model can learn */

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

/* Labelled ones, and lists of three. */
static void put_others(const char *directory)
{
    SCOPED_VALUE(bytes) labels = {0}, lists = {0};
    SCOPED_MEM char *labels_path = file_join(directory, "labels.jsonl");
    SCOPED_MEM char *lists_path = file_join(directory, "lists.jsonl");
    for (int i = 0; i < ROWS; i++) {
        bytes_printf(&labels,
                     "{\"prompt\": \"is %d blue?\", \"completion\": \"%s\", \"label\": %s}\n", i,
                     i % 3 ? " yes it is" : " no", i % 3 ? "true" : "false");
        bytes_printf(&lists,
                     "{\"prompt\": \"is %d blue?\", \"completions\": [\" no\", \" yes it is\", "
                     "\" maybe%s\"], \"scores\": [-1, 2.5, %d]}\n",
                     i, i % 2 ? " so" : "", i % 4);
    }
    assert_ok(file_write(labels_path, labels.data, labels.len));
    assert_ok(file_write(lists_path, lists.data, lists.len));
}

static struct place prepare(void)
{
    struct place place = {testing_directory(), NULL};
    place.recipe = testing_path(place.directory, "recipe.yaml");
    SCOPED_MEM char *model = file_join(place.directory, "model");
    SCOPED_MEM char *text = mem_printf(
        "run: {name: pairs, rounds: 0}\n"
        "model: {path: model}\n"
        "data: {train: [a.jsonl, b.jsonl], eval: held.jsonl, epochs: %d, max_prompt_tokens: 32}\n"
        "generator: {max_tokens: 24}\n"
        "rewarder: {reference: frozen}\n"
        "learner: {objective: online_dpo, groups: %d, threads: 1,\n"
        "          optimizer: {lr: 2e-3, schedule: linear}}\n"
        "checkpoint: {every: 4, keep: 2}\n"
        "eval: {every: 10}\n",
        EPOCHS, GROUPS);
    new_model(model);
    put_rows(place.directory, "a.jsonl", 0, ROWS / 2);
    put_rows(place.directory, "b.jsonl", ROWS / 2, ROWS / 2);
    put_rows(place.directory, "held.jsonl", ROWS, HELD_OUT);
    put_others(place.directory);
    assert_ok(file_write(place.recipe, text, strlen(text)));
    return place;
}

/* ---- runs */

#define TRAIN(place, run, ...)                                                                     \
    process_run(&output, RUN_MS, "rlhfctl", "train", (place)->recipe, "--run", (run), __VA_ARGS__, \
                NULL)

static void trains(const struct place *place, const char *run, const char *set)
{
    char *output;
    const int status = TRAIN(place, run, "--set", set);
    if (status)
        print_error("%s: exit status %d:\n%s\n", set, status, output);
    free(output);
    assert_int_equal(status, 0);
}

static void assert_same_weights(const char *run, const char *other)
{
    SCOPED_MEM char *a = text_in(run, "updates.jsonl");
    SCOPED_MEM char *b = text_in(other, "updates.jsonl");
    assert_int_equal(lines_of(a), ROWS * EPOCHS / GROUPS);
    assert_string_equal(a, b);
}

/* ---- tests */

static void a_model_learns_to_prefer(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "plain");
    trains(place, run, "run.seed=1");
    assert_true(last_number(run, "evals.jsonl", "rewards_accuracy") == 1);
    assert_true(last_number(run, "evals.jsonl", "loss") < 0.55); // from log 2
    assert_near(last_number(run, "metrics.jsonl", "run_rounds"), ROWS * EPOCHS / GROUPS, 0);
    SCOPED_MEM char *latest = file_join(run, "checkpoints/latest/tokenizer.json");
    assert_true(file_exists(latest));
}

/* The cut of a batch, and when the reference is asked, change no bit. */
static void how_it_is_computed_changes_no_bit(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "plain"),
               *small = testing_path(place->directory, "small"),
               *before = testing_path(place->directory, "before");
    trains(place, small, "learner.micro_tokens=32");
    trains(place, before, "train.precompute_ref_log_probs=true");
    assert_same_weights(run, small);
    assert_same_weights(run, before);
}

/* Killed twice, in rounds that no checkpoint covers, then asked to stop: rounds are trained again,
 * and their versions compared. */
static void a_killed_run_comes_to_the_same_weights(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "killed"),
               *log = testing_path(place->directory, "log");
    const char *const words[] = {
        "train", place->recipe, "--run", run, "--set", "learner.micro_tokens=16", NULL};
    const int ends[] = {SIGKILL, SIGKILL, SIGTERM};
    for (int i = 0; i < 3; i++) {
        struct process train = process_start_words(log, "rlhfctl", words);
        wait_updates(run, 5 + 8 * i);
        process_kill(&train, ends[i]);
        const int status = process_wait(&train, RUN_MS);
        assert_int_equal(status, ends[i] == SIGKILL ? 128 + SIGKILL : 0);
    }
    SCOPED_MEM char *made = text_in(run, "updates.jsonl");
    assert_true(lines_of(made) < ROWS * EPOCHS / GROUPS); // stopped, not done
    trains(place, run, "learner.micro_tokens=64");
    assert_same_weights(testing_path(place->directory, "plain"), run);
    SCOPED_MEM char *evals = text_in(run, "evals.jsonl");
    SCOPED_MEM char *plain = text_in(testing_path(place->directory, "plain"), "evals.jsonl");
    assert_string_equal(evals, plain);
}

/* Each chunk begins at a distance of 0 from its own reference, which a restart finds again. */
static void a_chunk_has_the_model_before_it_as_reference(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "chunks"),
               *again = testing_path(place->directory, "chunks_again"),
               *log = testing_path(place->directory, "log");
    const char *const words[] = {"train", place->recipe,    "--run", again,
                                 "--set", "train.chunks=0", "--set", "learner.micro_tokens=16",
                                 NULL};
    trains(place, run, "train.chunks=0");
    SCOPED_MEM char *metrics = text_in(run, "metrics.jsonl");
    char *rest = metrics;
    for (int r = 0; r < ROWS * EPOCHS / GROUPS; r++) {
        SCOPED_JSON json_t *line = json_loads(strsep(&rest, "\n"), 0, NULL);
        const double margin = json_number_value(json_object_get(line, "rewards_margin"));
        assert_true(r % (ROWS * EPOCHS / GROUPS / 2) ? margin != 0 : margin == 0);
    }
    struct process train = process_start_words(log, "rlhfctl", words);
    wait_updates(again, ROWS * EPOCHS / GROUPS / 2 + 3); // behind the first chunk
    process_kill(&train, SIGKILL);
    process_wait(&train, RUN_MS);
    trains(place, again, "train.chunks=0");
    assert_same_weights(run, again);
}

/* ---- rows of the table of objectives */

static const char by_itself[] = "kto,bco,beta_dpo,simpo,pl_dpo,tba,tdpo2";

static bool has(const char *list, const char *word)
{
    SCOPED_MEM char *inside = mem_printf(",%s,", list);
    SCOPED_MEM char *wanted = mem_printf(",%s,", word);
    return strstr(inside, wanted);
}

static bool is_chosen(const struct objective_row *row)
{
    const char *list = getenv("RLHFD_OBJECTIVES");
    return (list && strcmp(list, "all") == 0) || has(list ? list : by_itself, row->name);
}

static const char *rows_for(enum objective_data data)
{
    return data == DATA_PAIRS    ? "data.train=[a.jsonl, b.jsonl]"
           : data == DATA_LABELS ? "data.train=labels.jsonl"
                                 : "data.train=lists.jsonl";
}

/* More keys of the learner. The reference of whole rows is the learner's; here it moves. */
static const char *keys_for(const struct objective_row *row)
{
    if (objective_terms(row, &row->defaults) & ROW_TERMS_OF_REFERENCE)
        return ", reference: {kind: ema, sync_steps: 4}";
    return strcmp(row->name, "kto") == 0 ? ", kto: {anchor: mismatched}" : "";
}

/* Whether the log says that rlhfctl train does not take the row, or nobody does. */
static bool is_refused(const char *log)
{
    SCOPED_MEM char *text = file_text(log);
    return strstr(text, "rlhfctl train takes") || strstr(text, "no generator does");
}

/* Killed in rounds that no checkpoint covers. False: it cannot be trained so. */
static bool repeats(const struct place *place, const struct objective_row *row)
{
    SCOPED_MEM char *again = mem_printf("%s_again", row->name);
    const bool whole_rows = objective_terms(row, &row->defaults) & ROW_TERMS_OF_REFERENCE,
               refers = row->needs & COLUMN_BIT(COLUMN_REFERENCE_LOGP) && !whole_rows;
    SCOPED_MEM char *learner =
        mem_printf("learner={objective: %s, groups: 6, threads: 1, optimizer: {lr: 2e-3}%s}",
                   row->name, keys_for(row));
    const char *run = testing_path(place->directory, row->name),
               *killed = testing_path(place->directory, again),
               *log = testing_path(place->directory, "log"),
               *reference = refers ? "rewarder.reference=frozen" : "rewarder.reference=none";
    const char *words[] = {"train", place->recipe,  "--run",   run,     "--set",
                           learner, "--set",        reference, "--set", rows_for(row->data),
                           "--set", "eval.every=5", NULL};
    struct process train = process_start_words(log, "rlhfctl", words);
    const int status = process_wait(&train, RUN_MS);
    if (status && is_refused(log))
        return false;
    if (status)
        file_print_end(row->name, log);
    assert_int_equal(status, 0);
    words[3] = killed;
    train = process_start_words(log, "rlhfctl", words);
    wait_updates(killed, 7);
    process_kill(&train, SIGKILL);
    process_wait(&train, RUN_MS);
    train = process_start_words(log, "rlhfctl", words);
    assert_int_equal(process_wait(&train, RUN_MS), 0);
    assert_same_weights(run, killed);
    return true;
}

/* Values that objectives keep from update to update come back, too, and so do passes over
 * mismatched rows. By itself a row of each kind; RLHFD_OBJECTIVES=all: all that offline training
 * takes, or some by their names, "kto,exo". */
static void rows_of_objectives_repeat(void **state)
{
    const struct objective_row *row;
    int rows = 0;
    for (size_t i = 0; (row = objective_row_at(i)); i++)
        rows += is_chosen(row) && repeats(*state, row);
    assert_true(rows >= 7 || getenv("RLHFD_OBJECTIVES"));
    print_message("%d objectives\n", rows);
}

/* A reference of the learner's own that moves, and is in its checkpoints. */
static void a_reference_that_moves_comes_back(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "ema"),
               *killed = testing_path(place->directory, "ema_again"),
               *log = testing_path(place->directory, "log");
    static const char learner[] = "learner={objective: dpo, groups: 6, reference: {kind: ema, "
                                  "mixup_alpha: 0.5, sync_steps: 3}}";
    const char *const words[] = {"train", place->recipe, "--run", killed,
                                 "--set", learner,       "--set", "rewarder.reference=none",
                                 NULL};
    struct process train = process_start_words(log, "rlhfctl", words);
    wait_updates(killed, 7);
    process_kill(&train, SIGKILL);
    process_wait(&train, RUN_MS);
    for (int i = 0; i < 2; i++) {
        char *output;
        const int status =
            TRAIN(place, i ? killed : run, "--set", learner, "--set", "rewarder.reference=none");
        if (status)
            print_error("%s\n", output);
        free(output);
        assert_int_equal(status, 0);
    }
    assert_same_weights(run, killed);
    SCOPED_MEM char *text = text_in(run, "updates.jsonl");
    assert_non_null(strstr(text, "\"reference\":"));
}

static void an_adapter_has_its_base_as_reference(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "adapter");
    trains(place, run, "lora={r: 4}");
    assert_true(last_number(run, "evals.jsonl", "rewards_margin") > 0);
}

static void what_cannot_be_is_refused(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "plain");
    static const char row[] = "{\"prompt\": \"a\", \"completion\": \"b\"}\n";
    SCOPED_MEM char *path = file_join(place->directory, "demo.jsonl");
    assert_ok(file_write(path, row, strlen(row)));
    const struct {
        const char *run, *set, *says;
    } cases[] = {
        {run, "learner.dpo.beta=0.2", "was begun with learner.dpo.beta default, and now it is 0.2"},
        {run, "data.train=[b.jsonl, a.jsonl]", "was begun with data.train"},
        {"fresh", "data.train=demo.jsonl", "demo.jsonl:1: a prompt-completion row; allowed: pref"},
        {"fresh", "generator.max_tokens=1", "no row fits"},
        {"fresh", "learner.objective=rloo", "rloo trains completions that generators draw"},
        {"fresh", "train.chunks=61", "61 is more than the 60 rows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *output;
        SCOPED_MEM char *directory = file_join(place->directory, cases[i].run);
        const int status = TRAIN(place, directory, "--set", cases[i].set);
        if (!strstr(output, cases[i].says))
            print_error("%s: %s\n", cases[i].set, output);
        assert_non_null(strstr(output, cases[i].says));
        free(output);
        assert_true(status != 0);
    }
}

/* A digest that is not what the run had made: a file that changed, or a machine that errs. */
static void weights_that_do_not_repeat_are_told(void **state)
{
    const struct place *place = *state;
    char *output;
    const char *run = testing_path(place->directory, "forged");
    trains(place, run, "run.rounds=6");
    SCOPED_MEM char *text = text_in(run, "updates.jsonl");
    SCOPED_MEM char *path = file_join(run, "updates.jsonl");
    SCOPED_MEM char *newest = file_join(run, "checkpoints/v6");
    char *digest = strstr(strstr(text, "\"version\":5"), "\"policy\":\"") + 10;
    *digest = *digest == '0' ? '1' : '0';
    assert_ok(file_write(path, text, strlen(text)));
    assert_ok(file_remove_tree(newest));
    const int status = TRAIN(place, run, "--set", "run.rounds=6");
    assert_non_null(strstr(output, "version 5 was made as"));
    free(output);
    assert_true(status != 0);
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
        cmocka_unit_test(a_model_learns_to_prefer),
        cmocka_unit_test(how_it_is_computed_changes_no_bit),
        cmocka_unit_test(a_killed_run_comes_to_the_same_weights),
        cmocka_unit_test(a_chunk_has_the_model_before_it_as_reference),
        cmocka_unit_test(rows_of_objectives_repeat),
        cmocka_unit_test(a_reference_that_moves_comes_back),
        cmocka_unit_test(an_adapter_has_its_base_as_reference),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(weights_that_do_not_repeat_are_told),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
