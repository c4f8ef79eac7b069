#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/files/config.h"
#include "model/text/pretoken.h"
#include "model/text/tokenizer.h"
#include "model/text/unicode.h"
#include "testing/encode.h"
#include "testing/testing.h"
#include <string.h>

#define GOLDEN TEST_GOLDEN "/tokenizer/"

static struct tokenizer *load(const char *name)
{
    SCOPED_MEM char *directory = mem_printf(GOLDEN "%s", name);
    struct tokenizer *tokenizer = NULL;
    assert_ok(tokenizer_load(directory, &tokenizer));
    return tokenizer;
}

static void saved_is_what_was_loaded(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    SCOPED(tokenizer) first = load("llama3");
    SCOPED(tokenizer) second = NULL;
    assert_ok(tokenizer_save(first, directory));
    assert_ok(tokenizer_load(directory, &second));
    struct digest a = tokenizer_digest(first), b = tokenizer_digest(second);
    assert_true(digest_equal(&a, &b));
    assert_int_equal(tokenizer_eos(second), 1);
    assert_int_equal(tokenizer_pad(second), 0);
    assert_int_equal(tokenizer_bos(second), -1);
    SCOPED(tokenizer) other = load("qwen2");
    struct digest c = tokenizer_digest(other);
    assert_false(digest_equal(&a, &c));
}

static void the_map_of_special_tokens_is_read_where_there_is_no_config(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    SCOPED_MEM char *json = file_join(directory, "tokenizer.json"),
                    *map = file_join(directory, "special_tokens_map.json");
    SCOPED(tokenizer) tokenizer = NULL;
    static const char names[] = "{\"eos_token\": {\"content\": \"<eos>\"}}";
    assert_ok(file_copy(GOLDEN "gpt2/tokenizer.json", json));
    assert_ok(tokenizer_load(directory, &tokenizer));
    assert_int_equal(tokenizer_eos(tokenizer), -1);
    tokenizer_free(STEAL(tokenizer));
    assert_ok(file_write(map, names, sizeof names - 1));
    assert_ok(tokenizer_load(directory, &tokenizer));
    assert_int_equal(tokenizer_eos(tokenizer), 1);
}

/* ---- properties */

static void any_bytes_come_back(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt2", "digits", "llama3"};
    static const char *const pieces[] = {
        " ", "a", "the", "\xf0\x9f\x98\x80", "\xe4\xb8\xad", "\n", "1", "\xff", "\xe4", "\x80"};
    const struct rng rng = rng_keyed(1, RNG_TEST, 2, 3);
    uint64_t draw = 0;
    for (size_t n = 0; n < 3; n++) {
        SCOPED(tokenizer) tokenizer = load(names[n]);
        for (int round = 0; round < 300; round++) {
            SCOPED_VALUE(bytes) text = {0}, back = {0};
            for (uint64_t i = rng_below(&rng, draw++, 120); i > 0; i--)
                if (round & 1)
                    bytes_u8(&text, (uint8_t)rng_u64(&rng, draw++));
                else
                    bytes_text(&text, pieces[rng_below(&rng, draw++, 10)]);
            int32_t ids[1024];
            int count = 0;
            assert_ok(encode_text(tokenizer, (const char *)text.data, text.len, 1024, ids, &count));
            assert_ok(tokenizer_decode(tokenizer, ids, (size_t)count, false, &back));
            assert_int_equal(back.len, text.len);
            if (text.len)
                assert_memory_equal(back.data, text.data, text.len);
        }
    }
}

static void special_tokens_are_skipped_on_request(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = load("llama3");
    SCOPED_VALUE(bytes) all = {0}, plain = {0};
    static const char text[] = "abc<|tool|> the<eos><pad>";
    SCOPED_MEM int32_t *ids = NULL;
    int count = 0;
    assert_ok(tokenizer_encode_row(tokenizer, text, sizeof text - 1, true, &ids, &count));
    assert_int_equal(ids[count - 1], tokenizer_pad(tokenizer));
    assert_int_equal(ids[count - 2], tokenizer_eos(tokenizer));
    assert_ok(tokenizer_decode(tokenizer, ids, (size_t)count, false, &all));
    assert_string_equal((char *)all.data, text);
    assert_ok(tokenizer_decode(tokenizer, ids, (size_t)count, true, &plain));
    assert_string_equal((char *)plain.data, "abc<|tool|> the"); // added, but not special
    assert_int_equal(tokenizer_id(tokenizer, "<eos>"), 1);
    assert_int_equal(tokenizer_id(tokenizer, "no such token"), -1);
}

