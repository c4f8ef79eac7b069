#include "base/bytes.h"
#include "base/file.h"
#include "base/mem.h"
#include "tiny.h"
#include <math.h>

static void the_table_has_hugging_face_names_and_aligned_offsets(void **state)
{
    (void)state;
    struct model_config config = tiny_config(false);
    SCOPED(params) params = params_new(&config);
    const struct layout *layout = params->layout;
    assert_int_equal(layout->count, 1 + 2 * 9 + 2);
    size_t parameters = 0;
    for (int i = 0; i < layout->count; i++) {
        assert_int_equal(layout->tensor[i].offset % LAYOUT_ALIGN, 0);
        assert_true(layout->tensor[i].offset >= parameters);
        parameters += layout->tensor[i].count;
    }
    assert_int_equal(parameters, layout->parameters);
    const struct layout_tensor *k = &layout->tensor[params_layer(params, 1, PARAM_K).weight];
    assert_string_equal(k->name, "model.layers.1.self_attn.k_proj.weight");
    assert_int_equal(k->rows, 32);
    assert_int_equal(k->cols, 64);
    assert_string_equal(layout->tensor[params->head[HEAD_VOCABULARY].weight].name,
                        "lm_head.weight");
    assert_ptr_equal(layout_find(layout, k->name), k);
    assert_null(layout_find(layout, "model.layers.2.mlp.up_proj.weight"));
}

static void the_layout_digest_tells_shapes_apart(void **state)
{
    (void)state;
    struct model_config a = tiny_config(false), b = tiny_config(true);
    SCOPED(params) one = params_new(&a);
    SCOPED(params) same = params_new(&a);
    SCOPED(params) other = params_new(&b);
    struct digest x = layout_digest(one->layout), y = layout_digest(same->layout),
                  z = layout_digest(other->layout);
    assert_true(digest_equal(&x, &y));
    assert_false(digest_equal(&x, &z));
    assert_int_equal(other->head[HEAD_VOCABULARY].weight, other->embed.weight);
}

static void a_fresh_model_is_a_function_of_its_seed(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(false);
    SCOPED(model) a = NULL;
    SCOPED(model) b = NULL;
    SCOPED(model) c = NULL;
    assert_ok(model_new(be, &config, 1, &a));
    assert_ok(model_new(be, &config, 1, &b));
    assert_ok(model_new(be, &config, 2, &c));
    SCOPED_MEM bf16 *value = flat_of(a);
    SCOPED_MEM bf16 *other = flat_of(c);
    assert_same_weights(a, b);
    assert_memory_not_equal(value, other, a->params->layout->elements * sizeof *value);
    const struct layout_tensor *down =
        &a->params->layout->tensor[params_layer(a->params, 0, PARAM_DOWN).weight];
    double squares = 0;
    for (size_t i = 0; i < down->count; i++)
        squares += pow(bf16_to_float(value[down->offset + i]), 2);
    /* std 1/sqrt(48) / sqrt(4); 3072 draws: within 4 standard errors of 1.3 % */
    assert_near(sqrt(squares / (double)down->count) / (1 / sqrt(48) / 2), 1, 0.052);
    const struct layout_tensor *norm = &a->params->layout->tensor[a->params->norm.weight];
    assert_int_equal(value[norm->offset + 63], 0x3f80);
}

static void a_saved_directory_loads_as_the_same_model(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    for (int tied = 0; tied < 2; tied++) {
        struct model_config config = tiny_config(tied);
        SCOPED_MEM char *directory = mem_printf("%s/deep/model", testing_directory());
        SCOPED(model) a = NULL;
        SCOPED(model) b = NULL;
        assert_ok(model_new(be, &config, 3, &a));
        assert_ok(model_save(a, directory));
        assert_ok(model_load(be, directory, &b));
        assert_same_weights(a, b);
        struct digest x = layout_digest(a->params->layout), y = layout_digest(b->params->layout);
        assert_true(digest_equal(&x, &y));
        SCOPED_MEM char *generation = file_join(directory, "generation_config.json");
        assert_true(file_exists(generation));
    }
}

/* A directory in which one tensor is replaced; name NULL drops it. */
static const char *directory_with(struct model *model, int at, struct tensor_source tensor,
                                  int extra)
{
    const struct layout *layout = model->params->layout;
    const char *directory = testing_directory();
    SCOPED_MEM struct tensor_source *out = mem_array((size_t)layout->count + 1, sizeof *out);
    int count = 0;
    for (int i = 0; i < layout->count; i++) {
        const struct layout_tensor *t = &layout->tensor[i];
        if (i != at || extra)
            out[count++] = (struct tensor_source){
                t->name, DTYPE_BF16, t->rows, t->cols, model_tensor(model, i), model->be};
        if (i == at && tensor.name)
            out[count++] = tensor;
    }
    assert_ok(model_save(model, directory));
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    assert_ok(safetensors_write(path, out, count, NULL, 0));
    return directory;
}

