/* Two real rings of one task: a model, and the same with rows of the vocabulary that have no token
 * and the largest logits. What they draw, score and learn is the same, bit for bit. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "testing/models.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 6, MORE = 3, RUN_MS = 200000 };

static struct backend *be;
static struct ring rings[2]; // without padding, with it

static void pad(const char *directory)
{
    SCOPED(model) model = NULL;
    SCOPED(model) wide = NULL;
    assert_ok(model_load(be, directory, &model));
    wide = padded_model(model, MORE);
    assert_ok(model_save(wide, directory));
}

/* Gradients are not clipped: their norm is a sum in another order where tensors are longer. */
static int train(void **state)
{
    (void)state;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    for (int i = 0; i < 2; i++) {
        char *output;
        rings[i] = ring_prepare(&(struct ring_options){.rounds = ROUNDS, .groups = 8, .lag = 0});
        if (i)
            pad(rings[i].model);
        int status =
            process_run(&output, RUN_MS, "rlhfctl", "up", rings[i].recipe, "--run", rings[i].run,
                        "--set", "learner.objective=grpo", "--set", "rewarder.reference=frozen",
                        "--set", "learner.kl.coef=0.05", "--set", "learner.optimizer.clip_norm=0",
                        "--set", "learner.optimizer.lr=0.01", NULL);
        if (status)
            print_error("%s\n", output);
        free(output);
        if (status)
            return status;
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    backend_free(be);
    return 0;
}

static json_t *last_round(const struct ring *ring)
{
    SCOPED_MEM char *path = file_join(ring->run, "metrics.jsonl");
    char *text = file_text(path), *rest = NULL;
    json_t *last = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_decref(last);
        assert_non_null(last = json_loads(line, 0, NULL));
    }
    free(text);
    return last;
}

static void rounds_have_the_same_figures(void **state)
{
    static const char *const same[] = {"round",        "reward_mean",   "entropy",
                                       "kl_reference", "logp_compared", "tokens_trained",
                                       "length_mean",  "clip_frac",     "success"};
    (void)state;
    SCOPED_JSON json_t *narrow = last_round(&rings[0]);
    SCOPED_JSON json_t *wide = last_round(&rings[1]);
    const struct ring_result result = ring_read(&rings[1]);
    assert_int_equal(result.rounds, ROUNDS);
    assert_true(result.logp_compared > ROUNDS * 8 * 4 && result.logp_differing == 0);
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const json_t *a = json_object_get(narrow, same[i]), *b = json_object_get(wide, same[i]);
        print_message("%s: %.17g, with padding %.17g\n", same[i], json_number_value(a),
                      json_number_value(b));
        assert_true(a && json_equal(a, b));
    }
    ring_audit(&rings[1]);
}

static struct model *trained(const struct ring *ring)
{
    char name[40];
    struct model *model = NULL;
    snprintf(name, sizeof name, "checkpoints/v%d", ROUNDS);
    SCOPED_MEM char *directory = file_join(ring->run, name);
    assert_ok(model_load(be, directory, &model));
    return model;
}

/* And rows without a token are as they were. */
static void weights_are_the_same(void **state)
{
    (void)state;
    SCOPED(model) narrow = trained(&rings[0]);
    SCOPED(model) wide = trained(&rings[1]);
    SCOPED(model) first = NULL;
    assert_ok(model_load(be, rings[1].model, &first));
    assert_int_equal(narrow->vacants, 0);
    assert_int_equal(wide->vacants, 1);
    SCOPED_MEM bf16 *a = flat_of(narrow);
    SCOPED_MEM bf16 *b = flat_of(wide);
    SCOPED_MEM bf16 *before = flat_of(first);
    size_t moved = 0;
    for (int i = 0; i < narrow->params->layout->count; i++) {
        const struct layout_tensor *from = &narrow->params->layout->tensor[i],
                                   *to = &wide->params->layout->tensor[i];
        assert_memory_equal(a + from->offset, b + to->offset, from->count * sizeof *a);
        assert_memory_equal(b + to->offset + from->count, before + to->offset + from->count,
                            (to->count - from->count) * sizeof *b);
        moved += memcmp(b + to->offset, before + to->offset, from->count * sizeof *b) != 0;
    }
    assert_int_equal(moved, narrow->params->layout->count);
}

static char *evaluated(const struct ring *ring, const char *temperature)
{
    SCOPED_MEM char *data = file_join(ring->directory, "train.jsonl");
    SCOPED_MEM char *lines = file_join(ring->directory, "lines.jsonl");
    char *output;
    int status = process_run(&output, RUN_MS, "rlhfctl", "eval", ring->recipe, "--run", ring->run,
                             "--data", data, "--prompts", "40", "--temperature", temperature,
                             "--out", lines, "--json", NULL);
    if (status)
        print_error("%s\n", output);
    free(output);
    assert_int_equal(status, 0);
    return file_text(lines);
}

static void evaluations_complete_the_same_texts(void **state)
{
    static const char *const temperatures[] = {"0", "1"};
    (void)state;
    for (int t = 0; t < 2; t++) {
        SCOPED_MEM char *narrow = evaluated(&rings[0], temperatures[t]);
        SCOPED_MEM char *wide = evaluated(&rings[1], temperatures[t]);
        assert_true(strlen(narrow) > 1000);
        assert_string_equal(narrow, wide);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rounds_have_the_same_figures),
                                       cmocka_unit_test(weights_are_the_same),
                                       cmocka_unit_test(evaluations_complete_the_same_texts)};
    return cmocka_run_group_tests(tests, train, end);
}
