/* Evaluation beside training: what it says is what `rlhfctl eval` says of the same weights,
 * training does not notice it, and it survives the death of whoever has a part in it. */
#include "base/clock.h"
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

enum { RUN_MS = 120000, LINES_MAX = 64, ROUNDS = 20, EVERY = 5 };

struct line {
    int version, round, prompts, failed, skipped;
    double success, reward, length, exact;
};

struct lines {
    int count;
    struct line at[LINES_MAX];
};

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static struct lines read_lines(const struct ring *ring)
{
    struct lines lines = {0};
    SCOPED_MEM char *path = file_join(ring->run, "evals.jsonl");
    SCOPED_MEM char *text = file_text(path);
    char *rest = NULL;
    for (char *l = strtok_r(text, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *o = json_loads(l, 0, NULL);
        if (!o)
            break; // still being written
        assert_true(lines.count < LINES_MAX);
        lines.at[lines.count++] =
            (struct line){.version = (int)number(o, "version"),
                          .round = (int)number(o, "round"),
                          .prompts = (int)number(o, "prompts"),
                          .failed = (int)number(o, "failed"),
                          .skipped = (int)number(o, "skipped"),
                          .success = number(o, "success"),
                          .reward = number(o, "reward_mean"),
                          .length = number(o, "length_mean"),
                          .exact = number(json_object_get(o, "scores"), "exact")};
    }
    return lines;
}

/* Success is to be short: a part of what an untrained model says is, and of a trained one's all. */
static struct ring prepare(int lag, int every, int prompts)
{
    char extra[64];
    snprintf(extra, sizeof extra, "eval: {every: %d, prompts: %d}\n", every, prompts);
    return ring_prepare(&(struct ring_options){
        .rounds = ROUNDS,
        .groups = 8,
        .lag = lag,
        .scorers = "[{kind: exact, column: completion, weight: 0.5, success: 0}, "
                   "{kind: length, min: 1, max: 4, weight: 0.5}]",
        .extra = extra});
}

static void write_prompts(const struct ring *ring, int count)
{
    SCOPED_MEM char *path = file_join(ring->directory, "eval.jsonl");
    SCOPED_VALUE(bytes) text = {0};
    for (int i = 0; i < count; i++)
        bytes_printf(&text, "{\"prompt\": \"%c%c%c>\", \"completion\": \"a\"}\n", 'a' + i % 26,
                     'a' + i / 26 % 26, 'a' + i / 676 % 26);
    assert_ok(file_write(path, text.data, text.len));
}

#define SETTINGS                                                                                   \
    "--set", "data.eval=eval.jsonl", "--set", "data.max_prompt_tokens=16", "--set",                \
        "checkpoint.every=5", "--set", "checkpoint.keep=9"

static struct process start(const struct ring *ring)
{
    return process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run, SETTINGS,
                         NULL);
}

static void assert_ends(const struct ring *ring, struct process *up)
{
    int status = process_wait(up, RUN_MS);
    if (status) {
        SCOPED_MEM char *log = file_text(ring->log);
        print_error("rlhfctl up: exit status %d\n%s\n", status, log);
    }
    assert_int_equal(status, 0);
    assert_int_equal(ring_read(ring).rounds, ROUNDS);
    ring_audit(ring);
}

/* Every EVERY rounds a version is due, the first before any: each has its line or is counted as
 * passed over in the next one; the first and the last always have one. */
static void assert_accounted(const struct lines *lines, int prompts)
{
    int skipped = 0;
    for (int i = 0; i < lines->count; i++) {
        const struct line *l = &lines->at[i];
        print_message("version %d: success %.4f reward %.4f length %.2f skipped %d\n", l->version,
                      l->success, l->reward, l->length, l->skipped);
        assert_int_equal(l->round, l->version);
        assert_int_equal(l->version % EVERY, 0);
        assert_true(i == 0 || l->version > lines->at[i - 1].version);
        assert_int_equal(l->prompts, prompts);
        assert_int_equal(l->failed, 0);
        skipped += l->skipped;
    }
    assert_true(lines->count >= 2);
    assert_int_equal(lines->at[0].version, 0);
    assert_int_equal(lines->at[lines->count - 1].version, ROUNDS);
    assert_int_equal(lines->count + skipped, ROUNDS / EVERY + 1);
}

