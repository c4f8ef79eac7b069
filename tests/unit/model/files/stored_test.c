/* Directories as other programs leave them: names of a bare trunk, constants of old versions,
 * tensors too many; fused and transposed ones in several types and shards. */
#include "base/file.h"
#include "unit/model/tiny.h"
#include <stdlib.h>

static struct model *model_of(struct backend *be, const char *model_type, bool tied)
{
    struct model_config config = config_default(13, 16, 24, 2, 2, 2, 32, tied);
    struct model *model = NULL;
    config_family(&config, family_find(model_type));
    assert_ok(model_new(be, &config, 3, &model));
    return model;
}

/* The tensors of a saved model, as float32, which a test may rename and add to. */
struct tensors {
    int count;
    struct tensor_source at[64];
};

static struct tensors tensors_of(const char *directory)
{
    SCOPED(safetensors) in = NULL;
    struct tensors ret = {0};
    assert_ok(safetensors_open_model(directory, &in));
    for (int i = 0; i < safetensors_count(in); i++) {
        const struct tensor_info *t = safetensors_at(in, i);
        float *value = mem_array(t->count, sizeof *value);
        assert_ok(safetensors_read_f32(in, t, value));
        ret.at[ret.count++] = (struct tensor_source){.name = mem_string(t->name),
                                                     .dtype = DTYPE_F32,
                                                     .rows = (int)t->shape[0],
                                                     .cols = t->rank == 2 ? (int)t->shape[1] : 0,
                                                     .data = value};
    }
    return ret;
}

static void tensors_done(struct tensors *t)
{
    for (int i = 0; i < t->count; i++) {
        free((char *)t->at[i].name);
        free((void *)t->at[i].data);
    }
}

static void add(struct tensors *t, const char *name, int rows, int cols)
{
    t->at[t->count++] =
        (struct tensor_source){.name = mem_string(name),
                               .dtype = DTYPE_F32,
                               .rows = rows,
                               .cols = cols,
                               .data = mem_array((size_t)(rows * (cols ? cols : 1)), 4)};
}

static void write_all(const char *directory, const struct tensors *t)
{
    SCOPED_MEM char *path = file_join(directory, "model.safetensors");
    assert_ok(safetensors_write(path, t->at, t->count, NULL, 0));
}

/* Without its first letters, where it has them. */
static void bare(struct tensors *t, const char *prefix)
{
    for (int i = 0; i < t->count; i++) {
        char *name = (char *)t->at[i].name;
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            memmove(name, name + strlen(prefix), strlen(name) - strlen(prefix) + 1);
    }
}

static void a_bare_trunk_and_old_constants_are_read(void **state)
{
    (void)state;
    static const char *const constants[][2] = {
        {"h.0.attn.bias", "h.1.attn.masked_bias"},
        {"gpt_neox.layers.0.attention.bias", "gpt_neox.layers.1.attention.rotary_emb.inv_freq"}};
    for (int neox = 0; neox < 2; neox++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, neox ? "gpt_neox" : "gpt2", !neox);
        SCOPED(model) got = NULL;
        const char *directory = testing_directory();
        assert_ok(model_save(model, directory));
        struct tensors t = tensors_of(directory);
        bare(&t, "transformer.");
        add(&t, constants[neox][0], 8, 8);
        add(&t, constants[neox][1], 4, 0);
        write_all(directory, &t);
        assert_ok(model_load(be, directory, &got));
        assert_same_weights(model, got);
        tensors_done(&t);
    }
}

static void tensors_too_many_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int rows, cols;
        const char *message;
    } cases[] = {
        {"h.0.ln_1.weight", 16, 0,
         "tensor 'h.0.ln_1.weight': is there as 'transformer.h.0.ln_1.weight' too"},
        {"transformer.h.2.ln_1.weight", 16, 0,
         "tensor 'transformer.h.2.ln_1.weight': a gpt2 model has none of that name"},
        {"transformer.h.0.attn.q.weight", 16, 16, "a gpt2 model has none of that name"},
        {"transformer.h.0.crossattention.c_attn.bias", 16, 0, "a gpt2 model has none"},
        {"lm_head.weight", 13, 16, "though config.json has 'tie_word_embeddings'"},
        {"transformer.h.0.attn.c_attn.adapter", 2, 2, "a gpt2 model has none"},
    };
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = model_of(be, "gpt2", true);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED(model) got = NULL;
        const char *directory = testing_directory();
        assert_ok(model_save(model, directory));
        struct tensors t = tensors_of(directory);
        add(&t, cases[i].name, cases[i].rows, cases[i].cols);
        write_all(directory, &t);
        assert_err(ERR_INVALID, cases[i].message, model_load(be, directory, &got));
        tensors_done(&t);
    }
}

/* The files' shape is what is wrong, and what the message names. */
static void a_fused_tensor_of_another_shape_is_refused(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = model_of(be, "gpt2", true);
    SCOPED(model) got = NULL;
    const char *directory = testing_directory();
    assert_ok(model_save(model, directory));
    struct tensors t = tensors_of(directory);
    for (int i = 0; i < t.count; i++)
        if (strcmp(t.at[i].name, "transformer.h.1.attn.c_attn.weight") == 0) {
            assert_int_equal(t.at[i].rows, 16);
            assert_int_equal(t.at[i].cols, 48);
            t.at[i].rows = 48;
            t.at[i].cols = 16;
        }
    write_all(directory, &t);
    assert_err(ERR_INVALID,
               "'transformer.h.1.attn.c_attn.weight': is [48, 16] (rank 2), config.json asks for "
               "[16, 48]",
               model_load(be, directory, &got));
    tensors_done(&t);
}

