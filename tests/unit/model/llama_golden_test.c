/* Our logits, loss and gradients against PyTorch's; tests/golden/llama_reference.py made the files.
 */
#include "base/json.h"
#include "tiny.h"
#include <math.h>

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

/* max |got - want| / max |want| over the tensor. */
static double relative(const struct safetensors *in, const char *name, const float *got,
                       size_t count)
{
    const struct tensor_info *info = safetensors_find(in, name);
    assert_non_null(info);
    assert_int_equal(info->count, count);
    SCOPED_MEM float *want = mem_array(count, sizeof *want);
    assert_ok(safetensors_read_f32(in, info, want));
    double diff = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        diff = fmax(diff, fabs((double)got[i] - want[i]));
        size = fmax(size, fabs(want[i]));
    }
    print_message("%-50s %.2e\n", name, diff / size);
    return diff / size;
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
    assert_ok(model_load(be, directory, &model));
    assert_ok(forward_new(model, ROWS, 16, true, &fw));
    assert_ok(gradient_new(model, &grad));
    read_input(directory, &input);
    SCOPED_VALUE(tiny_batch) b = input.batch;
    const size_t logits = (size_t)b.N * (size_t)model->config.V;
    int32_t row[ROWS];
    float logp[ROWS], inverse_temperature = (float)(1 / input.temperature);
    for (int i = 0; i < b.N; i++)
        row[i] = i;
    tiny_forward(fw, &b);
    SCOPED_MEM float *got = logits_of(model, fw, row, b.N);
    assert_true(relative(reference, "logits", got, logits) <= 1e-4);
    assert_ok(forward_logp(fw, b.row, b.target, b.rows, inverse_temperature, logp, NULL));
    double loss = 0;
    for (int i = 0; i < b.rows; i++)
        loss += (double)b.dlogp[i] * logp[i];
    assert_near(loss, input.loss, 1e-5);
    assert_ok(backward_run(fw, b.row, b.target, b.dlogp, b.rows, inverse_temperature, grad));
    assert_ok(gradient_sum(grad));
    SCOPED_MEM float *flat = gradient_of(grad);
    for (int i = 0; i < model->params->layout->count; i++) {
        const struct layout_tensor *t = &model->params->layout->tensor[i];
        SCOPED_MEM char *tensor = mem_printf("grad.%s", t->name);
        assert_true(relative(reference, tensor, flat + t->offset, t->count) <= 1e-4);
    }
    assert_int_equal(safetensors_count(reference), model->params->layout->count + 1);
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

TESTS(cmocka_unit_test(an_untied_model_agrees_with_pytorch),
      cmocka_unit_test(a_tied_model_agrees_with_pytorch))