static void a_directory_that_does_not_fit_is_refused_by_tensor(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(false), tied = tiny_config(true);
    SCOPED(model) model = NULL;
    SCOPED(model) tied_model = NULL;
    SCOPED(model) got = NULL;
    assert_ok(model_new(be, &config, 3, &model));
    assert_ok(model_new(be, &tied, 3, &tied_model));
    const int q = params_layer(model->params, 1, PARAM_Q).weight;
    const char *name = model->params->layout->tensor[q].name;
    SCOPED_MEM bf16 *data = flat_of(model);
    assert_err(ERR_INVALID, "tensor 'model.layers.1.self_attn.q_proj.weight' is missing",
               model_load(be, directory_with(model, q, (struct tensor_source){0}, 0), &got));
    assert_err(
        ERR_INVALID, "is [32, 64] (rank 2), config.json asks for [64, 64]",
        model_load(be,
                   directory_with(model, q,
                                  (struct tensor_source){name, DTYPE_BF16, 32, 64, data, NULL}, 0),
                   &got));
    assert_err(
        ERR_INVALID, "rank 1",
        model_load(be,
                   directory_with(model, q,
                                  (struct tensor_source){name, DTYPE_BF16, 4096, 0, data, NULL}, 0),
                   &got));
    assert_err(
        ERR_INVALID, "tensor 'model.layers.1.self_attn.q_proj.bias': a llama model has none",
        model_load(be,
                   directory_with(model, q,
                                  (struct tensor_source){"model.layers.1.self_attn.q_proj.bias",
                                                         DTYPE_BF16, 64, 0, data, NULL},
                                  1),
                   &got));
    assert_null(got);
    assert_ok(model_load(
        be,
        directory_with(tied_model, q,
                       (struct tensor_source){"lm_head.weight", DTYPE_BF16, 37, 64, data, NULL}, 1),
        &got));
    model_free(STEAL(got));
    data[37 * 64 - 1] ^= 1;
    assert_err(
        ERR_INVALID,
        "tensor 'lm_head.weight': is not 'model.embed_tokens.weight', though config.json has "
        "'tie_word_embeddings'",
        model_load(be,
                   directory_with(
                       tied_model, q,
                       (struct tensor_source){"lm_head.weight", DTYPE_BF16, 37, 64, data, NULL}, 1),
                   &got));
}

static void a_truncated_model_gives_one_line(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(false);
    SCOPED(model) model = NULL;
    SCOPED(model) got = NULL;
    assert_ok(model_new(be, &config, 3, &model));
    const char *directory = testing_directory();
    assert_err(ERR_NOT_FOUND, "config.json", model_load(be, directory, &got));
    assert_ok(model_save(model, directory));
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    SCOPED_VALUE(bytes) file = {0};
    assert_ok(file_read(path, 1 << 24, &file));
    assert_ok(file_write(path, file.data, file.len - 100));
    assert_err(ERR_INVALID, "the file is cut short", model_load(be, directory, &got));
    assert_ok(file_remove_tree(path));
    assert_err(ERR_NOT_FOUND, "model.safetensors", model_load(be, directory, &got));
}

/* Of a matrix and of a norm, whole or compact: the first value, the last one. */
static void weights_that_are_not_finite_are_refused_by_tensor(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(true);
    SCOPED(model) model = NULL;
    assert_ok(model_new(be, &config, 3, &model));
    const struct layout *layout = model->params->layout;
    const char *directory = testing_directory();
    static const struct {
        bf16 value;
        const char *message;
    } bad[] = {{0x7fc0, "is not a number; all must be finite"},
               {0xff81, "is not a number"},
               {0x7f80, "is infinite; all must be finite"},
               {0xff80, "is infinite"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct layout_tensor *tensor =
            &layout->tensor[i % 2 ? model->params->norm.weight : 0];
        const size_t at = i < 2 ? 0 : tensor->count - 1;
        SCOPED_MEM bf16 *held = flat_of(model);
        SCOPED_MEM char *place = mem_printf("tensor '%s': value %zu ", tensor->name, at);
        set_weight(model, tensor->offset + at, bad[i].value);
        assert_ok(model_save(model, directory));
        set_weight(model, tensor->offset + at, held[tensor->offset + at]);
        struct model *none = NULL;
        assert_err(ERR_INVALID, place, model_load(be, directory, &none));
        assert_err(ERR_INVALID, bad[i].message, model_load_compact(be, directory, &none));
    }
}

static void repacking_makes_new_values_count(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    struct model_config config = tiny_config(true);
    SCOPED(model) from = NULL;
    SCOPED(model) to = NULL;
    SCOPED(forward) a = NULL;
    SCOPED(forward) b = NULL;
    assert_ok(model_new(be, &config, 3, &from));
    assert_ok(model_empty(be, &config, &to));
    assert_ok(forward_new(from, 64, 8, false, &a));
    assert_ok(forward_new(to, 64, 8, false, &b));
    SCOPED_MEM bf16 *flat = flat_of(from); // to the flat array alone, as a step writes it
    assert_ok(buffer_put(&to->values, 0, flat, to->values.bytes));
    assert_ok(model_repack(to));
    const int lengths[] = {9, 20};
    SCOPED_VALUE(tiny_batch) batch = tiny_batch_of(lengths, 0, 2, config.V, 1);
    float x[64], y[64];
    tiny_forward(a, &batch);
    tiny_forward(b, &batch);
    assert_ok(forward_logp(a, batch.row, batch.target, batch.rows, 1, x, NULL));
    assert_ok(forward_logp(b, batch.row, batch.target, batch.rows, 1, y, NULL));
    assert_memory_equal(x, y, (size_t)batch.rows * sizeof *x);
    /* a fresh model's head is near uniform: what it costs is near log V */
    assert_near(-x[0], log(config.V), 0.15);
}

TESTS(cmocka_unit_test(the_table_has_hugging_face_names_and_aligned_offsets),
      cmocka_unit_test(the_layout_digest_tells_shapes_apart),
      cmocka_unit_test(a_fresh_model_is_a_function_of_its_seed),
      cmocka_unit_test(a_saved_directory_loads_as_the_same_model),
      cmocka_unit_test(a_directory_that_does_not_fit_is_refused_by_tensor),
      cmocka_unit_test(a_truncated_model_gives_one_line),
      cmocka_unit_test(weights_that_are_not_finite_are_refused_by_tensor),
      cmocka_unit_test(repacking_makes_new_values_count))
