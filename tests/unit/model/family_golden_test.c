/* Our logits, log-probabilities, loss and gradients against PyTorch's, of every family and option,
 * and of adapters against PEFT's: tests/golden/llama_reference.py, families.py and adapters.py made
 * the files. */
#include "base/file.h"
#include "base/json.h"
#include "model/adapter.h"
#include "model/engine/engine.h"
#include "model/files/stored.h"
#include "tiny.h"
#include <math.h>
#include <stdlib.h>

enum { ROWS = 64 };

struct input {
    double temperature, loss;
    struct tiny_batch batch;
};

static void read_input(const char *directory, struct input *ret)
{
    SCOPED_MEM char *path = mem_printf("%s/input.json", directory);
    SCOPED_JSON json_t *json = NULL;
    assert_ok(json_read_file(path, 1 << 20, &json));
    assert_ok(json_get_number_or(json, path, "temperature", &ret->temperature));
    assert_ok(json_get_number_or(json, path, "loss", &ret->loss));
    const json_t *tokens = json_object_get(json, "tokens"),
                 *weights = json_object_get(json, "weights");
    int lengths[8];
    const int count = (int)json_array_size(tokens);
    for (int s = 0; s < count; s++)
        lengths[s] = (int)json_array_size(json_array_get(tokens, (size_t)s));
    struct tiny_batch b = tiny_batch_of(lengths, 0, count, 8, 0);
    for (int s = 0, at = 0, row = 0; s < count; s++)
        for (int i = 0; i < lengths[s]; i++, at++) {
            b.token[at] = (int32_t)json_integer_value(
                json_array_get(json_array_get(tokens, (size_t)s), (size_t)i));
            if (i == 0)
                continue;
            const json_t *weight =
                json_array_get(json_array_get(weights, (size_t)s), (size_t)i - 1);
            b.dlogp[row] = (float)json_number_value(weight);
            b.target[row++] = b.token[at];
        }
    ret->batch = b;
}

/* max |got - want| / size, which is at least max |want|. */
static double relative_to(double size, const char *name, const float *got, const float *want,
                          size_t count)
{
    double diff = 0;
    for (size_t i = 0; i < count; i++) {
        diff = fmax(diff, fabs((double)got[i] - want[i]));
        size = fmax(size, fabs(want[i]));
    }
    print_message("%-50s %.2e\n", name, diff / size);
    return diff / size;
}

static double relative(const char *name, const float *got, const float *want, size_t count)
{
    return relative_to(0, name, got, want, count);
}

/* The largest value of a tensor of the files. */
static double size_of(const struct safetensors *in, const struct tensor_info *info)
{
    SCOPED_MEM float *value = mem_array(info->count, sizeof *value);
    double size = 0;
    assert_ok(safetensors_read_f32(in, info, value));
    for (size_t i = 0; i < info->count; i++)
        size = fmax(size, fabs((double)value[i]));
    return size;
}

static float *values_of(const struct safetensors *in, const char *name, size_t count)
{
    const struct tensor_info *info = safetensors_find(in, name);
    float *values = mem_array(count, sizeof *values);
    assert_non_null(info);
    assert_int_equal(info->count, count);
    assert_ok(safetensors_read_f32(in, info, values));
    return values;
}

static void compare_logits(const struct safetensors *in, const float *got, int N, int V)
{
    SCOPED_MEM float *want = values_of(in, "logits", (size_t)N * (size_t)V);
    assert_true(relative("logits", got, want, (size_t)N * (size_t)V) <= 1e-4);
    for (int n = 0; n < N; n++) {
        int ours = 0, theirs = 0;
        for (int v = 1; v < V; v++) {
            ours = got[n * V + v] > got[n * V + ours] ? v : ours;
            theirs = want[n * V + v] > want[n * V + theirs] ? v : theirs;
        }
        assert_int_equal(ours, theirs);
    }
}

