/* rlhfctl model merge on directories: every family's tensors find each other, heads and
 * vocabularies go as doge_rm says, and input that does not fit is refused in a line. */
#include "merge_kit.h"
#include <math.h>
#include <string.h>

static bool reads_back(struct backend *be, const char *directory, const char *like)
{
    SCOPED(model) a = NULL;
    SCOPED(model) b = NULL;
    struct model_config config;
    bool fresh;
    assert_ok(config_read_any(directory, &config));
    if (config.parts == PARTS_CRITIC) {
        assert_ok(model_load_critic(be, directory, &a, &fresh));
        assert_ok(model_load_critic(be, like, &b, &fresh));
    } else {
        assert_ok(model_load(be, directory, &a));
        assert_ok(model_load(be, like, &b));
    }
    const struct digest x = weights_digest_of(a), y = weights_digest_of(b);
    return memcmp(&x, &y, sizeof x) == 0;
}

/* Fused, transposed and prefixed tensors: by each method a model with itself is itself. */
static void a_model_with_itself_is_itself(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    for (int i = 0; family_at(i); i++)
        for (int critic = 0; critic < 2; critic++) {
            const struct model_config config =
                kit_config(family_at(i), critic ? PARTS_CRITIC : PARTS_LANGUAGE);
            SCOPED_MEM char *stem = mem_printf("%s%d", family_at(i)->model_type, critic);
            SCOPED_MEM char *other = mem_printf("%s-base", stem);
            SCOPED_MEM char *mean = mem_printf("%s/%s-mean", testing_directory(), stem);
            SCOPED_MEM char *task = mem_printf("%s/%s-task", testing_directory(), stem);
            SCOPED_MEM char *ties = mem_printf("%s/%s-ties", testing_directory(), stem);
            const char *model = kit_model(be, &config, stem, 3);
            const char *base = kit_model(be, &config, other, 4);
            assert_ok(MERGE(model, model, model, mean));
            assert_ok(MERGE("--method", "task_arithmetic", "--base", base, model, task));
            assert_ok(MERGE("--method=ties", "--base", base, "--density=1", model, model, ties));
            assert_true(reads_back(be, mean, model));
            assert_true(reads_back(be, task, model));
            assert_true(reads_back(be, ties, model));
            assert_false(reads_back(be, base, model));
        }
}

/* In float32: each value is the weighted mean. */
static void reward_models_are_averaged(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    const struct model_config config = kit_config(family_find("qwen2"), PARTS_CRITIC);
    const char *a = kit_model(be, &config, "rm1", 1), *b = kit_model(be, &config, "rm2", 2);
    const char *to = testing_path(testing_directory(), "mean");
    assert_ok(MERGE("--weights", "3,1", "--dtype", "float32", a, b, to));
    size_t count;
    SCOPED_MEM float *x = kit_values(be, a, &config, &count);
    SCOPED_MEM float *y = kit_values(be, b, &config, &count);
    SCOPED_MEM float *got = kit_values(be, to, &config, &count);
    for (size_t i = 0; i < count; i++)
        assert_true(got[i] == (float)((3 * (double)x[i] + (double)y[i]) / 4));
    SCOPED(model) loads = NULL;
    assert_ok(model_load_reward(be, to, &loads));
    assert_int_equal(loads->config.dtype, DTYPE_F32);
    SCOPED(safetensors) file = NULL;
    assert_ok(safetensors_open_model(to, &file));
    const char *about = safetensors_metadata(file, "rlhfd_merge");
    assert_non_null(about);
    assert_non_null(strstr(about, "\"method\":\"linear\""));
    assert_non_null(strstr(about, "\"weight\":3.0"));
}

/* A base without the head: the heads are averaged, the trunks are task vectors. */
static void heads_that_the_base_lacks_are_averaged(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    const struct model_config critic = kit_config(family_find("llama"), PARTS_CRITIC);
    const struct model_config language = kit_config(family_find("llama"), PARTS_LANGUAGE);
    const char *a = kit_model(be, &critic, "head1", 1), *b = kit_model(be, &critic, "head2", 2);
    const char *base = kit_model(be, &language, "headless", 3);
    const char *to = testing_path(testing_directory(), "heads");
    assert_ok(MERGE("--method", "task_arithmetic", "--lambda", "0", "--base", base, "--dtype",
                    "float32", a, b, to));
    SCOPED(params) params = params_new(&critic);
    const struct layout_tensor *head = &params->layout->tensor[params->head[HEAD_VALUE].weight];
    size_t count, base_count;
    SCOPED_MEM float *x = kit_values(be, a, &critic, &count);
    SCOPED_MEM float *y = kit_values(be, b, &critic, &count);
    SCOPED_MEM float *got = kit_values(be, to, &critic, &count);
    SCOPED_MEM float *was = kit_values(be, base, &language, &base_count);
    for (size_t i = head->offset; i < head->offset + head->count; i++)
        assert_true(got[i] == (float)(((double)x[i] + (double)y[i]) / 2));
    assert_memory_equal(got, was, head->offset * sizeof *got); // lambda 0: the base's trunk
}

