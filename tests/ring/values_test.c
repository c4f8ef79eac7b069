/* `rlhfctl values` on checkpoints of real runs: with a critic of its own, with a head on the
 * policy's trunk, without a critic. A line's values are those of its completion computed alone, to
 * the bit. */
#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/scoped.h"
#include "model/files/safetensors.h"
#include "model/forward.h"
#include "model/text/tokenizer.h"
#include "testing/encode.h"
#include "testing/process.h"
#include "testing/ring.h"
#include "testing/testing.h"
#include <stdlib.h>
#include <string.h>

enum { RUN_MS = 120000, PROMPTS = 20, TOKENS = 64 };

/* A run of a few rounds, completions of its last policy, and their values. */
struct valued {
    struct ring ring;
    char *checkpoint, *lines;
};

static void must(char **output, int status)
{
    if (status)
        print_error("%s\n", *output);
    assert_int_equal(status, 0);
}

static struct valued train(const char *learner)
{
    struct valued v = {.ring = ring_prepare(
                           &(struct ring_options){.rounds = 6, .groups = 16, .learner = learner})};
    char *output, prompts[8];
    char *data = testing_path(v.ring.directory, "train.jsonl");
    snprintf(prompts, sizeof prompts, "%d", PROMPTS);
    v.checkpoint = testing_path(v.ring.run, "checkpoints/v6");
    v.lines = testing_path(v.ring.directory, "lines.jsonl");
    must(&output,
         process_run(&output, RUN_MS, "rlhfctl", "up", v.ring.recipe, "--run", v.ring.run, NULL));
    free(output);
    must(&output, process_run(&output, RUN_MS, "rlhfctl", "eval", v.ring.recipe, "--run",
                              v.ring.run, "--data", data, "--prompts", prompts, "--temperature",
                              "1", "--out", v.lines, NULL));
    free(output);
    return v;
}

/* ---- the same by hand */

struct alone {
    struct backend *be;
    struct model *trunk, *critic; // trunk NULL: the critic has one
    struct forward *forward;
    struct tokenizer *tokenizer;
};

/* Its one tensor. */
static struct model *load_head(const struct model *policy, const char *directory)
{
    struct model *head;
    SCOPED(safetensors) in = NULL;
    assert_ok(model_new_value(policy->be, &policy->config, &head));
    const struct layout_tensor *tensor = &head->params->layout->tensor[0];
    SCOPED_MEM bf16 *value = mem_array(head->params->layout->elements, sizeof *value);
    assert_ok(safetensors_open_model(directory, &in));
    assert_int_equal(safetensors_count(in), 1);
    assert_ok(safetensors_read_some_bf16(in, safetensors_at(in, 0), 0, tensor->count,
                                         value + tensor->offset));
    assert_ok(model_put(head, value, NULL));
    return head;
}

static struct alone alone_of(const struct valued *v, bool shared)
{
    struct alone a = {0};
    bool fresh = true;
    SCOPED_MEM char *critic = file_join(v->checkpoint, "critic");
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &a.be));
    if (shared) {
        assert_ok(model_load(a.be, v->checkpoint, &a.trunk));
        a.trunk->kv = KV_BF16; // the recipe's default, for policies alone
        a.critic = load_head(a.trunk, critic);
    } else {
        assert_ok(model_load_critic(a.be, critic, &a.critic, &fresh));
        assert_false(fresh);
    }
    assert_ok(
        forward_new(a.trunk ? a.trunk : a.critic, TOKENS, TOKENS, FORWARD_NOTHING, &a.forward));
    assert_ok(tokenizer_load(v->checkpoint, &a.tokenizer));
    return a;
}

static void alone_done(struct alone *a)
{
    tokenizer_free(a->tokenizer);
    forward_free(a->forward);
    model_free(a->critic);
    model_free(a->trunk);
    backend_free(a->be);
}

/* The value of what stands before each token is that of the row before it. Nothing is packed. */
static int values_alone(const struct alone *a, const json_t *line, float *ret)
{
    const json_t *ids = json_object_get(line, "ids");
    const char *prompt = json_string_value(json_object_get(json_object_get(line, "row"), "prompt"));
    int32_t token[TOKENS], position[TOKENS], row[TOKENS];
    int p = 0, n = (int)json_array_size(ids);
    assert_ok(encode_text(a->tokenizer, prompt, strlen(prompt), TOKENS, token, &p));
    assert_in_range(p + n, 2, TOKENS);
    for (int t = 0; t < n; t++) {
        token[p + t] = (int32_t)json_integer_value(json_array_get(ids, (size_t)t));
        row[t] = p + t - 1;
    }
    for (int i = 0; i < p + n; i++)
        position[i] = i;
    const struct segment all = {.count = p + n};
    assert_ok(forward_run(a->forward, token, position, p + n, &all, 1));
    assert_ok(forward_value(a->forward, a->critic, row, n, ret));
    return n;
}

