/* `rlhfctl check` finds what the daemons would find at their start and after it, names the place,
 * and writes nothing. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/recipe/preset.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { SETS = 4 };

static int run_check(const struct ring *ring, const char *const *set, char **ret_output)
{
    const char *words[2 * SETS];
    for (size_t i = 0; i < SETS; i++) {
        words[2 * i] = "--set";
        words[2 * i + 1] = set[i] ? set[i] : "run.seed=1";
    }
    return process_run(ret_output, 60000, "rlhfctl", "check", ring->recipe, "--run", ring->run,
                       words[0], words[1], words[2], words[3], words[4], words[5], words[6],
                       words[7], NULL);
}

/* One line that has `part`, and status 2 or 3. */
static void refuses(const struct ring *ring, const char *const *set, const char *part)
{
    char *output;
    const int status = run_check(ring, set, &output);
    const char *newline = strchr(output, '\n');
    if (status < 2 || status > 4 || !newline || newline[1] || !strstr(output, part))
        print_error("%s: status %d, wanted '%s':\n%s\n", set[0] ? set[0] : "", status, part,
                    output);
    assert_in_range(status, 2, 4);
    assert_true(newline && !newline[1]);
    assert_non_null(strstr(output, part));
    assert_false(file_exists(ring->run));
    free(output);
}

/* "in order" in its last line; `part` above it, if there is one. */
static void accepts(const struct ring *ring, const char *const *set, const char *part)
{
    char *output;
    const int status = run_check(ring, set, &output);
    if (status || !strstr(output, ": in order\n") || (part && !strstr(output, part)))
        print_error("%s: status %d, wanted '%s':\n%s\n", set[0] ? set[0] : "", status,
                    part ? part : "", output);
    assert_int_equal(status, 0);
    assert_non_null(strstr(output, ": in order\n"));
    assert_true(!part || strstr(output, part));
    assert_false(file_exists(ring->run));
    free(output);
}
#define REFUSES(part, ...) refuses(&ring, (const char *const[SETS]){__VA_ARGS__}, part)
#define ACCEPTS(part, ...) accepts(&ring, (const char *const[SETS]){__VA_ARGS__}, part)

static struct ring small_ring(void)
{
    return ring_prepare(&(struct ring_options){.rounds = 6, .groups = 8, .lag = 1});
}

static void scorers_that_cannot_score(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    ACCEPTS(NULL, NULL);
    REFUSES("--set: rewarder.scorers[0]: kind 'regex': pattern: '(': at byte 1: missing",
            "rewarder.scorers=[{kind: regex, pattern: '('}]");
    REFUSES("using \\C is disabled", "rewarder.scorers=[{kind: regex, pattern: '\\C'}]");
    REFUSES("rewarder.scorers[1]: kind 'length': min, max: are 5, 2",
            "rewarder.scorers=[{kind: length, max: 9}, {kind: length, min: 5, max: 2}]");
    REFUSES("kind 'length' needs max", "rewarder.scorers=[{kind: length}]");
    REFUSES("kind 'exact' needs column", "rewarder.scorers=[{kind: exact}]");
    REFUSES("kind 'regex' needs pattern", "rewarder.scorers=[{kind: regex}]");
    REFUSES("needs a pattern, or eos: true", "rewarder.scorers=[{kind: format}]");
    REFUSES("kind 'rouge' does not read strip",
            "rewarder.scorers=[{kind: rouge, column: completion, strip: true}]");
    REFUSES("--set: rewarder.scorers[0].colum: kind 'exact' does not read colum, did you mean "
            "'column'?; allowed: column, strip, deadline_ms, attempts",
            "rewarder.scorers=[{kind: exact, colum: completion}]");
    REFUSES("rewarder.scorers[0].kind: 'exat' is not known, did you mean 'exact'?; allowed: exact, "
            "regex, format, length, rouge",
            "rewarder.scorers=[{kind: exat}]");
    REFUSES("--set: rewarder.scorers[0].min: '-1' is out of range; allowed: a whole number from 0",
            "rewarder.scorers=[{kind: length, min: -1, max: 2}]");
    REFUSES("--set: rewarder.reference.attempts: '0' is out of range",
            "rewarder.reference={kind: frozen, attempts: 0}");
    ACCEPTS(NULL, "rewarder.scorers=[{kind: exact, column: completion, deadline_ms: 5000, "
                  "attempts: 1, pattern: '', min: 0}]");
    REFUSES("rewarder.scorers[0].weight: 'nan'",
            "rewarder.scorers=[{kind: length, max: 9, weight: nan}]");
    REFUSES("data.train: none of the first 200 rows can be scored: ",
            "rewarder.scorers=[{kind: exact, column: nope}]");
    REFUSES("has no column 'nope'", "rewarder.scorers=[{kind: exact, column: nope}]");
}