/* `rlhfctl eval` of the version's checkpoint, or of the first weights: every figure from the lines
 * it writes. */
static struct line evaluated_apart(const struct ring *ring, int version)
{
    char name[64];
    snprintf(name, sizeof name, "checkpoints/v%d", version);
    SCOPED_MEM char *checkpoint = file_join(ring->run, name);
    SCOPED_MEM char *out = file_join(ring->directory, "out.jsonl");
    char *output, *rest = NULL;
    int status = process_run(&output, RUN_MS, "rlhfctl", "eval", ring->recipe, SETTINGS, "--model",
                             version ? checkpoint : ring->model, "--out", out, NULL);
    if (status)
        print_error("rlhfctl eval: exit status %d:\n%s\n", status, output);
    free(output);
    assert_int_equal(status, 0);
    SCOPED_MEM char *text = file_text(out);
    struct line sum = {.version = version};
    double count = 0;
    for (char *l = strtok_r(text, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest), count++) {
        SCOPED_JSON json_t *o = json_loads(l, JSON_ALLOW_NUL, NULL);
        assert_non_null(o);
        sum.reward += number(o, "reward");
        sum.length += number(o, "tokens");
        sum.success += json_number_value(json_array_get(json_object_get(o, "scores"), 1)) >= 1;
    }
    sum.reward /= count;
    sum.length /= count;
    sum.success /= count;
    return sum;
}

static void assert_same_apart(const struct ring *ring, const struct lines *lines)
{
    for (int i = 0; i < lines->count; i++) {
        struct line apart = evaluated_apart(ring, lines->at[i].version);
        assert_near(lines->at[i].success, apart.success, 0);
        assert_near(lines->at[i].reward, apart.reward, 1e-12); // 15 digits are written
        assert_near(lines->at[i].length, apart.length, 1e-12);
    }
}

static void final_weights(const struct ring *ring, char ret[64])
{
    SCOPED_MEM char *path = file_join(ring->run, "checkpoints/latest/manifest.json");
    SCOPED_JSON json_t *manifest = NULL;
    assert_ok(json_read_file(path, 1 << 20, &manifest));
    assert_int_equal(json_integer_value(json_object_get(manifest, "version")), ROUNDS);
    snprintf(ret, 64, "%s", json_string_value(json_object_get(manifest, "weights")));
}

static void training_is_the_same_with_and_without(void **state)
{
    (void)state;
    char weights[2][64];
    for (int with = 0; with < 2; with++) {
        struct ring ring = prepare(0, with ? EVERY : 0, 50);
        write_prompts(&ring, 60);
        struct process up = start(&ring);
        assert_ends(&ring, &up);
        final_weights(&ring, weights[with]);
        struct lines lines = read_lines(&ring);
        assert_int_equal(lines.count > 0, with);
        if (!with)
            continue;
        assert_accounted(&lines, 50);
        assert_same_apart(&ring, &lines);
        assert_true(lines.at[0].success > 0 && lines.at[0].success < 1);
        assert_true(lines.at[0].reward != lines.at[lines.count - 1].reward);
    }
    assert_string_equal(weights[0], weights[1]);
}

/* So many prompts that the first version is still evaluated when training is some rounds further:
 * versions in between give way, and a generator that dies has surely left some of them undone. */
static void a_killed_generator_loses_no_evaluation(void **state)
{
    (void)state;
    enum { PROMPTS = 8000 };
    struct ring ring = prepare(1, EVERY, PROMPTS);
    write_prompts(&ring, PROMPTS);
    struct process up = start(&ring);
    ring_wait_rounds(&ring, 2, RUN_MS);
    assert_int_equal(read_lines(&ring).count, 0);
    kill(ring_pid(&ring, "generator"), SIGKILL);
    ring_wait_rounds(&ring, ROUNDS, RUN_MS);
    kill(ring_pid(&ring, "rewarder"), SIGKILL);
    kill(ring_pid(&ring, "generator"), SIGKILL);
    assert_ends(&ring, &up);
    struct lines lines = read_lines(&ring);
    assert_accounted(&lines, PROMPTS);
    assert_same_apart(&ring, &lines);
}

/* It trains the rounds after its checkpoint again and comes by their versions again; none is
 * evaluated twice. */
