#include "testing/ring.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "testing/process.h"
#include "testing/testing.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WORD = 5, MAX_TOKENS = 8 };

static int by_letter(const void *a, const void *b)
{
    return *(const char *)a - *(const char *)b;
}

static void write_prompts(const char *path, const struct ring_options *options)
{
    struct bytes text = {0};
    int rows = options->prompts ? options->prompts : 200;
    for (int i = 0; i < rows; i++) {
        struct rng rng = rng_keyed(7, RNG_TEST, (uint64_t)i, 0);
        char word[WORD + 1] = "", sorted[WORD + 1] = "";
        for (int c = 0; c < WORD; c++)
            word[c] = sorted[c] = (char)('a' + rng_below(&rng, (uint64_t)c, 26));
        qsort(sorted, WORD, 1, by_letter);
        bool slow = rng_below(&rng, 100, 1000) < (uint64_t)options->slow_permille;
        bytes_printf(&text, "{\"prompt\": \"%s>\", \"completion\": \"%s\"%s}\n", word, sorted,
                     slow ? ", \"max_tokens\": 160, \"ignore_eos\": true" : "");
    }
    assert_ok(file_write(path, text.data, text.len));
    bytes_done(&text);
}

static void run_or_fail(int status, char *output, const char *what)
{
    if (status)
        print_error("%s: exit status %d:\n%s\n", what, status, output);
    free(output);
    assert_int_equal(status, 0);
}

struct ring ring_prepare(const struct ring_options *options)
{
    struct ring ring = {.directory = testing_directory(), .options = *options};
    ring.recipe = testing_path(ring.directory, "recipe.yaml");
    ring.run = testing_path(ring.directory, "run");
    ring.log = testing_path(ring.directory, "log");
    ring.model = testing_path(ring.directory, "model");
    char *prompts = file_join(ring.directory, "train.jsonl"), *output;
    write_prompts(prompts, options);
    int status = process_run(&output, 60000, "rlhfctl", "tokenizer", "train", prompts, "--alphabet",
                             "data", "--vocab", "29", "--out", ring.model, NULL);
    run_or_fail(status, output, "tokenizer train");
    status = process_run(&output, 60000, "rlhfctl", "model", "new", ring.model, "--layers", "2",
                         "--width", "32", "--heads", "2", "--ff", "64", "--max-positions", "256",
                         "--seed", "3", NULL);
    run_or_fail(status, output, "model new");
    char *recipe = mem_printf(
        "run: {name: test, seed: 1, rounds: %d}\n"
        "model: {path: model}\n"
        "data: {train: train.jsonl, eval: train.jsonl, epochs: %d}\n"
        "generator: {slots: 64, num_generations: 4, max_tokens: %d%s}\n"
        "rewarder: {%sscorers: %s}\n"
        "learner: {%s, groups: %d, micro_tokens: 1024, optimizer: {lr: 1e-3}}\n"
        "lag: {max: %d, straggler: %s}\n"
        "checkpoint: {every: 4, keep: 2}\n%s",
        options->rounds, options->epochs, MAX_TOKENS, options->generator ? options->generator : "",
        options->rewarder ? options->rewarder : "",
        options->scorers
            ? options->scorers
            : "[{kind: exact, column: completion, weight: 0.5}, {kind: length, min: 1, max: 6, weight: 0.5}]",
        options->learner ? options->learner : "objective: rloo", options->groups, options->lag,
        options->straggler ? options->straggler : "wait", options->extra ? options->extra : "");
    assert_ok(file_write(ring.recipe, recipe, strlen(recipe)));
    free(recipe);
    free(prompts);
    return ring;
}

static double figure(const json_t *line, const char *name)
{
    const json_t *value = json_object_get(line, name);
    return json_is_number(value) ? json_number_value(value) : 0;
}

struct ring_result ring_read(const struct ring *ring)
{
    char *path = file_join(ring->run, "metrics.jsonl"), *text = file_text(path), *rest = NULL;
    struct ring_result result = {0};
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *object = json_loads(line, 0, NULL);
        if (!object)
            break; // still being written
        if (json_is_true(json_object_get(object, "rollback"))) {
            result.rollbacks++;
            result.rounds = (int)figure(object, "rounds");
            continue;
        }
        assert_int_equal((int)figure(object, "round"), result.rounds);
        double lag = figure(object, "lag_max");
        result.rounds++;
        result.lag_max = fmax(result.lag_max, lag);
        result.lag_histogram[lag < 15 ? (int)lag : 15]++;
        result.lag_mean += figure(object, "lag_mean");
        result.logp_compared += figure(object, "logp_compared");
        result.logp_differing += figure(object, "logp_differing");
        result.stale += figure(object, "stale");
        result.learner_idle_s += result.last_idle_s = figure(object, "learner_idle_s");
        result.learner_busy_s += result.last_busy_s = figure(object, "learner_busy_s");
        result.generator_idle_s += figure(object, "generator_idle_s");
        result.generator_busy_s += figure(object, "generator_busy_s");
    }
    if (result.rounds)
        result.lag_mean /= result.rounds;
    free(text);
    free(path);
    return result;
}

void ring_wait_rounds(const struct ring *ring, int rounds, int timeout_ms)
{
    for (int64_t until = clock_ms() + timeout_ms; clock_ms() < until; clock_sleep_ms(20))
        if (ring_read(ring).rounds >= rounds)
            return;
    char *log = file_text(ring->log);
    print_error("fewer than %d rounds after %d ms:\n%s\n", rounds, timeout_ms, log);
    free(log);
    fail();
}

int ring_pid(const struct ring *ring, const char *daemon)
{
    char *path = file_join(ring->run, "endpoints.json");
    SCOPED_JSON json_t *endpoints = NULL;
    assert_ok(json_read_file(path, 1 << 20, &endpoints));
    free(path);
    int pid = (int)json_integer_value(json_object_get(json_object_get(endpoints, daemon), "pid"));
    assert_true(pid > 1);
    return pid;
}

void ring_audit(const struct ring *ring)
{
    char *output;
    int status = process_run(&output, 60000, "rlhfd-learner", ring->recipe, "--run", ring->run,
                             "--job", "audit", NULL);
    if (!status)
        print_message("%s", output);
    run_or_fail(status, output, "audit");
}
