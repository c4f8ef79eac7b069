/* A reward model to test with: drawn weights of a few layers, and the tokenizer and chat template
 * of the golden rows of datasets.
 *
 *     const char *directory = kit_directory(64, 0);          -- 64 positions, pad token 0
 *     const char *path = kit_rows("{\"text\": \"a\"}\n");
 *
 * Directories and files go when the process ends. */
#pragma once
#include "base/file.h"
#include "base/mem.h"
#include "model/model.h"
#include "testing/testing.h"
#include <string.h>

enum { KIT_VOCABULARY = 458, KIT_END = 1 };

static inline void kit_copy(const char *name, const char *to)
{
    SCOPED_MEM char *from = file_join(TEST_GOLDEN "/datasets/model", name);
    SCOPED_MEM char *there = file_join(to, name);
    assert_ok(file_copy(from, there));
}

static inline const char *kit_directory(int max_positions, int pad)
{
    const char *directory = testing_directory();
    SCOPED(backend) be = NULL;
    SCOPED(model) model = NULL;
    struct model_config config =
        config_default(KIT_VOCABULARY, 32, 96, 2, 2, 2, max_positions, false);
    config.parts = PARTS_CRITIC;
    config.pad = pad;
    config.eos[config.eos_count++] = KIT_END;
    assert_ok(backend_open(NULL, &(struct backend_config){.threads = 1}, &be));
    assert_ok(model_new(be, &config, 9, &model));
    assert_ok(model_draw_value(model, 11, 0.5));
    assert_ok(model_save(model, directory));
    kit_copy("tokenizer.json", directory);
    kit_copy("tokenizer_config.json", directory);
    kit_copy("chat_template.jinja", directory);
    return directory;
}

static inline const char *kit_rows(const char *text)
{
    char *path = testing_path(testing_directory(), "rows.jsonl");
    assert_ok(file_write(path, text, strlen(text)));
    return path;
}