/* Gradients by the names and shapes of the files. A fused tensor is measured as a whole. Where
 * nothing turns, a bias of k moves all scores of a row alike, so its own gradient is nothing. */
static void compare_gradients(const struct safetensors *in, const struct model *model,
                              const float *flat)
{
    const struct params *params = model->params;
    int files = 0;
    for (int i = 0; i < params->layout->count; i++) {
        const struct layout_tensor *t = &params->layout->tensor[i];
        const struct stored *stored = &params->stored[i];
        SCOPED_MEM char *name = mem_printf("grad.%s", stored->name);
        const struct tensor_info *info = safetensors_find(in, name);
        SCOPED_MEM float *want = mem_array(t->count, sizeof *want);
        assert_non_null(info);
        assert_ok(stored_read(in, info, stored, 0, t->rows, want));
        assert_true(relative_to(size_of(in, info), name, flat + t->offset, want, t->count) <= 1e-4);
        files += stored->part == 0;
    }
    for (int i = 0; i < safetensors_count(in); i++)
        files -= strncmp(safetensors_at(in, i)->name, "grad.", 5) == 0;
    assert_int_equal(files, 0);
}

/* RLHFD_EXPORTS=DIR: the model or the adapter as we write it, for check_exports.py. */
static void export(const struct model *model, const char *name)
{
    const char *directory = getenv("RLHFD_EXPORTS"), *last = strrchr(name, '/');
    if (!directory)
        return;
    SCOPED_MEM char *path = mem_printf("%s/%s", directory, model->base || !last ? name : last + 1);
    assert_ok(model_save(model, path));
}

static void compare(const char *name)
{
    SCOPED_MEM char *directory = mem_printf("%s/%s", TEST_GOLDEN, name);
    SCOPED_MEM char *path = mem_printf("%s/reference.safetensors", directory);
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(safetensors) reference = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    struct input input = {0};
    assert_ok(safetensors_open(path, &reference));
    assert_ok(adapter_open(be, directory, false, &model));
    assert_ok(forward_new(model, ROWS, 16, true, &fw));
    assert_ok(gradient_new(model, &grad));
    read_input(directory, &input);
    SCOPED_VALUE(tiny_batch) b = input.batch;
    int32_t row[ROWS];
    float logp[ROWS], inverse_temperature = (float)(1 / input.temperature);
    for (int i = 0; i < b.N; i++)
        row[i] = i;
    tiny_forward(fw, &b);
    SCOPED_MEM float *got = logits_of(model, fw, row, b.N);
    compare_logits(reference, got, b.N, model->config.V);
    assert_ok(forward_logp(fw, b.row, b.target, b.rows, inverse_temperature, logp, NULL));
    if (safetensors_find(reference, "logp")) {
        SCOPED_MEM float *want = values_of(reference, "logp", (size_t)b.rows);
        assert_true(relative("logp", logp, want, (size_t)b.rows) <= 1e-4);
    }
    double loss = 0;
    for (int i = 0; i < b.rows; i++)
        loss += (double)b.dlogp[i] * logp[i];
    assert_near(loss, input.loss, 1e-5);
    assert_ok(backward_run(fw, b.row, b.target, b.dlogp, b.rows, inverse_temperature, grad));
    assert_ok(gradient_sum(grad));
    SCOPED_MEM float *flat = gradient_of(grad);
    compare_gradients(reference, model_trained(model), flat);
    export(model_trained(model), name);
}

static void an_untied_model_agrees_with_pytorch(void **state)
{
    (void)state;
    compare("llama_untied");
}

static void a_tied_model_agrees_with_pytorch(void **state)
{
    (void)state;
    compare("llama_tied");
}

