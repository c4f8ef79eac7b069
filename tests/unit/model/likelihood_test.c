/* Log-probabilities of completions against PyTorch's logits (tests/golden/llama_reference.py made
 * the files), the same bits however they are cut into forwards, and what is refused. */
#include "base/json.h"
#include "model/likelihood.h"
#include "tiny.h"
#include <math.h>

enum { LONGEST = 38, TARGETS = 64, ROWS = 64 };

/* The first two sequences of a golden model's input; prompts of 5 and 30 tokens. */
struct golden {
    uint32_t token[2][LONGEST];
    struct sequence sequence[2];
    int targets, rows;
    double temperature;
};

static void read_golden(const char *directory, struct golden *g)
{
    static const int prompts[] = {5, 30};
    SCOPED_MEM char *path = mem_printf("%s/input.json", directory);
    SCOPED_JSON json_t *json = NULL;
    assert_ok(json_read_file(path, 1 << 20, &json));
    assert_ok(json_get_number_or(json, path, "temperature", &g->temperature));
    for (size_t s = 0; s < 2; s++) {
        const json_t *tokens = json_array_get(json_object_get(json, "tokens"), s);
        int count = (int)json_array_size(tokens);
        assert_in_range(count, prompts[s] + 1, LONGEST);
        for (int i = 0; i < count; i++)
            g->token[s][i] = (uint32_t)json_integer_value(json_array_get(tokens, (size_t)i));
        g->sequence[s] = (struct sequence){.prompt = g->token[s],
                                           .token = g->token[s] + prompts[s],
                                           .prompt_tokens = prompts[s],
                                           .tokens = count - prompts[s],
                                           .context = prompts[s]};
        g->targets += count - prompts[s];
        g->rows += count;
    }
}

/* log softmax(row / temperature)[token] in double */
static double log_softmax(const float *row, int V, double temperature, uint32_t token)
{
    double largest = -INFINITY, sum = 0;
    for (int v = 0; v < V; v++)
        largest = fmax(largest, row[v] / temperature);
    for (int v = 0; v < V; v++)
        sum += exp(row[v] / temperature - largest);
    return row[token] / temperature - largest - log(sum);
}

/* logp (targets) against PyTorch's logits of all rows. */
static void compare(const struct golden *g, const float *logits, int V, const float *logp)
{
    double largest = 0;
    int row = 0, target = 0;
    for (int s = 0; s < 2; s++) {
        int count = g->sequence[s].prompt_tokens + g->sequence[s].tokens;
        for (int i = g->sequence[s].prompt_tokens; i < count; i++, target++) {
            const float *at = logits + (size_t)(row + i - 1) * (size_t)V;
            double want = log_softmax(at, V, g->temperature, g->token[s][i]);
            largest = fmax(largest, fabs(logp[target] - want));
        }
        row += count;
    }
    print_message("%d tokens, largest difference %.1e\n", target, largest);
    assert_int_equal(target, g->targets);
    assert_true(largest < 1e-4); // float32 sums in two orders; logits are up to about 20
}

static void agrees_with_pytorch(const char *name)
{
    static const int micro[] = {1, 38, 57, 4096};
    SCOPED_MEM char *directory = mem_printf("%s/%s", TEST_GOLDEN, name);
    SCOPED_MEM char *path = mem_printf("%s/reference.safetensors", directory);
    SCOPED(backend) be = tiny_backend(2);
    SCOPED(safetensors) reference = NULL;
    SCOPED(model) model = NULL;
    struct golden g = {0};
    float logp[4][TARGETS];
    assert_ok(safetensors_open(path, &reference));
    assert_ok(model_load(be, directory, &model));
    read_golden(directory, &g);
    const struct tensor_info *info = safetensors_find(reference, "logits");
    SCOPED_MEM float *logits = mem_array(info->count, sizeof *logits);
    assert_ok(safetensors_read_f32(reference, info, logits));
    for (int m = 0; m < 4; m++) {
        SCOPED(likelihood) likelihood = NULL;
        assert_ok(likelihood_new(model, micro[m], LONGEST, &likelihood));
        assert_ok(likelihood_run(likelihood, g.sequence, 2, (float)(1 / g.temperature), logp[m]));
        assert_memory_equal(logp[m], logp[0], (size_t)g.targets * sizeof(float));
    }
    compare(&g, logits, model->config.V, logp[0]);
}

static void it_agrees_with_pytorch(void **state)
{
    (void)state;
    agrees_with_pytorch("llama_untied");
    agrees_with_pytorch("llama_tied");
}

static void what_it_cannot_compute_is_refused(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(likelihood) likelihood = NULL;
    struct model_config config = tiny_config(true);
    uint32_t prompt[] = {1, 2, 3}, token[] = {4, 5, 36, 7};
    struct sequence s = {
        .prompt = prompt, .token = token, .prompt_tokens = 3, .tokens = 4, .context = 3};
    float logp[4];
    assert_ok(model_new(be, &config, 1, &model));
    assert_err(ERR_INVALID, "must be positive", likelihood_new(model, 0, 8, &likelihood));
    assert_ok(likelihood_new(model, 1, 7, &likelihood));
    assert_ok(likelihood_run(likelihood, &s, 1, 1.0f, logp));
    assert_ok(likelihood_run(likelihood, &s, 0, 1.0f, logp));
    token[2] = 37;
    assert_err(ERR_INVALID, "the vocabulary has 37", likelihood_run(likelihood, &s, 1, 1.0f, logp));
    token[2] = 36;
    token[3] = 37; // the last one is only a target
    assert_err(ERR_INVALID, "the vocabulary has 37", likelihood_run(likelihood, &s, 1, 1.0f, logp));
    token[3] = 7;
    assert_err(ERR_DATA_LOSS, "log-probability", likelihood_run(likelihood, &s, 1, INFINITY, logp));
    SCOPED(likelihood) shorter = NULL;
    assert_ok(likelihood_new(model, 4096, 6, &shorter));
    assert_err(ERR_RANGE, "7 tokens with its prompt; at most 6 fit",
               likelihood_run(shorter, &s, 1, 1.0f, logp));
}

TESTS(cmocka_unit_test(it_agrees_with_pytorch), cmocka_unit_test(what_it_cannot_compute_is_refused))
