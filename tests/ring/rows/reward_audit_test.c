/* rlhfctl reward audit by the real programs: models of folds are trained by the learner, score the
 * pairs that they do not know, and the flipped ones lead the list. An audit that is killed goes on,
 * and comes to the same list. */
#include "base/bytes.h"
#include "ring/rows/rows_kit.h"

enum { ROWS = 96, FLIP_EACH = 12, FLIPS = ROWS / FLIP_EACH };

struct place {
    const char *directory;
    char *recipe, *rows;
};

/* "yes" wins but where a row is flipped. Two words at the end say nothing. */
static void put_rows(const char *path)
{
    SCOPED_VALUE(bytes) text = {0};
    for (int i = 0; i < ROWS; i++) {
        const bool flipped = i % FLIP_EACH == 5;
        const char *yes = " yes it is", *no = i % 2 && !flipped ? " no" : " no not at all";
        bytes_printf(&text,
                     "{\"prompt\": \"is %d blue?\", \"chosen\": \"%s w%d w%d\", \"rejected\": "
                     "\"%s w%d w%d\", \"annotator\": \"%s\"}\n",
                     i, flipped ? no : yes, i * 7 % 20, i * 3 % 19, flipped ? yes : no, i * 11 % 20,
                     i * 5 % 19,
                     flipped ? "eve"
                     : i % 2 ? "ann"
                             : "bob");
    }
    assert_ok(file_write(path, text.data, text.len));
}

static struct place prepare(void)
{
    struct place place = {testing_directory(), NULL, NULL};
    place.recipe = testing_path(place.directory, "recipe.yaml");
    place.rows = testing_path(place.directory, "rows.jsonl");
    SCOPED_MEM char *model = file_join(place.directory, "model");
    static const char text[] = "run: {name: audit, rounds: 0}\n"
                               "model: {path: model}\n"
                               "data: {train: rows.jsonl, epochs: 4, max_prompt_tokens: 32}\n"
                               "generator: {max_tokens: 48}\n"
                               "learner: {objective: bradley_terry, groups: 6, threads: 1,\n"
                               "          reward_model: {pad_token: <|im_start|>},\n"
                               "          optimizer: {lr: 2e-3, schedule: linear}}\n"
                               "checkpoint: {every: 4, keep: 2}\n";
    new_model(model);
    put_rows(place.rows);
    assert_ok(file_write(place.recipe, text, sizeof text - 1));
    return place;
}

static int audit(const struct place *place, const char *run, const char *flag, const char *value,
                 char **ret_output)
{
    return process_run(ret_output, RUN_MS, "rlhfctl", "reward", "audit", place->recipe, "--run",
                       run, flag, value, NULL);
}

static void audits(const struct place *place, const char *run, const char *flag, const char *value)
{
    char *output;
    const int status = audit(place, run, flag, value, &output);
    if (status)
        print_error("exit status %d:\n%s\n", status, output);
    free(output);
    assert_int_equal(status, 0);
}

static json_t *suspect(const char *run, int number)
{
    SCOPED_MEM char *text = text_in(run, "suspects.jsonl");
    char *at = text, *line = strsep(&at, "\n");
    while (number-- > 0 && at)
        line = strsep(&at, "\n");
    json_t *object = json_loads(line, 0, NULL);
    assert_non_null(object);
    return object;
}

static const json_t *reason(const json_t *line, const char *key)
{
    return json_object_get(json_array_get(json_object_get(line, "reasons"), 0), key);
}

static void flipped_labels_lead_the_list(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "plain");
    audits(place, run, "--folds", "3");
    SCOPED_JSON json_t *last = suspect(run, 9); // a tenth, rounded up
    SCOPED_JSON json_t *after = suspect(run, 10);
    assert_string_equal(json_string_value(reason(last, "kind")), "label");
    assert_string_equal(json_string_value(reason(after, "kind")), "phrase"); // "yes" always wins
    for (int i = 0; i < FLIPS; i++) {
        SCOPED_JSON json_t *line = suspect(run, i);
        const json_t *row = json_object_get(line, "row");
        assert_string_equal(json_string_value(json_object_get(row, "annotator")), "eve");
        assert_int_equal(json_integer_value(json_object_get(line, "rank")), i + 1);
        assert_int_equal(json_integer_value(json_object_get(line, "line")) % FLIP_EACH, 6);
        assert_true(json_number_value(reason(line, "margin")) < 0);
        assert_true(json_number_value(reason(line, "flip")) > 0.5);
    }
}

/* Killed while its second fold is trained. The learner ends with it. */
static void a_killed_audit_goes_on(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "killed");
    const char *const words[] = {"reward", "audit",   place->recipe, "--run",
                                 run,      "--folds", "3",           NULL};
    SCOPED_MEM char *second = file_join(run, "folds/1-2");
    struct process killed =
        process_start_words(testing_path(place->directory, "log"), "rlhfctl", words);
    wait_updates(second, 6);
    process_kill(&killed, SIGKILL);
    assert_int_equal(process_wait(&killed, RUN_MS), 128 + SIGKILL);
    audits(place, run, "--folds", "3");
    SCOPED_MEM char *after = text_in(run, "suspects.jsonl");
    SCOPED_MEM char *plain = text_in(testing_path(place->directory, "plain"), "suspects.jsonl");
    assert_string_equal(after, plain);
}

