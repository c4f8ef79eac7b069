#include "base/json.h"
#include "base/mem.h"
#include "model/text/tokenizer_trainer.h"
#include "testing/encode.h"
#include "testing/testing.h"
#include <string.h>

#define GOLDEN TEST_GOLDEN "/tokenizer/"

static const char *const special[] = {"<pad>", "<eos>"};

static json_t *corpus(void)
{
    json_t *texts = NULL;
    assert_ok(json_read_file(GOLDEN "corpus.json", 1 << 20, &texts));
    return texts;
}

static void feed(struct tokenizer_trainer *trainer, const json_t *texts, bool backwards)
{
    const size_t count = json_array_size(texts);
    for (size_t i = 0; i < count; i++) {
        const json_t *text = json_array_get(texts, backwards ? count - 1 - i : i);
        tokenizer_trainer_feed(trainer, json_string_value(text), json_string_length(text));
    }
}

static struct tokenizer *train(const struct tokenizer_training *config, const json_t *texts,
                               bool backwards)
{
    SCOPED(tokenizer_trainer) trainer = NULL;
    struct tokenizer *tokenizer = NULL;
    assert_ok(tokenizer_trainer_new(config, &trainer));
    feed(trainer, texts, backwards);
    assert_ok(tokenizer_trainer_finish(trainer, &tokenizer));
    return tokenizer;
}

/* Tokens, merges and how text is cut are those that `tokenizers` found on the same texts. */
static void equals(const struct tokenizer *trained, const char *name)
{
    SCOPED_MEM char *directory = mem_printf(GOLDEN "%s", name);
    SCOPED(tokenizer) golden = NULL;
    assert_ok(tokenizer_load(directory, &golden));
    struct digest a = tokenizer_digest(trained), b = tokenizer_digest(golden);
    assert_int_equal(tokenizer_vocab(trained), tokenizer_vocab(golden));
    assert_true(digest_equal(&a, &b));
    assert_int_equal(tokenizer_eos(trained), 1);
    assert_int_equal(tokenizer_pad(trained), 0);
}

static void merges_equal_those_of_tokenizers(void **state)
{
    (void)state;
    SCOPED_JSON json_t *texts = corpus();
    static const struct {
        const char *name;
        struct tokenizer_training config;
    } cases[] = {
        {"gpt2", {.vocab_size = 600, .byte_alphabet = true, .special = special, .specials = 2}},
        {"frequent",
         {.vocab_size = 2000,
          .min_frequency = 9,
          .byte_alphabet = true,
          .special = special,
          .specials = 2}},
        {"short",
         {.vocab_size = 500,
          .max_token_length = 5,
          .byte_alphabet = true,
          .special = special,
          .specials = 2}},
    };
    for (size_t i = 0; i < 3; i++)
        for (int backwards = 0; backwards < 2; backwards++) {
            SCOPED(tokenizer) trained = train(&cases[i].config, texts, backwards);
            equals(trained, cases[i].name);
        }
}

static void only_bytes_seen(void **state)
{
    (void)state;
    SCOPED_JSON json_t *texts =
        json_pack("[s,s,s]", "sort these letters", "aabbcc", "abcabcabc banana");
    struct tokenizer_training config = {
        .vocab_size = 40, .special = special, .specials = 2, .model_max_length = 99};
    SCOPED(tokenizer) trained = train(&config, texts, false);
    equals(trained, "seen");
    config.vocab_size = 4;
    SCOPED(tokenizer_trainer) trainer = NULL;
    SCOPED(tokenizer) none = NULL;
    assert_ok(tokenizer_trainer_new(&config, &trainer));
    tokenizer_trainer_feed(trainer, "abc", 3);
    assert_err(ERR_INVALID, "vocab_size is 4; the special tokens and the bytes seen are 5",
               tokenizer_trainer_finish(trainer, &none));
}