/* Special tokens are found in what a template wrote and nowhere else; other added tokens
 * everywhere. */
static void data_cannot_spell_a_special_token(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = load("llama3");
    static const char text[] = "<eos>the <eos><|tool|><eos>";
    const struct text_span middle = {10, 4}, second = {9, 5}, both[] = {{0, 5}, {21, 6}};
    const struct {
        const struct text_span *span;
        size_t spans;
        int eos;
    } cases[] = {{NULL, 0, 0}, {&middle, 1, 0}, {&second, 1, 1}, {both, 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SCOPED_MEM int32_t *ids = NULL;
        SCOPED_VALUE(bytes) back = {0};
        int count = 0, eos = 0, tools = 0;
        assert_ok(tokenizer_encode(
            tokenizer,
            &(struct tokenizer_text){text, sizeof text - 1, cases[i].span, cases[i].spans}, &ids,
            &count));
        for (int k = 0; k < count; k++) {
            eos += ids[k] == tokenizer_eos(tokenizer);
            tools += ids[k] == tokenizer_id(tokenizer, "<|tool|>");
        }
        assert_int_equal(eos, cases[i].eos);
        assert_int_equal(tools, 1);
        assert_ok(tokenizer_decode(tokenizer, ids, (size_t)count, false, &back));
        assert_int_equal(back.len, sizeof text - 1);
        assert_memory_equal(back.data, text, back.len);
    }
}

static void classes_of_code_points(void **state)
{
    (void)state;
    int count[4] = {0};
    for (uint32_t code = 0; code < 0x110000; code++)
        count[unicode_class(code)]++;
    assert_int_equal(count[UNICODE_LETTER], 141028);
    assert_int_equal(count[UNICODE_NUMBER], 1911);
    assert_int_equal(count[UNICODE_SPACE], 25);
    assert_int_equal(unicode_class(UNICODE_INVALID), UNICODE_OTHER);
}

static void utf8_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xe4\xb8",
                                      "\xff",
                                      "\xc3("};
    uint32_t code;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(unicode_next(bad[i], strlen(bad[i]), &code), 1);
        assert_int_equal(code, UNICODE_INVALID);
    }
    for (uint32_t want = 0; want < 0x110000; want += want < 0x3000 ? 1 : 97) {
        char text[4];
        if (want >= 0xd800 && want < 0xe000)
            continue;
        int len = unicode_put(want, text);
        assert_int_equal(unicode_next(text, (size_t)len, &code), len);
        assert_int_equal(code, want);
    }
}

/* ---- bounds and misfits */

static void encoding_is_bounded(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = load("gpt2");
    SCOPED(tokenizer) seen = load("seen");
    int32_t ids[4];
    int count = -7;
    assert_ok(encode_text(tokenizer, "", 0, 0, ids, &count));
    assert_int_equal(count, 0);
    assert_err(ERR_INVALID, "no token for byte 0x51 ('Q')",
               encode_text(seen, "Q", 1, 4, ids, &count));
    SCOPED_VALUE(bytes) out = {0};
    assert_err(ERR_RANGE, "-1", tokenizer_decode(tokenizer, (int32_t[]){-1}, 1, true, &out));
    assert_int_equal(out.len, 0);
}

/* Golden gpt2's 600 tokens and an added one far behind them. */
static struct tokenizer *with_a_hole(void)
{
    SCOPED_JSON json_t *json = NULL;
    struct tokenizer *tokenizer = NULL;
    assert_ok(json_read_file(GOLDEN "gpt2/tokenizer.json", 1 << 20, &json));
    json_array_append_new(json_object_get(json, "added_tokens"),
                          json_pack("{s:i, s:s, s:b, s:b}", "id", 605, "content", "<far>",
                                    "special", 1, "normalized", 0));
    SCOPED_MEM char *text = json_to_text(json);
    assert_ok(tokenizer_parse(text, strlen(text), "{}", 2, "holes", &tokenizer));
    return tokenizer;
}