/* Learner and rewarder would reject each of them, after all its decoding. */
static void groups_that_no_message_has_room_for(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *output;
    assert_int_equal(process_run(&output, 60000, "rlhfctl", "model", "new", ring.model, "--layers",
                                 "1", "--width", "32", "--heads", "2", "--ff", "64",
                                 "--max-positions", "65536", NULL),
                     0);
    free(output);
    REFUSES("--set: generator.max_tokens: 9000 is too many for 1024 completions of a prompt "
            "(generator.num_generations): a group would have up to ",
            "generator.num_generations=1024", "generator.slots=1024", "generator.max_tokens=9000");
    REFUSES("and 67108864 are allowed; at most ", "generator.num_generations=1024",
            "generator.slots=1024", "generator.max_tokens=9000");
    ACCEPTS(NULL, "generator.num_generations=1024", "generator.slots=1024",
            "generator.max_tokens=4000");
}

/* The line is that of the key. */
static void the_place_is_the_keys(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 6,
        .groups = 8,
        .lag = 1,
        .scorers =
            "[{kind: exact, column: completion},\n  {kind: length, min: 1,\n   maximum: 4}]"});
    char *text = file_text(ring.recipe), *at = strstr(text, "maximum"), *output;
    int line = 1;
    for (const char *p = text; p < at; p++)
        line += *p == '\n';
    SCOPED_MEM char *says = mem_printf(
        "recipe.yaml:%d: rewarder.scorers[1].maximum: kind 'length' does not read", line);
    REFUSES(says, NULL);
    free(text);
    /* The docs that are checked in, by the program that writes them. */
    SCOPED_MEM char *docs = file_text(TEST_GOLDEN "/../../docs/recipe.md");
    assert_int_equal(process_run(&output, 60000, "rlhfctl", "recipe", NULL), 0);
    assert_string_equal(output, docs);
    free(output);
}

/* As rlhfctl prints it, with a small model that has room for fewer tokens. */
static void check_preset(const struct ring *ring, const char *name)
{
    char *yaml, *output;
    SCOPED_MEM char *path = mem_printf("%s/%s.yaml", ring->directory, name),
                    *model = mem_printf("model.path=%s", ring->model),
                    *train = mem_printf("data.train=%s/train.jsonl", ring->directory);
    assert_int_equal(process_run(&yaml, 60000, "rlhfctl", "recipe", "--preset", name, NULL), 0);
    assert_ok(file_write(path, yaml, strlen(yaml)));
    const int status = process_run(&output, 60000, "rlhfctl", "check", path, "--run", ring->run,
                                   "--set", model, "--set", train, "--set",
                                   "data.max_prompt_tokens=16", "--set", "generator.max_tokens=8",
                                   "--set", "rewarder.scorers=[{kind: length, max: 9}]", NULL);
    if (status || !strstr(output, ": in order\n"))
        fail_msg("%s: status %d: %s", name, status, output);
    free(yaml);
    free(output);
}

static void each_preset_is_in_order(void **)
{
    struct ring ring = small_ring();
    const struct preset *preset;
    for (size_t i = 0; (preset = preset_at(i)); i++)
        check_preset(&ring, preset->name);
}

/* The rewarder says the same at its own start. */
static void a_rewarder_that_is_started_by_hand(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    char *output;
    const int status = process_run(&output, 60000, "rlhfd-rewarder", ring.recipe, "--set",
                                   "rewarder.scorers=[{kind: length, min: 5, max: 2}]", "--set",
                                   "rewarder.listen=127.0.0.1:0", NULL);
    assert_int_not_equal(status, 0);
    assert_non_null(strstr(output, "--set: rewarder.scorers[0]: kind 'length': min, max: are 5"));
    free(output);
}

