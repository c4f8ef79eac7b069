/* Adapters from end to end: a supervised one, a ring that goes on from it, its checkpoint merged.
 * Whoever comes with another base, or trains something else, is told so. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "svc/svc.h"
#include "testing/daemons.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 6, RUN_MS = 120000 };

static struct ring prepare(const char *extra)
{
    return ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8, .extra = extra});
}

static int run(const struct ring *ring, const char *set, const char *other)
{
    struct process up = process_start(ring->log, "rlhfctl", "up", ring->recipe, "--run", ring->run,
                                      "--set", set, "--set", other, NULL);
    return process_wait(&up, RUN_MS);
}

static bool log_has(const struct ring *ring, const char *part)
{
    SCOPED_MEM char *log = file_text(ring->log);
    return strstr(log, part);
}

/* The likelihood that a model gives the demonstrations, to four digits. */
static char *likelihood_of(const struct ring *ring, const char *model)
{
    char *output;
    const int status = process_run(&output, RUN_MS, "rlhfctl", "eval", ring->recipe, "--model",
                                   model, "--prompts", "16", "--json", NULL);
    if (status)
        print_error("%s\n", output);
    assert_int_equal(status, 0);
    SCOPED_JSON json_t *json = json_loads(output, 0, NULL);
    assert_non_null(json);
    const json_t *likelihood = json_object_get(json, "log_likelihood");
    char *figure =
        mem_printf("%.4f", json_number_value(json_object_get(likelihood, "nats_per_token")));
    free(output);
    return figure;
}

static char *export(const struct ring *ring, const char *from, const char *to, const char *flag)
{
    char *output, *path = testing_path(ring->directory, to);
    const int status = process_run(&output, RUN_MS, "rlhfctl", "model", "export", "--dtype",
                                   "float32", from, path, flag, NULL);
    if (status)
        print_error("%s\n", output);
    assert_int_equal(status, 0);
    free(output);
    return path;
}

static void from_supervised_to_merged(void **)
{
    char *output;
    const struct ring ring =
        prepare("lora: {r: 4, alpha: 8, target_modules: [q_proj, down_proj]}\n");
    SCOPED_MEM char *model = mem_printf("sft.model=%s", ring.model);
    SCOPED_MEM char *data = mem_printf("sft.data=%s/train.jsonl", ring.directory);
    char *first = testing_path(ring.directory, "first");
    SCOPED_MEM char *to = mem_printf("sft.output=%s", first);
    int status =
        process_run(&output, RUN_MS, "rlhfctl", "sft", ring.recipe, "--set", model, "--set", data,
                    "--set", to, "--set", "sft.lora=true", "--set", "sft.steps=20", NULL);
    if (status)
        print_error("%s\n", output);
    assert_int_equal(status, 0);
    free(output);
    SCOPED_MEM char *from = mem_printf("lora.path=%s", first);
    assert_int_not_equal(run(&ring, from, "lora.target_modules=[q_proj]"), 0);
    assert_true(log_has(&ring, "that of lora.path says its modules itself"));
    status = run(&ring, from, "lora.target_modules=[]");
    if (status)
        file_print_end("up", ring.log);
    assert_int_equal(status, 0);
    const struct ring_result result = ring_read(&ring);
    assert_int_equal(result.rounds, ROUNDS);
    assert_true(result.logp_compared > 0 && result.logp_differing == 0);
    SCOPED_MEM char *latest = file_join(ring.run, "checkpoints/latest");
    const char *adapter = export(&ring, latest, "adapter", NULL),
               *merged = export(&ring, latest, "merged", "--merge");
    SCOPED_MEM char *base = likelihood_of(&ring, ring.model);
    SCOPED_MEM char *begun = likelihood_of(&ring, first);
    SCOPED_MEM char *pair = likelihood_of(&ring, latest);
    SCOPED_MEM char *again = likelihood_of(&ring, adapter);
    SCOPED_MEM char *alone = likelihood_of(&ring, merged);
    print_message("nats a token: base %s, supervised %s, trained %s, merged %s\n", base, begun,
                  pair, alone);
    assert_string_not_equal(base, begun);
    assert_string_not_equal(begun, pair);
    assert_string_equal(pair, again);
    assert_near(strtod(alone, NULL), strtod(pair, NULL), 2e-3); // W + s B A is bf16 there
}

