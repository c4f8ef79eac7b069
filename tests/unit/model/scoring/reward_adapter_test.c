/* Adapters of reward models as PEFT saves them, beside language models, against PyTorch: scores,
 * and gradients of A, B and the head. tests/golden/reward_adapters.py made the files. */
#include "base/file.h"
#include "base/json.h"
#include "model/adapter.h"
#include "model/backward.h"
#include "model/scores.h"
#include "unit/model/tiny.h"
#include <math.h>

enum { LONGEST = 48, MOST = 8 };

struct input {
    int sequences, tokens[MOST];
    int32_t token[MOST][LONGEST];
    double score[MOST];
    float weight[MOST];
};

static struct input read_input(const char *directory)
{
    struct input input = {0};
    SCOPED_MEM char *path = file_join(directory, "input.json");
    SCOPED_JSON json_t *json = NULL;
    assert_ok(json_read_file(path, 1 << 16, &json));
    const json_t *sequences = json_object_get(json, "tokens");
    input.sequences = (int)json_array_size(sequences);
    assert_true(input.sequences > 1 && input.sequences <= MOST);
    for (int s = 0; s < input.sequences; s++) {
        const size_t at = (size_t)s;
        const json_t *sequence = json_array_get(sequences, at);
        input.tokens[s] = (int)json_array_size(sequence);
        assert_true(input.tokens[s] <= LONGEST);
        for (int i = 0; i < input.tokens[s]; i++)
            input.token[s][i] = (int32_t)json_integer_value(json_array_get(sequence, (size_t)i));
        input.score[s] = json_number_value(json_array_get(json_object_get(json, "scores"), at));
        input.weight[s] =
            (float)json_number_value(json_array_get(json_object_get(json, "weights"), at));
    }
    return input;
}

/* Float32 sums of another order. */
static void assert_score(double got, double want)
{
    assert_true(fabs(got - want) <= 1e-5 * fmax(1, fabs(want)));
}

static void compare_scores(struct model *model, const struct input *input)
{
    SCOPED(scores) scores = NULL;
    assert_ok(scores_new(model, LONGEST, &scores));
    for (int s = 0; s < input->sequences; s++) {
        float got;
        assert_ok(scores_run(scores, input->token[s], input->tokens[s], &got));
        print_message("%.6f, PyTorch %.6f\n", (double)got, input->score[s]);
        assert_score((double)got, input->score[s]);
    }
}

static void add_gradient(struct forward *fw, struct model *model, const struct input *input, int s,
                         struct gradient *grad)
{
    const int32_t row = input->tokens[s] - 1;
    const struct segment segment = {.count = input->tokens[s]};
    int32_t position[LONGEST];
    float score;
    for (int i = 0; i < LONGEST; i++)
        position[i] = i;
    assert_ok(backward_begin(fw));
    assert_ok(forward_run(fw, input->token[s], position, input->tokens[s], &segment, 1));
    assert_ok(forward_value(fw, model, &row, 1, &score));
    assert_score((double)score, input->score[s]);
    assert_ok(backward_value(fw, model, &row, &input->weight[s], 1, grad));
    assert_ok(backward_body(fw, grad));
}

/* By the names of PEFT's files. A tensor is measured as a whole. */
static void compare_gradients(const struct model *adapter, const float *flat, const char *path)
{
    SCOPED(safetensors) in = NULL;
    const struct params *params = adapter->params;
    assert_ok(safetensors_open(path, &in));
    int files = safetensors_count(in);
    for (int i = 0; i < params->layout->count; i++) {
        const struct layout_tensor *t = &params->layout->tensor[i];
        SCOPED_MEM char *name = mem_printf("grad.%s", params->stored[i].name);
        const struct tensor_info *info = safetensors_find(in, name);
        SCOPED_MEM float *want = mem_array(t->count, sizeof *want);
        double far = 0, size = 0;
        assert_non_null(info);
        assert_ok(stored_read(in, info, &params->stored[i], 0, t->rows, want));
        for (size_t k = 0; k < t->count; k++) {
            far = fmax(far, fabs((double)flat[t->offset + k] - (double)want[k]));
            size = fmax(size, fabs((double)want[k]));
        }
        if (!(size > 0 && far <= 1e-4 * size))
            fail_msg("%s: %.1e of %.1e apart", name, far, size);
        files -= params->stored[i].part == 0;
    }
    assert_int_equal(files, 0);
}