static void generators_that_cannot_decode(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    REFUSES("--set: generator.stop_tokens: stop token '<nope>' is not in the tokenizer",
            "generator.stop_tokens=['<nope>']");
    REFUSES("--set: generator.slots: 2 is too few", "generator.slots=2",
            "generator.num_generations=4");
    REFUSES("--set: generator.max_tokens: completions of 1048576 tokens: the model's longest",
            "generator.max_tokens=1048576");
    REFUSES("--set: generator.kv_bytes: engine: 1 bytes of KV", "generator.kv_bytes=1");
    REFUSES("--set: generator.temperature: '1e-6' is out of range", "generator.temperature=1e-6");
    REFUSES("data.train: none of the first 200 rows can be decoded: ", "data.max_prompt_tokens=1");
    REFUSES("'nope' is missing; it must be a string", "data.prompt_column=nope");
    REFUSES("/nowhere", "model.path=/nowhere");
    REFUSES("--set: rewarder.reference_path: ", "rewarder.reference=frozen",
            "rewarder.reference_path=/nowhere");
    REFUSES("--set: learner.critic.path: cannot open '/nowhere/config.json'",
            "learner.objective=ppo", "learner.critic.path=/nowhere");
}

static void plans_that_do_not_come_out(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    REFUSES("--set: learner.optimizer.warmup: 6 updates of warm-up; the run has 6: the learning "
            "rate never comes to lr",
            "learner.optimizer.warmup=6");
    ACCEPTS(NULL, "learner.optimizer.warmup=5");
    REFUSES("7 updates of warm-up; the run has 3", "run.rounds=3", "learner.optimizer.warmup=7");
    REFUSES("learner.optimizer.warmup: 50 updates of warm-up; the run has 25", "data.epochs=1",
            "run.rounds=0", "learner.optimizer.warmup=50");
    REFUSES("learner.critic.optimizer.warmup: 6 updates of warm-up; the run has 6: ",
            "learner.objective=ppo", "learner.critic.optimizer.warmup=6");
    REFUSES("learner.optimizer.warmup: 4 updates of warm-up; the run has 4 of the policy: ",
            "learner.objective=ppo", "learner.critic.warmup_rounds=2",
            "learner.optimizer.warmup=4");
    REFUSES("learner.critic.warmup_rounds: 25 of the run's 25 rounds leave none",
            "learner.objective=ppo", "learner.critic.warmup_rounds=25", "data.epochs=1",
            "run.rounds=0");
    ACCEPTS("the run: 25 rounds, which the data ends (data.epochs: 1)", "data.epochs=1",
            "run.rounds=0", "learner.optimizer.schedule=linear");
    ACCEPTS("the run: 6 rounds, which run.rounds ends (run.rounds: 6, data.epochs: 1)",
            "data.epochs=1");
    REFUSES("learner.groups: 300 in a round are more than the data has (200 rows, data.epochs 1)",
            "learner.groups=300", "data.epochs=1", "learner.last_batch=drop");
    REFUSES("learner.listen: '127.0.0.1:7011' and generator.listen '127.0.0.1:7001' take the same",
            "learner.listen=127.0.0.1:7011");
    REFUSES("learner.metrics: '127.0.0.1:7101' and generator.listen '127.0.0.1:7001' take the same",
            "learner.metrics=127.0.0.1:7101");
    REFUSES("learner.probes: '127.0.0.1:9' and learner.admin '127.0.0.1:9' take the same",
            "learner.admin=127.0.0.1:9", "learner.probes=127.0.0.1:9");
    ACCEPTS(NULL, "learner.listen=127.0.0.1:0", "generator.listen=127.0.0.1:0");
}

/* Where a recipe is checked need not be where it runs; `up` runs it here. */
static void cores_that_are_not_here(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    ACCEPTS("--set: learner.cpus: '1023': there is no core 1023 for this process; allowed: ",
            "learner.cpus=1023");
    char *output;
    const int status = process_run(&output, 60000, "rlhfctl", "up", ring.recipe, "--run", ring.run,
                                   "--set", "learner.cpus=1023", NULL);
    assert_int_equal(status, 2);
    assert_non_null(strstr(output, "there is no core 1023"));
    assert_false(file_exists(ring.run));
    free(output);
}