static void assert_vacant(const struct tokenizer *tokenizer, int V, const struct token_range *want,
                          int ranges)
{
    struct token_range *got = NULL;
    assert_int_equal(tokenizer_vacant(tokenizer, V, &got), ranges);
    for (int i = 0; i < ranges; i++)
        assert_true(got[i].first == want[i].first && got[i].count == want[i].count);
    for (int id = -1; id <= V; id++) { // by its own way
        bool in = false;
        for (int i = 0; i < ranges; i++)
            in = in || (id >= want[i].first && id < want[i].first + want[i].count);
        assert_int_equal(token_ranges_have(got, ranges, id), in);
    }
    mem_free(got);
}

static void ids_without_a_token_are_found_and_have_no_text(void **state)
{
    (void)state;
    SCOPED(tokenizer) whole = load("gpt2");
    SCOPED(tokenizer) holes = with_a_hole();
    const struct token_range hole = {600, 5}, both[] = {{600, 5}, {606, 34}};
    assert_vacant(whole, 600, NULL, 0);
    assert_vacant(whole, 640, &(struct token_range){600, 40}, 1);
    assert_int_equal(tokenizer_vocab(holes), 606);
    assert_vacant(holes, 606, &hole, 1);
    assert_vacant(holes, 640, both, 2);
    SCOPED_VALUE(bytes) all = {0}, plain = {0};
    const int32_t ids[] = {70, 602, 605, 71, 639, INT32_MAX};
    assert_ok(tokenizer_decode(holes, ids, 6, false, &all));
    assert_ok(tokenizer_decode(whole, (int32_t[]){70, 71}, 2, false, &plain));
    assert_int_equal(all.len, plain.len + 5);
    assert_non_null(memmem(all.data, all.len, "<far>", 5));
}

static err_t check(const struct tokenizer *tokenizer, int V, int a, int b)
{
    struct model_config config = config_default(V, 64, 48, 2, 4, 2, 96, true);
    config.eos[0] = a;
    config.eos[1] = b;
    config.eos_count = b >= 0 ? 2 : a >= 0;
    return tokenizer_check(tokenizer, &config);
}

static int end_of(const struct tokenizer *tokenizer, int a, int b)
{
    struct model_config config = {.eos = {a, b}, .eos_count = b >= 0 ? 2 : a >= 0};
    return tokenizer_end(tokenizer, &config);
}

static void another_vocabularys_tokenizer_is_found(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = load("gpt2");
    SCOPED(tokenizer) holes = with_a_hole();
    assert_int_equal(tokenizer_vocab(tokenizer), 600);
    assert_ok(check(tokenizer, 600, 1, -1));
    assert_ok(check(tokenizer, 640, -1, -1));
    assert_ok(check(tokenizer, 640, 0, -1)); // another special token
    assert_ok(check(tokenizer, 640, 7, 1));  // a list may begin with an ordinary one
    assert_ok(check(tokenizer, 640, 7, 0));
    assert_err(ERR_PRECONDITION, "it has 600 tokens, the model 599", check(tokenizer, 599, 1, -1));
    assert_err(ERR_PRECONDITION, "end token is 1, the model's is 7 (config.json)",
               check(tokenizer, 600, 7, -1));
    assert_err(ERR_PRECONDITION, "end token is 1, the model's is 7", check(tokenizer, 600, 7, 8));
    assert_err(ERR_PRECONDITION,
               "config.json: 'eos_token_id' 601 has no token: the tokenizer has 600",
               check(tokenizer, 602, 1, 601));
    assert_err(ERR_PRECONDITION, "'eos_token_id' 602 has no token", check(holes, 606, 602, -1));
    assert_ok(check(holes, 606, 605, -1)); // it names no end token of its own
}

/* Of a list: the tokenizer's, else the first special one, else the first. */
static void one_end_token_is_written(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = load("gpt2");
    assert_int_equal(end_of(tokenizer, -1, -1), -1);
    assert_int_equal(end_of(tokenizer, 1, -1), 1);
    assert_int_equal(end_of(tokenizer, 7, 1), 1);
    assert_int_equal(end_of(tokenizer, 0, 1), 1);
    assert_int_equal(end_of(tokenizer, 7, 0), 0);
    assert_int_equal(end_of(tokenizer, 7, 8), 7);
}

/* Golden gpt2 with one member replaced: path is "model/type", value JSON text, or NULL to remove
 * it. */