/* One of every family and option. */
static void every_family_and_option_agrees_with_pytorch(void **state)
{
    (void)state;
    SCOPED_VALUE(file_names) names = {0};
    bool seen[16] = {0};
    assert_ok(file_names(TEST_GOLDEN "/families", &names));
    for (size_t i = 0; i < names.count; i++) {
        SCOPED_MEM char *name = mem_printf("families/%s", names.at[i]);
        SCOPED_MEM char *directory = mem_printf("%s/%s", TEST_GOLDEN, name);
        struct model_config config;
        print_message("-- %s\n", name);
        compare(name);
        assert_ok(config_read(directory, &config));
        for (int f = 0; family_at(f); f++)
            seen[f] = seen[f] || config.family == family_at(f);
    }
    for (int f = 1; family_at(f); f++) // the first has directories of its own, too
        assert_true(seen[f]);
}

/* ---- adapters */

static void expect_greedy(struct model *model, const char *path)
{
    enum { FROM = 6, MOST = 16 };
    SCOPED_JSON json_t *json = NULL;
    SCOPED(engine) engine = NULL;
    int32_t prompt[FROM];
    const struct engine_completion *finished = NULL;
    int count = 0;
    assert_ok(json_read_file(path, 1 << 20, &json));
    const json_t *want = json_object_get(json, "greedy"),
                 *first = json_array_get(json_object_get(json, "tokens"), 0);
    const int tokens = (int)json_array_size(want);
    for (int i = 0; i < FROM; i++)
        prompt[i] = (int32_t)json_integer_value(json_array_get(first, (size_t)i));
    assert_in_range(tokens, 1, MOST);
    const struct engine_config config = {.slots = 1, .max_context = FROM + MOST, .step_rows = 8};
    assert_ok(engine_new(model, &config, &engine));
    assert_ok(engine_admit(engine, &(struct engine_request){.prompt = prompt,
                                                            .prompt_tokens = FROM,
                                                            .completions = 1,
                                                            .max_tokens = tokens}));
    while (!count)
        assert_ok(engine_step(engine, &finished, &count));
    assert_int_equal(finished->tokens, tokens);
    for (int i = 0; i < tokens; i++)
        assert_int_equal(finished->token[i], json_integer_value(json_array_get(want, (size_t)i)));
}

/* RLHFD_EXPORTS=DIR: the merged model, in float32, for check_exports.py. */
static void export_merged(const struct model *pair, const char *name)
{
    const char *directory = getenv("RLHFD_EXPORTS");
    SCOPED_VALUE(buffer) merged = {0};
    if (!directory)
        return;
    SCOPED_MEM char *path = mem_printf("%s/merged/%s", directory, name);
    assert_ok(buffer_alloc(pair->be, pair->params->layout->elements * sizeof(float), &merged));
    assert_ok(adapter_merge(pair, NULL, &merged));
    assert_ok(file_make_directories(path));
    assert_ok(model_write_f32(pair, &merged, path));
}

/* PEFT's directories, the same logits and gradients, the same greedy text; of every family. */
static void adapters_agree_with_peft(void **state)
{
    (void)state;
    SCOPED_VALUE(file_names) names = {0};
    bool seen[16] = {0};
    assert_ok(file_names(TEST_GOLDEN "/adapters", &names));
    for (size_t i = 0; i < names.count; i++) {
        SCOPED_MEM char *name = mem_printf("adapters/%s", names.at[i]);
        SCOPED_MEM char *directory = mem_printf("%s/%s", TEST_GOLDEN, name);
        SCOPED_MEM char *input = mem_printf("%s/input.json", directory);
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = NULL;
        print_message("-- %s\n", name);
        compare(name);
        assert_ok(adapter_open(be, directory, false, &model));
        expect_greedy(model, input);
        export_merged(model, names.at[i]);
        for (int f = 0; family_at(f); f++)
            seen[f] = seen[f] || model->config.family == family_at(f);
    }
    for (int f = 0; family_at(f); f++)
        assert_true(seen[f]);
}

TESTS(cmocka_unit_test(every_family_and_option_agrees_with_pytorch),
      cmocka_unit_test(an_untied_model_agrees_with_pytorch),
      cmocka_unit_test(a_tied_model_agrees_with_pytorch),
      cmocka_unit_test(adapters_agree_with_peft))