/* ---- */

static void compare(const struct valued *v, bool shared)
{
    SCOPED_VALUE(alone) alone = alone_of(v, shared);
    char *output, *rest = NULL;
    int count = 0, differing = 0;
    must(&output, process_run(&output, RUN_MS, "rlhfctl", "values", v->ring.recipe, "--run",
                              v->ring.run, "--data", v->lines, NULL));
    for (char *line = strtok_r(output, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        SCOPED_JSON json_t *one = json_loads(line, 0, NULL);
        const json_t *values = json_object_get(one, "values");
        float want[TOKENS];
        const int n = values_alone(&alone, one, want);
        assert_int_equal(json_array_size(values), n);
        for (int t = 0; t < n; t++) {
            assert_true((float)json_real_value(json_array_get(values, (size_t)t)) == want[t]);
            differing += want[t] != want[0];
        }
        assert_true(json_is_real(json_object_get(one, "reward"))); // the line keeps its members
        count++;
    }
    free(output);
    assert_int_equal(count, PROMPTS);
    assert_true(differing > PROMPTS); // the critic tells states apart
}

static void a_critic_of_its_own(void **state)
{
    (void)state;
    const struct valued v = train("objective: ppo, critic: {head: normal, optimizer: {lr: 1e-2}}");
    compare(&v, false);
}

static void a_head_on_the_policys_trunk(void **state)
{
    (void)state;
    const struct valued v = train("objective: ppo, critic: {model: shared, optimizer: {lr: 1e-2}}");
    compare(&v, true);
}

/* ---- */

static void refused(const struct valued *v, const char *line, const char *part)
{
    char *output;
    SCOPED_MEM char *path = file_join(v->ring.directory, "bad.jsonl");
    assert_ok(file_write(path, line, strlen(line)));
    const int status = process_run(&output, RUN_MS, "rlhfctl", "values", v->ring.recipe, "--run",
                                   v->ring.run, "--data", path, NULL);
    if (status == 0 || !strstr(output, part))
        print_error("status %d, wanted '%s':\n%s\n", status, part, output);
    assert_int_not_equal(status, 0);
    assert_non_null(strstr(output, part));
    free(output);
}

static void bad_lines_are_named(void **state)
{
    (void)state;
    const struct valued v = train("objective: ppo");
#define ROW "\"row\": {\"prompt\": \"ab>\"}"
    refused(&v, "{\"ids\": [1]}\n", "bad.jsonl:1: 'row' must be the row of data with the prompt");
    refused(&v, "{\"row\": {\"text\": \"ab>\"}, \"ids\": [1]}\n", "'prompt'");
    refused(&v, "{" ROW ", \"ids\": [1]}\n{" ROW "}\n", "bad.jsonl:2: 'ids' must be a list");
    refused(&v, "{" ROW ", \"ids\": []}\n", "bad.jsonl:1: 'ids' must be a list");
    refused(&v, "{" ROW ", \"ids\": [3, 29]}\n", "ids[1]: allowed are the tokens 0 to 28");
    refused(&v, "{" ROW ", \"ids\": [-1]}\n", "ids[0]: allowed are the tokens 0 to 28");
    refused(&v, "{" ROW ", \"ids\": [1.5]}\n", "ids[0]: allowed are the tokens 0 to 28");
    SCOPED_VALUE(bytes) text = {0};
    bytes_text(&text, "{" ROW ", \"ids\": [1");
    for (int i = 0; i < 2000; i++)
        bytes_text(&text, ", 1");
    bytes_text(&text, "]}\n");
    bytes_put(&text, "", 1);
    refused(&v, (const char *)text.data, "2004 tokens with the prompt; the model takes ");
#undef ROW
}

static void a_run_without_a_critic(void **state)
{
    (void)state;
    const struct valued v = train("objective: rloo");
    refused(&v, "{\"row\": {\"prompt\": \"ab>\"}, \"ids\": [1]}\n", "has no critic: needed is");
}

TESTS(cmocka_unit_test(a_critic_of_its_own), cmocka_unit_test(a_head_on_the_policys_trunk),
      cmocka_unit_test(bad_lines_are_named), cmocka_unit_test(a_run_without_a_critic))