static err_t parse_with(const char *path, const char *value)
{
    SCOPED_JSON json_t *json = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    assert_ok(json_read_file(GOLDEN "gpt2/tokenizer.json", 1 << 20, &json));
    json_t *at = json;
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1)
        at = json_object_getn(at, path, (size_t)(slash - path));
    assert_non_null(at);
    if (value)
        assert_int_equal(json_object_set_new(at, path, json_loads(value, JSON_DECODE_ANY, NULL)),
                         0);
    else
        json_object_del(at, path);
    SCOPED_MEM char *text = json_to_text(json);
    return tokenizer_parse(text, strlen(text), NULL, 0, "t.json", &tokenizer);
}

static void what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *path, *value, *message;
    } cases[] = {
        {"model", "[]", "member 'model'"},
        {"model/type", "\"Unigram\"",
         "model.type is \"Unigram\"; it must be \"BPE\" with the pre_tokenizer ByteLevel"},
        {"model/type", "\"WordPiece\"",
         "model.type is \"WordPiece\"; it must be \"BPE\" or \"Unigram\""},
        {"model/dropout", "0.1", "model.dropout is 0.1"},
        {"model/end_of_word_suffix", "\"</w>\"", "model.end_of_word_suffix"},
        {"model/continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix"},
        {"model/ignore_merges", "3", "ignore_merges"},
        {"model/vocab", "{}", "1 to 1048576 tokens"},
        {"model/vocab", "[1]", "model.vocab must be an object"},
        {"model/vocab", "{\"a\": \"b\"}", "the id of 'a'"},
        {"model/vocab", "{\"a\": -1}", "the id of 'a'"},
        {"model/vocab", "{\"a\": 4294967296}", "the id of 'a'"},
        {"model/vocab", "{\"a\": 1.5}", "the id of 'a'"},
        {"model/vocab", "{\"a\": 7, \"b\": 7}", "id 7 is given twice"},
        {"model/vocab", "{\"\": 7}", "1 to 4096 bytes"},
        {"model/vocab/a", "599", "id 599 is given twice"},
        {"model/merges", "{}", "model.merges must be an array"},
        {"model/merges", "[\"a b c\"]", "model.merges[0] is \"a b c\""},
        {"model/merges", "[[\"a\"]]", "model.merges[0]"},
        {"model/merges", "[[\"a\", 3]]", "model.merges[0]"},
        {"model/merges", "[\"ab\"]", "model.merges[0]"},
        {"model/merges", "[\" a\"]", "model.merges[0]"},
        {"model/merges", "[[\"a\", \"zq\"]]", "'zq' is not in model.vocab"},
        {"model/merges", "[[\"q\", \"q\"]]", "'qq' is not in model.vocab"},
        {"model/merges", "[\"a a\", \"a a\"]", "model.merges[1] repeats an earlier one"},
        {"normalizer", "{\"type\": \"Nmt\"}",
         "normalizer is {\"type\":\"Nmt\"}; it must be null, NFC"},
        {"normalizer",
         "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"X\"}]}",
         "normalizer.normalizers[1] is {\"type\":\"X\"}"},
        {"normalizer", "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}}",
         "normalizer.content is missing"},
        {"normalizer", "{\"type\": \"Prepend\", \"prepend\": 3}", "normalizer.prepend is 3"},
        {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}",
         "normalizer.precompiled_charsmap: it is not base64 of a map"},
        {"decoder", "null", "decoder is null"},
        {"decoder", "{\"type\": \"WordPiece\"}", "decoder is {\"type\":\"WordPiece\"}"},
        {"decoder", "{\"type\": \"ByteFallback\"}",
         "it must be ByteLevel, as the pre_tokenizer is"},
        {"pre_tokenizer", "null", "it must be another than ByteLevel"},
        {"pre_tokenizer", "{\"type\": \"UnicodeScripts\"}",
         "pre_tokenizer is {\"type\":\"UnicodeScripts\"}; it must be null, ByteLevel, Split"},
        {"pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": 3}",
         "pre_tokenizer.pretokenizers is 3"},
        {"pre_tokenizer",
         "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": \"Digits\"}]}",
         "pre_tokenizer.pretokenizers[1] is {\"type\":\"Digits\"}; it must be before ByteLevel"},
        {"pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"xy\"}",
         "pre_tokenizer.replacement is \"xy\"; it must be one character"},
        {"pre_tokenizer",
         "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"last\"}",
         "pre_tokenizer.prepend_scheme is \"last\""},
        {"pre_tokenizer",
         "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"x\"}, \"behavior\": \"Kept\"}",
         "pre_tokenizer.behavior is \"Kept\""},
        {"pre_tokenizer",
         "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\\\\b\"}, \"behavior\": \"Isolated\"}",
         "pre_tokenizer.pattern.Regex 'a\\b': at byte 3: an escape that is not known"},
        {"post_processor", "{\"type\": \"TemplateProcessing\"}",
         "post_processor.single is missing"},
        {"post_processor", "{\"type\": \"X\"}", "post_processor is {\"type\":\"X\"}"},
        {"post_processor",
         "{\"type\": \"RobertaProcessing\", \"cls\": [\"<s>\", 9999], \"sep\": [\"<s>\", 1]}",
         "post_processor is 9999; it must be the id of a token"},
        {"added_tokens", "7", "added_tokens must be an array"},
        {"added_tokens", "[3]", "an added token is 3"},
        {"added_tokens", "[{\"id\": 1}]", "'content' is missing"},
        {"added_tokens", "[{\"content\": \"<x>\"}]", "'id' is missing"},
        {"added_tokens", "[{\"content\": \"\", \"id\": 700}]", "content is \"\""},
        {"added_tokens", "[{\"content\": \"<x>\", \"id\": 1000000000000}]",
         "'id' is 1000000000000"},
        {"added_tokens", "[{\"content\": \"<x>\", \"id\": 5}]",
         "'<x>' has id 5, which model.vocab contradicts"},
        {"added_tokens", "[{\"content\": \"<eos>\", \"id\": 700}]", "contradicts"},
        {"added_tokens",
         "[{\"content\": \"<x>\", \"id\": 700}, {\"content\": \"<y>\", \"id\": 700}]",
         "id 700 is given twice"},
        {"added_tokens",
         "[{\"content\": \"<x>\", \"id\": 700}, {\"content\": \"<x>\", \"id\": 701}]",
         "'<x>' is given twice"},
        {"added_tokens", "[{\"content\": \"<x>\", \"id\": 700, \"lstrip\": 1}]", "'lstrip' is 1"},
        {"added_tokens", "[{\"content\": \"<x>\", \"id\": 700, \"special\": 1}]", "'special' is 1"},
    };
    assert_ok(parse_with("version", "\"1.0\""));
    assert_ok(parse_with("model/unk_token", "\"<pad>\"")); // never used: every byte is a token
    assert_ok(parse_with("post_processor", "{\"type\": \"ByteLevel\"}"));
    assert_ok(parse_with("model/type", NULL)); // as files of 2020 have it
    assert_ok(parse_with("model/byte_fallback", "true"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message, parse_with(cases[i].path, cases[i].value));
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) text = {0};
    SCOPED(tokenizer) tokenizer = NULL;
    assert_ok(file_read(GOLDEN "seen/tokenizer.json", 1 << 20, &text));
    for (size_t len = 0; len + 2 < text.len; len += 13)
        assert_err(ERR_INVALID, "t.json: not JSON",
                   tokenizer_parse((char *)text.data, len, NULL, 0, "t.json", &tokenizer));
    static const char *const configs[] = {"", "[]", "{\"eos_token\": 3}",
                                          "{\"eos_token\": \"<none>\"}", "{\"pad_token\": [1]}"};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        assert_err(ERR_INVALID, "t.json: its config",
                   tokenizer_parse((char *)text.data, text.len, configs[i], strlen(configs[i]),
                                   "t.json", &tokenizer));
    assert_null(tokenizer);
    assert_err(ERR_NOT_FOUND, "tokenizer.json", tokenizer_load(testing_directory(), &tokenizer));
}

TESTS(cmocka_unit_test(saved_is_what_was_loaded),
      cmocka_unit_test(the_map_of_special_tokens_is_read_where_there_is_no_config),
      cmocka_unit_test(any_bytes_come_back),
      cmocka_unit_test(special_tokens_are_skipped_on_request),
      cmocka_unit_test(data_cannot_spell_a_special_token), cmocka_unit_test(classes_of_code_points),
      cmocka_unit_test(utf8_is_strict), cmocka_unit_test(encoding_is_bounded),
      cmocka_unit_test(ids_without_a_token_are_found_and_have_no_text),
      cmocka_unit_test(another_vocabularys_tokenizer_is_found),
      cmocka_unit_test(one_end_token_is_written),
      cmocka_unit_test(what_is_not_supported_is_refused_by_name),
      cmocka_unit_test(damaged_files_are_refused))