/* A drawn adapter beside the base, written to a directory; what the two make together. */
static float *adapted(struct backend *be, const char *base, const struct model_config *config,
                      const char *to)
{
    const char *const all[] = {"all-linear"};
    struct lora lora = {.r = 2, .alpha = 3};
    SCOPED(model) model = NULL;
    SCOPED_VALUE(buffer) whole = {0};
    bool fresh;
    assert_ok(adapter_targets(config->family, all, 1, &lora.roles));
    assert_ok(config->parts & PART_VALUE ? model_load_critic(be, base, &model, &fresh)
                                         : model_load(be, base, &model));
    assert_ok(adapter_new(model, base, &lora, LORA_GAUSSIAN, 6));
    const size_t low = model->adapter->params->layout->elements;
    SCOPED_MEM bf16 *drawn = mem_array(low, sizeof *drawn);
    for (size_t i = 0; i < low; i++)
        drawn[i] = bf16_from_float((float)((double)(i * 37 % 101) / 101 - 0.5));
    assert_ok(model_put(model->adapter, drawn, NULL));
    assert_ok(model_save(model->adapter, to));
    const size_t elements = model->params->layout->elements;
    float *ret = mem_array(elements, sizeof *ret);
    assert_ok(buffer_alloc(be, elements * sizeof *ret, &whole));
    assert_ok(adapter_merge(model, NULL, &whole));
    assert_ok(buffer_get(&whole, 0, elements * sizeof *ret, ret));
    return ret;
}

/* An adapter counts as its base with it, a reward model's with the head that it trained; the sum is
 * adapter_merge's. */
static void an_adapter_counts_as_a_whole_model(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    for (int f = 0; family_at(f); f++)
        for (int critic = 0; critic < 2; critic++) {
            const struct model_config config =
                kit_config(family_at(f), critic ? PARTS_CRITIC : PARTS_LANGUAGE);
            SCOPED_MEM char *name = mem_printf("%s-under%d", family_at(f)->model_type, critic);
            SCOPED_MEM char *low = mem_printf("%s/%s-low", testing_directory(), name);
            SCOPED_MEM char *to = mem_printf("%s/%s-with", testing_directory(), name);
            const char *base = kit_model(be, &config, name, 5);
            SCOPED_MEM float *want = adapted(be, base, &config, low);
            assert_ok(
                MERGE("--method=task_arithmetic", "--base", base, "--dtype=float32", low, to));
            size_t count;
            SCOPED_MEM float *got = kit_values(be, to, &config, &count);
            for (size_t i = 0; i < count; i++) // w + (merged - w) in float32: one rounding
                assert_near((double)got[i], (double)want[i], 1.2e-7);
        }
}

/* ---- DogeRM */