/* A run is tried by a few rounds of it: its warm-up is right for the whole. */
static void a_trial_of_a_longer_run_is_noted(void **state)
{
    (void)state;
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 40, .groups = 8, .lag = 1, .extra = "eval: {prompts: 1}\n"});
    char *text = file_text(ring.recipe), *at = strstr(text, "lr: 1e-3");
    SCOPED_MEM char *longer = mem_printf("%.*swarmup: 10, %s", (int)(at - text), text, at);
    assert_ok(file_write(ring.recipe, longer, strlen(longer)));
    free(text);
    ACCEPTS(NULL, NULL);
    ACCEPTS("recipe.yaml:6: learner.optimizer.warmup: 10 updates of warm-up; the run has 3",
            "run.rounds=3");
    ACCEPTS("the run has 2", "data.epochs=1", "learner.groups=100");
    REFUSES("10 updates of warm-up; the run has 3", "run.rounds=3", "learner.optimizer.warmup=10");
}

static void write_rows(const struct ring *ring, const char *rows)
{
    SCOPED_MEM char *path = file_join(ring->directory, "rows.jsonl");
    assert_ok(file_write(path, rows, strlen(rows)));
}

/* Some rows are refused one by one while a run goes on: that is worth a line. If none is left there
 * is no run. */
static void rows_that_cannot_be_used(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    static const char *const one = "data.train=rows.jsonl";
    write_rows(&ring, "{\"prompt\": \"dcba>\", \"completion\": \"abcd\"}\n"
                      "{\"prompt\": [{\"role\": \"user\"}], \"completion\": \"abcd\"}\n"
                      "{\"prompt\": \"dcba>\", \"completion\": 5}\n");
    ACCEPTS("data.train: 1 of the first 3 rows cannot be decoded; the first: ", one);
    ACCEPTS("data.train: 1 of the first 3 rows cannot be scored; the first: ", one);
    write_rows(&ring, "{\"prompt\": [{\"role\": \"user\"}], \"completion\": \"abcd\"}\n");
    REFUSES("rows.jsonl:1: a row of messages needs the model's chat template: ", one);
    write_rows(&ring, "{\"prompt\": \"\", \"completion\": \"abcd\"}\n");
    REFUSES("rows.jsonl:1: a prompt of 0 tokens", one);
    write_rows(&ring, "{\"prompt\": \"dcba>\", \"completion\": \"abcd\", \"max_tokens\": 4096}\n");
    REFUSES("rows.jsonl:1: 'max_tokens' is 4096; it must be a whole number from 1 to", one);
    write_rows(
        &ring,
        "{\"prompt\": \"dcba>\", \"completion\": \"abcd\", \"max_tokens\": 9007199254740993}\n");
    REFUSES("'max_tokens' is 9007199254740993", one);
    write_rows(&ring, "{\"prompt\": \"dcba>\"}\n");
    REFUSES("the row has no column 'completion'", one);
    write_rows(&ring, "\xef\xbb\xbf{\"prompt\": \"dcba>\", \"completion\": \"abcd\"}\n");
    ACCEPTS(NULL, one);
    write_rows(&ring, "{\"prompt\": \"dcba>\", \"completion\": \"abcd\"}\n{\"prompt\": 1e999}\n");
    REFUSES("--set: data.train: ", one);
}

/* The last tensor's last value becomes NaN. */
static void a_model_with_a_value_that_is_no_number(void **state)
{
    (void)state;
    struct ring ring = small_ring();
    SCOPED_MEM char *path = file_join(ring.model, "model.safetensors");
    SCOPED_VALUE(bytes) all = {0};
    assert_ok(file_read(path, 1 << 24, &all));
    memcpy(all.data + all.len - 2, "\xc0\x7f", 2);
    assert_ok(file_write(path, all.data, all.len));
    REFUSES("is not a number; all must be finite", NULL);
    char *output;
    assert_int_not_equal(process_run(&output, 60000, "rlhfd-learner", ring.recipe, "--run",
                                     ring.run, "--set", "learner.listen=127.0.0.1:0", NULL),
                         0);
    assert_non_null(strstr(output, "is not a number; all must be finite"));
    free(output);
}

TESTS(cmocka_unit_test(each_preset_is_in_order), cmocka_unit_test(scorers_that_cannot_score),
      cmocka_unit_test(groups_that_no_message_has_room_for),
      cmocka_unit_test(the_place_is_the_keys), cmocka_unit_test(a_rewarder_that_is_started_by_hand),
      cmocka_unit_test(generators_that_cannot_decode), cmocka_unit_test(plans_that_do_not_come_out),
      cmocka_unit_test(cores_that_are_not_here), cmocka_unit_test(a_trial_of_a_longer_run_is_noted),
      cmocka_unit_test(rows_that_cannot_be_used),
      cmocka_unit_test(a_model_with_a_value_that_is_no_number))