/* Where each part's rows lie: GPT-NeoX has the three of a head together, GPT-2 has columns. */
static void parts_lie_where_transformers_has_them(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    for (int neox = 0; neox < 2; neox++) {
        SCOPED(model) model = model_of(be, neox ? "gpt_neox" : "gpt2", false);
        SCOPED(safetensors) in = NULL;
        const char *directory = testing_directory();
        const char *name = neox ? "gpt_neox.layers.1.attention.query_key_value.weight"
                                : "transformer.h.1.attn.c_attn.weight";
        static const enum param_role roles[] = {PARAM_Q, PARAM_K, PARAM_V};
        float file[48 * 16];
        SCOPED_MEM bf16 *flat = flat_of(model);
        assert_ok(model_save(model, directory));
        assert_ok(safetensors_open_model(directory, &in));
        assert_ok(safetensors_read_f32(in, safetensors_find(in, name), file));
        for (int part = 0; part < 3; part++)
            for (int r = 0; r < 16; r++)
                for (int c = 0; c < 16; c++) {
                    const int tensor = params_layer(model->params, 1, roles[part]).weight;
                    const size_t at = model->params->layout->tensor[tensor].offset;
                    const int row = neox ? r / 8 * 24 + part * 8 + r % 8 : part * 16 + r;
                    assert_true(file[neox ? row * 16 + c : c * 48 + row] ==
                                bf16_to_float(flat[at + (size_t)(r * 16 + c)]));
                }
    }
}

/* Settings of drawing go from directory to directory. Tokens that the file does not name are those
 * of config.json. */
static void generation_settings_are_carried_through(void **state)
{
    (void)state;
    SCOPED(backend) be = tiny_backend(1);
    SCOPED(model) model = model_of(be, "qwen2", true);
    SCOPED(model) got = NULL;
    SCOPED(model) again = NULL;
    const char *directory = testing_directory(), *other = testing_directory();
    const char *text = "{\"temperature\": 0.6, \"eos_token_id\": [4, 2], \"top_k\": 20}";
    SCOPED_MEM char *path = file_join(directory, "generation_config.json");
    SCOPED_MEM char *written = file_join(other, "generation_config.json");
    SCOPED_JSON json_t *json = NULL;
    model->config.pad = 3;
    assert_ok(model_save(model, directory));
    assert_ok(file_write(path, text, strlen(text)));
    assert_ok(model_load(be, directory, &got));
    assert_int_equal(got->config.eos_count, 2);
    assert_ok(model_save(got, other));
    assert_ok(json_read_file(written, 1 << 16, &json));
    SCOPED_JSON json_t *want =
        json_pack("{s:f,s:[i,i],s:i,s:n,s:i}", "temperature", 0.6, "eos_token_id", 4, 2, "top_k",
                  20, "bos_token_id", "pad_token_id", 3);
    assert_true(json_equal(json, want));
    assert_ok(model_load(be, other, &again));
    assert_true(json_equal(again->generation, want));
}

/* float32 values come back to the bit, those of fused and transposed tensors too. */
static void float32_is_written_and_read(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "gpt_neox", "gpt2"};
    for (int f = 0; f < 3; f++) {
        SCOPED(backend) be = tiny_backend(1);
        SCOPED(model) model = model_of(be, families[f], f == 2);
        SCOPED(model) got = NULL;
        SCOPED_VALUE(buffer) values = {0};
        SCOPED_VALUE(buffer) again = {0};
        const struct layout *layout = model->params->layout;
        const size_t bytes = layout->elements * sizeof(float);
        const char *directory = testing_directory();
        SCOPED_MEM float *value = mem_array(layout->elements, sizeof *value);
        const struct rng rng = rng_keyed(17, RNG_TEST, 0, 0);
        for (int i = 0; i < layout->count; i++)
            for (size_t j = 0; j < layout->tensor[i].count; j++)
                value[layout->tensor[i].offset + j] =
                    (float)rng_uniform(&rng, layout->tensor[i].offset + j);
        assert_ok(buffer_alloc(be, bytes, &values));
        assert_ok(buffer_alloc(be, bytes, &again));
        assert_ok(buffer_put(&values, 0, value, bytes));
        assert_ok(model_write_f32(model, &values, directory));
        assert_ok(model_load(be, directory, &got));
        assert_int_equal(got->config.dtype, DTYPE_F32);
        assert_ok(model_read_f32(got, directory, &again));
        SCOPED_MEM float *read = rows_of(be, again.address, 1, (int)layout->elements);
        assert_memory_equal(read, value, bytes);
    }
}

TESTS(cmocka_unit_test(float32_is_written_and_read),
      cmocka_unit_test(generation_settings_are_carried_through),
      cmocka_unit_test(a_bare_trunk_and_old_constants_are_read),
      cmocka_unit_test(tensors_too_many_are_refused_by_name),
      cmocka_unit_test(a_fused_tensor_of_another_shape_is_refused),
      cmocka_unit_test(parts_lie_where_transformers_has_them))