static const char *const ours[] = {"<eos>", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"};
static const char *const theirs[] = {"<s>", "x", "c", "b", "a", "y", "z", "j", "<eos>"};
enum { OURS = 11, THEIRS = 9 };

static const float *row_of(const float *flat, const struct params *params, int row)
{
    return flat + params->layout->tensor[params->embed.weight].offset + (size_t)row * KIT_C;
}

/* Shared tokens are averaged wherever they stand; tokens of one alone stay; the head stays. */
static void doge_rm_merges_by_token(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    const struct model_config critic = kit_config(family_find("llama"), PARTS_CRITIC);
    struct model_config language = kit_config(family_find("llama"), PARTS_LANGUAGE);
    language.V = THEIRS;
    const char *rm = kit_model(be, &critic, "doge", 1), *lm = kit_model(be, &language, "lm", 2);
    const char *to = testing_path(testing_directory(), "doged");
    kit_tokenizer(rm, ours, OURS);
    kit_tokenizer(lm, theirs, THEIRS);
    assert_ok(
        MERGE("--method", "doge_rm", "--weights", "0.75,0.25", "--dtype", "float32", rm, lm, to));
    SCOPED(params) params = params_new(&critic);
    SCOPED(params) lm_params = params_new(&language);
    size_t count, lm_count;
    SCOPED_MEM float *x = kit_values(be, rm, &critic, &count);
    SCOPED_MEM float *y = kit_values(be, lm, &language, &lm_count);
    SCOPED_MEM float *got = kit_values(be, to, &critic, &count);
    int shared = 0;
    for (int i = 0; i < OURS; i++) {
        int at = -1;
        for (int j = 0; j < THEIRS; j++)
            if (strcmp(ours[i], theirs[j]) == 0)
                at = j;
        shared += at >= 0;
        for (int c = 0; c < KIT_C; c++) {
            const double a = (double)row_of(x, params, i)[c];
            const double b = at < 0 ? a : (double)row_of(y, lm_params, at)[c];
            assert_true(row_of(got, params, i)[c] == (float)(0.75 * a + 0.25 * b));
        }
    }
    assert_int_equal(shared, 5); // <eos>, a, b, c, j
    const size_t after = params->layout->tensor[params->embed.weight + 1].offset;
    const size_t lm_after = lm_params->layout->tensor[lm_params->embed.weight + 1].offset;
    const size_t head = params->layout->tensor[params->head[HEAD_VALUE].weight].offset;
    for (size_t i = 0; i < head - after; i++)
        assert_true(got[after + i] ==
                    (float)(0.75 * (double)x[after + i] + 0.25 * (double)y[lm_after + i]));
    assert_memory_equal(got + head, x + head, KIT_C * sizeof *got);
    SCOPED(tokenizer) tokenizer = NULL;
    assert_ok(tokenizer_load(to, &tokenizer));
    assert_int_equal(tokenizer_id(tokenizer, "j"), 10);
}

/* ---- what is refused */

static void write_file(const char *directory, const char *name, const void *data, size_t len)
{
    SCOPED_MEM char *path = file_join(directory, name);
    assert_ok(file_write(path, data, len));
}

/* A directory whose tensor `name` begins with this value. */
static const char *spoilt(struct backend *be, const struct model_config *config, const char *name,
                          float value)
{
    SCOPED(model) model = NULL;
    bool fresh;
    const char *directory = kit_model(be, config, name, 8);
    assert_ok(model_load_critic(be, directory, &model, &fresh));
    set_weight(model, model->params->layout->tensor[model->params->norm.weight].offset,
               bf16_from_float(value));
    assert_ok(model_write(model, directory));
    return directory;
}

static void command_lines_are_refused_in_a_line(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    const struct model_config critic = kit_config(family_find("llama"), PARTS_CRITIC);
    const char *a = kit_model(be, &critic, "word1", 1);
    const char *to = testing_path(testing_directory(), "never");
    const struct {
        const char *part, *const argument[9];
    } cases[] = {
        {"--method: 'slerp' must be linear", {"--method", "slerp", a, to}},
        {"--base: ties needs the directory", {"--method", "ties", a, to}},
        {"--base: linear has none", {"--base", a, a, to}},
        {"--lambda: linear scales no task vectors", {"--lambda", "1", a, to}},
        {"--density: ties alone", {"--density", "0.5", a, to}},
        {"--density: '0' is not a number from 1e-06 to 1",
         {"--method", "ties", "--base", a, "--density", "0", a, to}},
        {"--weights: 'x' is not a number", {"--weights", "x", a, to}},
        {"--weights: '' is not a number", {"--weights", "1,", a, a, to}},
        {"--weights: '1,2,3' has more numbers than the 2 models", {"--weights", "1,2,3", a, a, to}},
        {"--weights: '1,2' has 2 numbers; allowed are one, or one for each of the 3 models",
         {"--weights", "1,2", a, a, a, to}},
        {"--weights: their sum is 0", {"--weights", "1,-1", a, a, to}},
        {"--weights: 'nan' is not a number", {"--weights", "nan", a, to}},
        {"--normalize: 'maybe' must be yes or no", {"--normalize", "maybe", a, to}},
        {"--normalize: doge_rm always", {"--normalize", "no", "--method", "doge_rm", a, to}},
        {"--dtype: 'fp8' must be bfloat16 or float32", {"--dtype", "fp8", a, to}},
        {"holds a model already", {a, a}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].part, kit_merge(cases[i].argument));
    assert_false(file_exists(to));
}

/* The model of a directory beside `a`: what its merge says. */
static void models_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    const struct model_config critic = kit_config(family_find("llama"), PARTS_CRITIC);
    const struct model_config language = kit_config(family_find("llama"), PARTS_LANGUAGE);
    const char *a = kit_model(be, &critic, "one", 1), *to = testing_path(testing_directory(), "no");
    const char *lm = kit_model(be, &language, "a-language", 1);
    struct model_config other = critic;
    other.F = 32;
    assert_err(ERR_INVALID, "'intermediate_size' is 32",
               MERGE(a, kit_model(be, &other, "wide", 1), to));
    other = critic;
    other.rope.theta = 500;
    assert_err(ERR_INVALID, "they must be the same",
               MERGE(a, kit_model(be, &other, "turns", 1), to));
    other = critic;
    other.V = 12;
    const char *larger = kit_model(be, &other, "larger", 1);
    assert_err(ERR_INVALID, "'vocab_size' is 12", MERGE(a, larger, to));
    const struct model_config gpt2 = kit_config(family_find("gpt2"), PARTS_CRITIC);
    assert_err(ERR_INVALID, "'model_type' is gpt2", MERGE(a, kit_model(be, &gpt2, "gpt2", 1), to));
    other = language;
    other.tied = true;
    assert_err(ERR_INVALID, "'tie_word_embeddings' is true",
               MERGE(lm, kit_model(be, &other, "tied", 1), to));
    assert_err(ERR_INVALID, "doge_rm takes a reward model first",
               MERGE("--method=doge_rm", lm, a, to));
    assert_err(ERR_INVALID, "doge_rm takes language models after the first",
               MERGE("--method=doge_rm", a, a, to));
    other = language;
    other.V = 12;
    const char *b = kit_model(be, &other, "no-tokenizer", 1);
    assert_err(ERR_NOT_FOUND, "embeddings are merged by token",
               MERGE("--method=doge_rm", a, (kit_tokenizer(a, ours, OURS), b), to));
    const char *swapped[] = {"<eos>", "b", "a", "c", "d", "e", "f", "g", "h", "i", "j"};
    const char *c = kit_model(be, &critic, "swapped", 1);
    kit_tokenizer(c, swapped, OURS);
    assert_err(ERR_INVALID, "token 1 is 'b'", MERGE(a, c, to));
    assert_err(ERR_NOT_FOUND, "none", MERGE(a, testing_path(testing_directory(), "none"), to));
    assert_false(file_exists(to));
}

