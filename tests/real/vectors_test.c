/* Tokenizers of five families, as large as they are in use, against the ids of others. llama.cpp's
 * vectors have the original tokenizers' ids; SmolLM2's are those of Hugging Face's `tokenizers`
 * (tests/golden/real.py). */
#include "base/mem.h"
#include "model/text/tokenizer.h"
#include "real.h"
#include "testing/encode.h"
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20, IDS_MAX = 4096, TEXTS = 46 };
static const char SEPARATOR[] = "\n__ggml_vocab_test__\n";

static char *text_of(const char *directory, const char *name)
{
    SCOPED_MEM char *path = mem_printf("%s/%s", directory, name);
    SCOPED_VALUE(bytes) text = {0};
    assert_ok(file_read(path, FILE_MAX, &text));
    bytes_put(&text, "", 1);
    char *copy = mem_array(text.len, 1);
    memcpy(copy, text.data, text.len);
    return copy;
}

/* The text has these ids, and they have this text, byte for byte; with NFC that of its own form. */
static void same(const struct tokenizer *tokenizer, const char *text, size_t len,
                 const int32_t *want, int wanted, bool returns)
{
    int32_t got[IDS_MAX];
    int count = 0;
    SCOPED_VALUE(bytes) back = {0};
    assert_ok(encode_text(tokenizer, text, len, IDS_MAX, got, &count));
    assert_int_equal(count, wanted);
    assert_memory_equal(got, want, (size_t)wanted * sizeof *want);
    assert_ok(tokenizer_decode(tokenizer, want, (size_t)wanted, false, &back));
    if (returns) {
        assert_int_equal(back.len, len);
        assert_memory_equal(back.data, text, len);
    }
}

static int ids_of_line(char **line, int32_t *ret)
{
    char *at = *line, *end = at + strcspn(at, "\n");
    int count = 0;
    for (char *next; at < end; at = next, count++) {
        assert_in_range(count, 0, IDS_MAX - 1);
        ret[count] = (int32_t)strtol(at, &next, 10);
        if (next == at || next > end)
            break;
    }
    *line = end + (*end == '\n');
    return count;
}

static void compare(const char *name, bool returns)
{
    SCOPED_MEM char *directory = mem_printf("%s/tokenizers/%s", TEST_REAL, name);
    SCOPED_MEM char *inputs = text_of(directory, "vectors.inp");
    SCOPED_MEM char *outputs = text_of(directory, "vectors.out");
    SCOPED(tokenizer) tokenizer = NULL;
    assert_ok(tokenizer_load(directory, &tokenizer));
    char *line = outputs;
    int texts = 0;
    for (char *text = inputs, *end; (end = strstr(text, SEPARATOR)); texts++) {
        int32_t ids[IDS_MAX];
        const int count = ids_of_line(&line, ids);
        same(tokenizer, text, (size_t)(end - text), ids, count, returns);
        text = end + strlen(SEPARATOR);
    }
    print_message("%s: %d texts\n", name, texts);
    assert_int_equal(texts, TEXTS);
}

static void gpt2_has_its_ids(void **state)
{
    (void)state;
    compare("gpt2", true);
}

static void gpt_neox_has_its_ids(void **state)
{
    (void)state;
    compare("gpt_neox", false);
}

static void llama3_has_its_ids(void **state)
{
    (void)state;
    compare("llama3", true);
}

static void qwen2_has_its_ids(void **state)
{
    (void)state;
    compare("qwen2", false);
}

/* The same texts. */
static void smollm2_has_its_ids(void **state)
{
    (void)state;
    SCOPED_MEM char *texts = text_of(TEST_REAL "/tokenizers/gpt2", "vectors.inp");
    SCOPED_JSON json_t *golden = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/real/smollm2.json", FILE_MAX, &golden));
    assert_ok(tokenizer_load(real_path("smollm2"), &tokenizer));
    const json_t *want = json_object_get(golden, "text_ids");
    size_t at = 0;
    for (char *text = texts, *end; (end = strstr(text, SEPARATOR)); at++) {
        int count = 0;
        SCOPED_MEM int32_t *ids = real_ids(json_array_get(want, at), &count);
        same(tokenizer, text, (size_t)(end - text), ids, count, true);
        text = end + strlen(SEPARATOR);
    }
    assert_int_equal(at, TEXTS);
    assert_int_equal(json_array_size(want), TEXTS);
}

REAL_TESTS(cmocka_unit_test(gpt2_has_its_ids), cmocka_unit_test(gpt_neox_has_its_ids),
           cmocka_unit_test(llama3_has_its_ids), cmocka_unit_test(qwen2_has_its_ids),
           cmocka_unit_test(smollm2_has_its_ids))