static void a_killed_learner_evaluates_no_version_twice(void **state)
{
    (void)state;
    struct ring ring = prepare(1, EVERY, 100);
    write_prompts(&ring, 100);
    struct process up = start(&ring);
    ring_wait_rounds(&ring, 8, RUN_MS);
    kill(ring_pid(&ring, "learner"), SIGKILL);
    ring_wait_rounds(&ring, 16, RUN_MS);
    kill(ring_pid(&ring, "learner"), SIGKILL);
    assert_ends(&ring, &up);
    struct lines lines = read_lines(&ring);
    assert_true(lines.count >= 1);
    for (int i = 1; i < lines.count; i++)
        assert_true(lines.at[i].version > lines.at[i - 1].version);
    assert_int_equal(lines.at[lines.count - 1].version, ROUNDS);
    assert_same_apart(&ring, &lines);
}

/* A prompt that is no text, or longer than data.max_prompt_tokens, cannot be decoded; the others
 * count all the same, and the run ends. */
static void a_prompt_that_cannot_be_decoded_is_counted(void **state)
{
    (void)state;
    struct ring ring = prepare(1, ROUNDS, 4);
    static const char rows[] = "{\"prompt\": \"dcba>\", \"completion\": \"abcd\"}\n"
                               "{\"question\": \"dcba>\", \"completion\": \"abcd\"}\n"
                               "{\"prompt\": \"abcdefghijklmnop>\", \"completion\": \"a\"}\n"
                               "{\"prompt\": \"ba>\"}\n"; // exact has nothing to compare with
    SCOPED_MEM char *path = file_join(ring.directory, "eval.jsonl");
    assert_ok(file_write(path, rows, sizeof rows - 1));
    struct process up = start(&ring);
    assert_ends(&ring, &up);
    struct lines lines = read_lines(&ring);
    assert_int_equal(lines.count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(lines.at[i].version, i * ROUNDS);
        assert_int_equal(lines.at[i].prompts, 4);
        assert_int_equal(lines.at[i].failed, 3);
    }
}

/* A new model whose tokens are single bytes, zero among them: hardly a completion is UTF-8. */
static struct ring prepare_bytes(void)
{
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = ROUNDS,
        .groups = 8,
        .lag = 0,
        .scorers = "[{kind: length, unit: characters, min: 1, max: 4, weight: 0.5, success: 0}, "
                   "{kind: format, pattern: '(?s).{7,8}', weight: 0.5}]",
        .extra = "eval: {every: 5, prompts: 50}\n"});
    SCOPED_MEM char *rows = file_join(ring.directory, "train.jsonl");
    SCOPED_MEM char *recipe = file_text(ring.recipe);
    ring.model = testing_path(ring.directory, "bytes");
    assert_int_equal(process_run(NULL, RUN_MS, "rlhfctl", "tokenizer", "train", rows, "--vocab",
                                 "258", "--out", ring.model, NULL),
                     0);
    assert_int_equal(process_run(NULL, RUN_MS, "rlhfctl", "model", "new", ring.model, "--layers",
                                 "2", "--width", "32", "--heads", "2", "--ff", "64",
                                 "--max-positions", "256", NULL),
                     0);
    char *name = strstr(recipe, "path: model}");
    assert_non_null(name);
    memcpy(name, "path: bytes}", 12);
    assert_ok(file_write(ring.recipe, recipe, strlen(recipe)));
    return ring;
}

static void bytes_that_are_no_text_score_alike(void **state)
{
    (void)state;
    struct ring ring = prepare_bytes();
    write_prompts(&ring, 60);
    struct process up = start(&ring);
    assert_ends(&ring, &up);
    struct lines lines = read_lines(&ring);
    assert_accounted(&lines, 50);
    assert_same_apart(&ring, &lines);
    assert_true(lines.at[0].success > 0.5); // as characters, not as bytes that match nothing
}

TESTS(cmocka_unit_test(bytes_that_are_no_text_score_alike),
      cmocka_unit_test(training_is_the_same_with_and_without),
      cmocka_unit_test(a_killed_generator_loses_no_evaluation),
      cmocka_unit_test(a_killed_learner_evaluates_no_version_twice),
      cmocka_unit_test(a_prompt_that_cannot_be_decoded_is_counted))
