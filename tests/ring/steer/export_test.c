/* A run's completions as text, and its figures as a table and as an event file of TensorBoard. */
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

enum { ROUNDS = 4, GROUPS = 8, SAMPLED = 3, COMPLETIONS = 4, RUN_MS = 60000 };

static char *run_text(const struct ring *ring, const char *name)
{
    SCOPED_MEM char *path = file_join(ring->run, name);
    return file_text(path);
}

/* Every line's object, in order. */
static json_t *lines_of(const char *text)
{
    json_t *all = json_array();
    while (*text) {
        const size_t len = strcspn(text, "\n");
        json_t *line = json_loadb(text, len, 0, NULL);
        assert_true(json_is_object(line));
        json_array_append_new(all, line);
        text += len + (text[len] == '\n');
    }
    return all;
}

static double number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_number(value))
        fail_msg("no %s", name);
    return json_number_value(value);
}

static void assert_samples(const struct ring *ring)
{
    SCOPED_MEM char *text = run_text(ring, "samples.jsonl");
    SCOPED_JSON json_t *samples = lines_of(text);
    size_t i;
    json_t *one;
    assert_int_equal(json_array_size(samples), ROUNDS * SAMPLED * COMPLETIONS);
    json_array_foreach (samples, i, one) {
        const json_t *scores = json_object_get(one, "scores");
        assert_near(number(one, "round"), (double)(i / (SAMPLED * COMPLETIONS)), 0);
        assert_near(number(one, "version"), number(one, "round") + 1, 0);
        assert_true(json_is_string(json_object_get(one, "completion")));
        const char *prompt = json_string_value(json_object_get(one, "prompt"));
        assert_true(prompt && prompt[strlen(prompt) - 1] == '>'); // as the rows have it
        assert_int_equal(json_object_size(scores), 2);
        assert_near(number(one, "reward"), (number(scores, "exact") + number(scores, "length")) / 2,
                    1e-12);
    }
}

static const json_t *round_line(const json_t *rounds, size_t i)
{
    const json_t *line = json_array_get(rounds, i);
    assert_near(number(line, "round"), (double)i, 0);
    return line;
}

/* A header, then a row for each round, with the numbers of metrics.jsonl. */
static void assert_table(const struct ring *ring, const json_t *rounds)
{
    char *csv = NULL, *rest = NULL;
    assert_int_equal(process_run(&csv, RUN_MS, "rlhfctl", "export", "csv", ring->run, NULL), 0);
    SCOPED_MEM char *text = csv;
    char *header = strtok_r(text, "\n", &rest);
    size_t column = 0, columns = 1;
    const char *at = strstr(header, "reward_mean");
    assert_non_null(at);
    for (const char *c = header; *c; c++) {
        column += c < at && *c == ',';
        columns += *c == ',';
    }
    for (size_t i = 0; i < ROUNDS; i++) {
        char *row = strtok_r(NULL, "\n", &rest);
        size_t cells = 1;
        const char *cell = row;
        assert_non_null(row);
        for (char *c = row; *c; c++)
            if (*c == ',' && cells++ == column)
                cell = c + 1;
        assert_int_equal(cells, columns);
        assert_near(strtod(cell, NULL), number(round_line(rounds, i), "reward_mean"), 0);
    }
    assert_null(strtok_r(NULL, "\n", &rest));
}

/* Read by a reader that shares nothing with the writer. */
static void assert_events(const struct ring *ring, const json_t *rounds)
{
    char *said = NULL, *read = NULL;
    assert_int_equal(
        process_run(&said, RUN_MS, "rlhfctl", "export", "tensorboard", ring->run, NULL), 0);
    free(said);
    SCOPED_MEM char *path = file_join(ring->run, "tensorboard/events.out.tfevents.0.rlhfd");
    assert_int_equal(
        process_run(&read, RUN_MS, TEST_GOLDEN "/../testing/read_events.py", path, NULL), 0);
    SCOPED_MEM char *text = read;
    SCOPED_JSON json_t *events = lines_of(text);
    const json_t *first = json_array_get(events, 0);
    assert_string_equal(json_string_value(json_object_get(first, "file_version")), "brain.Event:2");
    for (size_t i = 0; i < ROUNDS; i++) {
        const json_t *event = json_array_get(events, i + 1), *line = round_line(rounds, i);
        const json_t *values = json_object_get(event, "values");
        assert_near(number(event, "step"), (double)i, 0);
        assert_near(number(event, "wall_time") - number(first, "wall_time"), number(line, "time_s"),
                    1e-5);
        assert_near(number(values, "train/reward_mean"), (double)(float)number(line, "reward_mean"),
                    0);
        assert_null(json_object_get(values, "train/idle_cause")); // no number
    }
    const json_t *eval = json_array_get(events, ROUNDS + 1); // evaluations follow
    assert_true(number(json_object_get(eval, "values"), "eval/success") >= 0);
    assert_true(number(json_object_get(eval, "values"), "eval/scores/exact") >= 0);
}

/* Rounds that a rollback cut off are no rows. */
static void assert_history(const struct ring *ring)
{
    char *csv = NULL;
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    SCOPED_MEM char *text = file_text(path);
    SCOPED_MEM char *more = mem_printf(
        "%s{\"rollback\": true, \"lineage\": 2, \"parent\": 1, \"version\": 1, \"rounds\": 1, "
        "\"time_s\": 9}\n{\"round\": 1, \"reward_mean\": 0.125, \"note\": \"a, \\\"b\\\"\"}\n{\"ro",
        text);
    assert_ok(file_write(path, more, strlen(more)));
    assert_int_equal(process_run(&csv, RUN_MS, "rlhfctl", "export", "csv", ring->run, NULL), 0);
    SCOPED_MEM char *table = csv;
    size_t rows = 0;
    for (const char *c = table; *c; c++)
        rows += *c == '\n';
    assert_int_equal(rows, 1 + 2); // the header, rounds 0 and 1
    assert_non_null(strstr(table, ",\"a, \"\"b\"\"\"\n"));
}

static void a_run_is_written_out(void **state)
{
    (void)state;
    const struct ring ring =
        ring_prepare(&(struct ring_options){.rounds = ROUNDS,
                                            .groups = GROUPS,
                                            .learner = "objective: rloo, samples: 3",
                                            .extra = "eval: {every: 2, prompts: 8}\n"});
    struct process up =
        process_start(ring.log, "rlhfctl", "up", ring.recipe, "--run", ring.run, NULL);
    assert_int_equal(process_wait(&up, RUN_MS), 0);
    SCOPED_MEM char *text = run_text(&ring, "metrics.jsonl");
    SCOPED_JSON json_t *rounds = lines_of(text);
    assert_samples(&ring);
    assert_table(&ring, rounds);
    assert_events(&ring, rounds);
    assert_history(&ring);
    assert_int_equal(process_run(NULL, RUN_MS, "rlhfctl", "export", "csv", "/nonexistent", NULL),
                     3);
}

TESTS(cmocka_unit_test(a_run_is_written_out))