/* A model of the same shapes and tokens, with other weights. */
static char *other_model(const struct ring *ring)
{
    char *output, *directory = testing_path(ring->directory, "other");
    SCOPED_MEM char *tokenizer = file_join(ring->model, "tokenizer.json");
    SCOPED_MEM char *to = file_join(directory, "tokenizer.json");
    assert_ok(file_make_directories(directory));
    assert_ok(file_copy(tokenizer, to));
    const int status = process_run(&output, RUN_MS, "rlhfctl", "model", "new", directory,
                                   "--layers", "2", "--width", "32", "--heads", "2", "--ff", "64",
                                   "--max-positions", "256", "--seed", "4", NULL);
    if (status)
        print_error("%s\n", output);
    assert_int_equal(status, 0);
    free(output);
    return directory;
}

/* The checkpoint is an adapter's, and its base is the one that it began with. */
static void what_another_recipe_is_told(void **)
{
    const struct ring ring = prepare("lora: {r: 4}\n");
    SCOPED_MEM char *weights = file_join(ring.model, "model.safetensors");
    SCOPED_MEM char *others = file_join(other_model(&ring), "model.safetensors");
    const char *kept = testing_path(ring.directory, "kept");
    assert_ok(file_copy(weights, kept));
    assert_int_equal(run(&ring, "run.rounds=4", "lag.max=0"), 0);
    assert_int_not_equal(run(&ring, "run.rounds=8", "lora.r=0"), 0);
    assert_true(log_has(&ring, "holds an adapter, and this recipe trains all weights"));
    assert_ok(file_copy(others, weights));
    assert_int_not_equal(run(&ring, "run.rounds=8", "lag.max=0"), 0);
    assert_true(log_has(&ring, "was trained beside weights of digest"));
    assert_ok(file_copy(kept, weights));
    assert_int_equal(run(&ring, "run.rounds=8", "lag.max=0"), 0);
    assert_int_equal(ring_read(&ring).rounds, 8);
}

static void expect_refused(const struct daemons *daemons, const char *set, const char *part)
{
    char *output;
    SCOPED_MEM char *learner = mem_printf("generator.learner=%s", daemons->address[LEARNER]);
    SCOPED_MEM char *rewarder = mem_printf("generator.rewarder=%s", daemons->address[REWARDER]);
    const int status =
        process_run(&output, RUN_MS, "rlhfd-generator", daemons->ring->recipe, "--set", learner,
                    "--set", rewarder, "--set", "generator.listen=127.0.0.1:0", "--set",
                    "generator.name=other", "--set", set, NULL);
    if (status != EXIT_STATUS_REFUSED || !strstr(output, part))
        print_error("status %d, wanted %d and '%s':\n%s\n", status, EXIT_STATUS_REFUSED, part,
                    output);
    assert_int_equal(status, EXIT_STATUS_REFUSED);
    assert_non_null(strstr(output, part));
    free(output);
}

/* Only the adapter's changes travel: who decodes beside another base, or scales it otherwise, would
 * draw from other weights. */
static void a_generator_with_another_base_is_refused(void **)
{
    struct ring ring = ring_prepare(&(struct ring_options){
        .rounds = 1000000, .groups = 8, .lag = 1, .extra = "lora: {r: 4}\n"});
    SCOPED_MEM char *other = mem_printf("model.path=%s", other_model(&ring));
    struct daemons daemons = daemons_start(&ring, "");
    ring_wait_rounds(&ring, 2, RUN_MS);
    expect_refused(&daemons, other, "another recipe: model.weights is ");
    expect_refused(&daemons, "lora.alpha=32", "another recipe: lora.scale is 8 there, 4 here");
    expect_refused(&daemons, "lora.r=0", "refused by the learner: "); // by whichever stream
    ring_wait_rounds(&ring, ring_read(&ring).rounds + 3, RUN_MS);
    process_kill(&daemons.process[LEARNER], SIGTERM);
    assert_int_equal(daemons_wait_learner(&daemons, RUN_MS), 0);
}

TESTS(cmocka_unit_test(from_supervised_to_merged), cmocka_unit_test(what_another_recipe_is_told),
      cmocka_unit_test(a_generator_with_another_base_is_refused))
