/* Small model directories to merge, and the command on them. */
#pragma once
#include "base/file.h"
#include "base/mem.h"
#include "ctl/words/command.h"
#include "model/adapter.h"
#include "model/text/tokenizer.h"
#include "testing/models.h"
#include "testing/testing.h"

enum { KIT_V = 11, KIT_C = 16 };

static inline struct backend *kit_backend(void)
{
    struct backend *be = NULL;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    return be;
}

static inline struct model_config kit_config(const struct model_family *family, unsigned parts)
{
    struct model_config config = config_default(KIT_V, KIT_C, 24, 2, 2, 2, 32, false);
    config_family(&config, family);
    config.parts = parts;
    config.eos[0] = 1;
    config.eos_count = 1;
    config.pad = 0;
    return config;
}

/* Weights drawn by the seed. Returns its directory, testing's. */
static inline const char *kit_model(struct backend *be, const struct model_config *config,
                                    const char *name, uint64_t seed)
{
    SCOPED(model) model = NULL;
    const char *directory = testing_path(testing_directory(), name);
    assert_ok(model_new(be, config, seed, &model));
    if (config->parts & PART_VALUE)
        assert_ok(model_draw_value(model, seed, 0.5));
    assert_ok(model_save(model, directory));
    return directory;
}

/* A tokenizer of these tokens in order, of which the first is special. */
static inline void kit_tokenizer(const char *directory, const char *const *token, int count)
{
    SCOPED_JSON json_t *vocab = json_object();
    for (int i = 1; i < count; i++)
        json_object_set_new(vocab, token[i], json_integer(i));
    SCOPED_JSON json_t *json = json_pack(
        "{s:s, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b, s:b}, s:n, s:{s:s, s:b, "
        "s:b}, s:{s:s, s:O, s:[]}}",
        "version", "1.0", "added_tokens", "id", 0, "content", token[0], "special", 1, "normalized",
        0, "single_word", 0, "lstrip", 0, "rstrip", 0, "normalizer", "pre_tokenizer", "type",
        "ByteLevel", "add_prefix_space", 0, "use_regex", 1, "post_processor", "decoder", "type",
        "ByteLevel", "add_prefix_space", 0, "use_regex", 1, "model", "type", "BPE", "vocab", vocab,
        "merges");
    SCOPED_MEM char *text = json_to_text(json);
    SCOPED_MEM char *path = file_join(directory, "tokenizer.json");
    assert_non_null(json);
    assert_ok(file_write(path, text, strlen(text)));
}

/* rlhfctl model merge ARGUMENT..., up to a NULL. */
static inline err_t kit_merge(const char *const *argument)
{
    enum { MOST = 64 };
    char *argv[MOST] = {"model merge"};
    int argc = 1;
    for (; argument[argc - 1]; argc++)
        argv[argc] = (char *)argument[argc - 1];
    return command_model_merge(argc, argv);
}
#define MERGE(...) kit_merge((const char *const[]){__VA_ARGS__, NULL})

/* All of a whole model's values, by the files. */
static inline float *kit_values(struct backend *be, const char *directory,
                                const struct model_config *config, size_t *ret_count)
{
    SCOPED(model) model = NULL;
    SCOPED_VALUE(buffer) there = {0};
    assert_ok(model_empty(be, config, &model));
    const size_t count = model->params->layout->elements;
    float *flat = mem_array(count, sizeof *flat);
    assert_ok(buffer_alloc(be, count * sizeof *flat, &there));
    assert_ok(model_read_f32(model, directory, &there));
    assert_ok(buffer_get(&there, 0, count * sizeof *flat, flat));
    *ret_count = count;
    return flat;
}