static void damaged_models_are_refused(void **state)
{
    (void)state;
    SCOPED(backend) be = kit_backend();
    const struct model_config critic = kit_config(family_find("llama"), PARTS_CRITIC);
    const char *a = kit_model(be, &critic, "whole", 1);
    const char *to = testing_path(testing_directory(), "spoilt-to");
    SCOPED_MEM char *made = file_join(to, "model.safetensors");
    SCOPED_MEM char *config = file_join(to, "config.json");
    assert_err(ERR_INVALID, "value 0 is not a number; all must be finite",
               MERGE(a, spoilt(be, &critic, "nan", NAN), to));
    assert_err(ERR_INVALID, "'model.norm.weight': value 0 is infinite",
               MERGE(a, spoilt(be, &critic, "inf", INFINITY), to));
    const char *large = spoilt(be, &critic, "large", 3e38f);
    assert_err(ERR_INVALID, "too large for bfloat16",
               MERGE("--normalize", "no", "--weights", "1000", large, large, to));
    assert_false(file_exists(made));
    assert_false(file_exists(config));
    const char *cut = kit_model(be, &critic, "cut", 1);
    SCOPED_MEM char *path = file_join(cut, "model.safetensors");
    SCOPED_VALUE(bytes) file = {0};
    assert_ok(file_read(path, 1 << 24, &file));
    write_file(cut, "model.safetensors", file.data, file.len - 1);
    assert_err(ERR_INVALID, "cut short", MERGE(a, cut, to));
    const struct model_config language = kit_config(family_find("llama"), PARTS_LANGUAGE);
    const char *lm = kit_model(be, &language, "headed", 1);
    SCOPED_MEM char *theirs_config = file_join(a, "config.json");
    SCOPED_MEM char *other = file_join(lm, "config.json");
    assert_ok(file_copy(theirs_config, other)); // a reward model by its config alone
    assert_err(ERR_INVALID, "'score.weight' is missing", MERGE(a, lm, to));
}

TESTS(cmocka_unit_test(a_model_with_itself_is_itself), cmocka_unit_test(reward_models_are_averaged),
      cmocka_unit_test(heads_that_the_base_lacks_are_averaged),
      cmocka_unit_test(an_adapter_counts_as_a_whole_model),
      cmocka_unit_test(doge_rm_merges_by_token),
      cmocka_unit_test(command_lines_are_refused_in_a_line),
      cmocka_unit_test(models_that_do_not_fit_are_refused),
      cmocka_unit_test(damaged_models_are_refused))