static void compare(const char *name)
{
    SCOPED_MEM char *directory = mem_printf("%s/reward_adapters/%s", TEST_GOLDEN, name);
    SCOPED_MEM char *reference = file_join(directory, "reference.safetensors");
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) compact = NULL;
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    SCOPED(gradient) grad = NULL;
    const struct input input = read_input(directory);
    print_message("-- %s\n", name);
    assert_true(adapter_is_valued(directory));
    assert_ok(adapter_open_reward(be, directory, &compact));
    assert_null(model_values(compact));
    compare_scores(compact, &input);
    assert_ok(adapter_open_valued(be, directory, false, &model));
    assert_ok(model_keep_kv(model, KV_F32));
    assert_ok(forward_new(model, LONGEST, 16, FORWARD_ALL, &fw));
    assert_ok(gradient_new(model, &grad));
    for (int s = 0; s < input.sequences; s++)
        add_gradient(fw, model, &input, s, grad);
    assert_ok(gradient_sum(grad));
    SCOPED_MEM float *flat = gradient_of(grad);
    compare_gradients(model->adapter, flat, reference);
}

static void scores_and_gradients_agree_with_peft(void **)
{
    SCOPED_VALUE(file_names) names = {0};
    assert_ok(file_names(TEST_GOLDEN "/reward_adapters", &names));
    assert_true(names.count >= 3);
    for (size_t i = 0; i < names.count; i++)
        compare(names.at[i]);
}

/* Written and read again: the same bits. */
static void it_comes_back_as_it_was_written(void **)
{
    SCOPED_MEM char *copy = mem_printf("%s/copy", testing_directory());
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(model) again = NULL;
    struct digest a, b;
    assert_ok(adapter_open_valued(be, TEST_GOLDEN "/reward_adapters/llama", false, &model));
    assert_ok(model_save(model->adapter, copy));
    assert_ok(adapter_open_reward(be, copy, &again));
    assert_ok(model_digest(model->adapter, &a));
    assert_ok(model_digest(again->adapter, &b));
    assert_true(digest_equal(&a, &b));
}

/* W + s B A with the adapter's head scores as the pair does. */
static void merged_it_scores_the_same(void **)
{
    const char *directory = TEST_GOLDEN "/reward_adapters/llama";
    SCOPED_MEM char *merged = mem_printf("%s/merged", testing_directory());
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    SCOPED(model) one = NULL;
    SCOPED(scores) scores = NULL;
    SCOPED_VALUE(buffer) sum = {0};
    float got;
    const struct input input = read_input(directory);
    assert_ok(adapter_open_valued(be, directory, false, &model));
    assert_ok(buffer_alloc(be, model->params->layout->elements * sizeof(float), &sum));
    assert_ok(adapter_merge(model, NULL, &sum));
    assert_ok(file_make_directories(merged));
    assert_ok(model_write_f32(model, &sum, merged));
    assert_ok(adapter_open_reward(be, merged, &one));
    assert_ok(scores_new(one, LONGEST, &scores));
    for (int s = 0; s < input.sequences; s++) { // W is rounded to bf16 once more
        assert_ok(scores_run(scores, input.token[s], input.tokens[s], &got));
        assert_near((double)got, input.score[s], 0.02);
    }
}

static void another_kind_is_refused(void **)
{
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = NULL;
    assert_err(ERR_INVALID, "'task_type' is \"CAUSAL_LM\"; allowed: \"SEQ_CLS\", null",
               adapter_open_reward(be, TEST_GOLDEN "/adapters/llama", &model));
    assert_err(ERR_INVALID, "'task_type' is \"SEQ_CLS\"; allowed: \"CAUSAL_LM\", null",
               adapter_open(be, TEST_GOLDEN "/reward_adapters/llama", true, &model));
    assert_false(adapter_is_valued(TEST_GOLDEN "/adapters/llama"));
    assert_false(adapter_is_valued(TEST_GOLDEN "/scores/llama"));
}

/* The head is among those that PEFT saves, and nothing else is. */
static void what_is_saved_beside_is_the_head(void **)
{
    static const char *const wrong[] = {
        "null", "[]", "[\"classifier\"]", "[\"score\", \"lm_head\"]", "\"score\"", "[7]"};
    struct model_config config;
    struct lora lora;
    assert_ok(config_read(TEST_GOLDEN "/families/llama_llama3", &config));
    config.parts = PARTS_CRITIC;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        SCOPED_MEM char *text =
            mem_printf("{\"peft_type\": \"LORA\", \"task_type\": \"SEQ_CLS\", \"r\": 2, "
                       "\"lora_alpha\": 2, \"target_modules\": [\"q_proj\"], "
                       "\"modules_to_save\": %s}",
                       wrong[i]);
        SCOPED_JSON json_t *json = json_loads(text, 0, NULL);
        assert_err(ERR_INVALID, "allowed: [\"score\"]: the head is trained",
                   adapter_config_parse(json, "a.json", &config, &lora));
    }
}

TESTS(cmocka_unit_test(scores_and_gradients_agree_with_peft),
      cmocka_unit_test(it_comes_back_as_it_was_written),
      cmocka_unit_test(merged_it_scores_the_same), cmocka_unit_test(another_kind_is_refused),
      cmocka_unit_test(what_is_saved_beside_is_the_head))