/* "yes" wins nearly always. The models have learned that of it, and less of other words. */
static void phrases_are_probed(const char *report)
{
    SCOPED_JSON json_t *all = json_loads(report, 0, NULL);
    const json_t *phrase =
        json_array_get(json_object_get(json_object_get(all, "texts"), "phrases"), 0);
    const json_t *probe = json_object_get(phrase, "probe");
    const double raised = json_number_value(json_object_get(probe, "raised")),
                 error = json_number_value(json_object_get(probe, "error")),
                 control = json_number_value(json_object_get(probe, "control"));
    assert_non_null(strstr(json_string_value(json_object_get(phrase, "text")), "yes"));
    assert_int_equal(json_integer_value(json_object_get(probe, "texts")), 64);
    if (raised < 0.1 || raised < control + 2 * error)
        fail_msg("raised by %g +- %g, by others %g", raised, error, control);
}

/* Two deals give each pair two margins; one gives no deviation. */
static void repeats_tell_how_sure_a_margin_is(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "repeated");
    char *output;
    assert_int_equal(process_run(&output, RUN_MS, "rlhfctl", "reward", "audit", place->recipe,
                                 "--run", run, "--folds", "2", "--repeats", "2", "--json", NULL),
                     0);
    const char *report = strstr(output, "{\n  \"pairs\"");
    assert_non_null(report);
    phrases_are_probed(report);
    free(output);
    SCOPED_JSON json_t *first = suspect(run, 0);
    SCOPED_JSON json_t *plain = suspect(testing_path(place->directory, "plain"), 0);
    assert_true(json_number_value(reason(first, "deviation")) > 0);
    assert_true(json_number_value(reason(plain, "deviation")) == 0);
}

/* Then a model sees the longer answer win as often as the shorter. In the rows the longer one
 * wins all pairs that differ by two words, and 8 of those that differ by one. */
static void length_blind_models_see_no_length(void **state)
{
    const struct place *place = *state;
    const char *run = testing_path(place->directory, "blind");
    char *output;
    const int status = process_run(&output, RUN_MS, "rlhfctl", "reward", "audit", place->recipe,
                                   "--run", run, "--folds", "2", "--length-blind", NULL);
    if (status)
        fail_msg("exit status %d:\n%s", status, output);
    free(output);
    SCOPED_MEM char *rows = text_in(run, "folds/1-1/train.jsonl");
    int longer = 0, shorter = 0;
    for (char *line, *at = rows; (line = strsep(&at, "\n")) && *line;) {
        assert_null(strstr(line, "\" no w"));
        *(strstr(line, "\"eve\"") ? &longer : &shorter) += 1;
    }
    assert_true(longer >= 1 && longer <= FLIPS);
    if (shorter < 1 || shorter > 3 * longer + 3) // 40 in all, drawn to be as many
        fail_msg("%d won by the longer, %d by the shorter answer", longer, shorter);
    SCOPED_MEM char *held = text_in(run, "folds/1-1/held-out.jsonl");
    SCOPED_MEM char *other = text_in(run, "folds/1-2/held-out.jsonl");
    assert_int_equal(lines_of(held) + lines_of(other), ROWS); // all are scored
}

/* A model of its own in place of folds, which a run without --run takes too. */
static void a_given_model_judges(void **state)
{
    const struct place *place = *state;
    SCOPED_MEM char *model =
        file_join(testing_path(place->directory, "plain"), "folds/1-1/checkpoints/latest");
    char *output;
    const int status = process_run(&output, RUN_MS, "rlhfctl", "reward", "audit", "--data",
                                   place->rows, "--model", model, "--share", "0.05", NULL);
    if (status)
        fail_msg("exit status %d:\n%s", status, output);
    assert_non_null(strstr(output, "listed 5"));
    free(output);
}

static void refuses(const struct place *place, const char *flag, const char *value,
                    const char *want)
{
    char *output;
    const int status =
        audit(place, testing_path(place->directory, "refused"), flag, value, &output);
    if (!strstr(output, want))
        fail_msg("%s %s: not '%s' but:\n%s", flag, value, want, output);
    free(output);
    assert_int_not_equal(status, 0);
}

static void what_it_refuses(void **state)
{
    const struct place *place = *state;
    refuses(place, "--folds", "1", "allowed: 0, which trains none, and 2 to 64");
    refuses(place, "--folds", "65", "--folds: '65' is not a whole number from 0 to 64");
    refuses(place, "--set", "learner.objective=sft", "rlhfd-learner said why");
    refuses(place, "--data", "/nowhere.jsonl", "/nowhere.jsonl");
    refuses(place, "--model", "/nowhere", "reward model '/nowhere'");
}

int main(void)
{
    struct place place = prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(flipped_labels_lead_the_list, &place),
        cmocka_unit_test_prestate(a_killed_audit_goes_on, &place),
        cmocka_unit_test_prestate(repeats_tell_how_sure_a_margin_is, &place),
        cmocka_unit_test_prestate(length_blind_models_see_no_length, &place),
        cmocka_unit_test_prestate(a_given_model_judges, &place),
        cmocka_unit_test_prestate(what_it_refuses, &place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