static void saved_and_loaded_again(void **state)
{
    (void)state;
    const char *directory = testing_directory();
    SCOPED_JSON json_t *texts = corpus();
    static const char *const three[] = {"<pad>", "<bos>", "<eos>"};
    SCOPED(tokenizer)
    trained = train(
        &(struct tokenizer_training){
            .vocab_size = 400, .byte_alphabet = true, .special = three, .specials = 3},
        texts, false);
    SCOPED(tokenizer) loaded = NULL;
    assert_ok(tokenizer_save(trained, directory));
    assert_ok(tokenizer_load(directory, &loaded));
    struct digest a = tokenizer_digest(trained), b = tokenizer_digest(loaded);
    assert_true(digest_equal(&a, &b));
    assert_int_equal(tokenizer_bos(loaded), 1);
    assert_int_equal(tokenizer_eos(loaded), 2);
}

static void nothing_fed_gives_the_alphabet(void **state)
{
    (void)state;
    SCOPED(tokenizer_trainer) trainer = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    assert_ok(tokenizer_trainer_new(
        &(struct tokenizer_training){
            .vocab_size = 300, .byte_alphabet = true, .special = special, .specials = 2},
        &trainer));
    tokenizer_trainer_feed(trainer, "", 0);
    assert_ok(tokenizer_trainer_finish(trainer, &tokenizer));
    assert_int_equal(tokenizer_vocab(tokenizer), 258);
    tokenizer_trainer_feed(trainer, "aa aa", 5); // fed and finished again
    SCOPED(tokenizer) more = NULL;
    assert_ok(tokenizer_trainer_finish(trainer, &more));
    assert_int_equal(tokenizer_vocab(more), 260);
}

static void a_long_run_gives_tokens_that_can_be_read_back(void **state)
{
    (void)state;
    SCOPED(tokenizer_trainer) trainer = NULL;
    SCOPED(tokenizer) tokenizer = NULL;
    enum { RUN = 40000 };
    SCOPED_MEM char *run = mem_array(RUN, 1);
    int32_t ids[64];
    int count = 0;
    memset(run, ' ', RUN);
    assert_ok(tokenizer_trainer_new(&(struct tokenizer_training){.vocab_size = 60}, &trainer));
    tokenizer_trainer_feed(trainer, run, RUN);
    assert_ok(tokenizer_trainer_finish(trainer, &tokenizer));
    assert_true(tokenizer_vocab(tokenizer) >= 10);
    assert_ok(encode_text(tokenizer, run, RUN, 64, ids, &count));
    assert_true(count >= RUN / 2048);
}

static void bad_options_are_refused(void **state)
{
    (void)state;
    struct tokenizer_trainer *trainer = NULL;
    static const char *const twice[] = {"<a>", "<a>"}, *const empty[] = {""},
                             *const latin1[] = {"\xe9"};
    static const struct {
        struct tokenizer_training config;
        const char *message;
    } cases[] = {
        {{.vocab_size = 0}, "vocab_size is 0"},
        {{.vocab_size = 1 << 30}, "it must be from 1 to 1048576"},
        {{.vocab_size = 257, .byte_alphabet = true, .special = special, .specials = 2},
         "2 special tokens and 256 bytes need 258"},
        {{.vocab_size = 9, .min_frequency = -1}, "min_frequency is -1"},
        {{.vocab_size = 9, .max_token_length = 1}, "max_token_length is 1"},
        {{.vocab_size = 9, .special = twice, .specials = 2}, "'<a>' is named twice"},
        {{.vocab_size = 9, .special = empty, .specials = 1}, "special token 0"},
        {{.vocab_size = 9, .special = latin1, .specials = 1}, "special token 0 must be UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_err(ERR_INVALID, cases[i].message,
                   tokenizer_trainer_new(&cases[i].config, &trainer));
    assert_null(trainer);
}

TESTS(cmocka_unit_test(merges_equal_those_of_tokenizers), cmocka_unit_test(only_bytes_seen),
      cmocka_unit_test(saved_and_loaded_again), cmocka_unit_test(nothing_fed_gives_the_alphabet),
      cmocka_unit_test(a_long_run_gives_tokens_that_can_be_read_back),
      cmocka_unit_test(bad_options_are_refused))
