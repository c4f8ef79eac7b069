/* Stop texts against the plain way: decode everything after each token and search it. */
#include "base/mem.h"
#include "base/printable.h"
#include "base/rng.h"
#include "model/text/stops.h"
#include "testing/testing.h"
#include <string.h>

enum { TOKENS = 60 };

static struct tokenizer *load(void)
{
    struct tokenizer *tokenizer = NULL;
    assert_ok(tokenizer_load(TEST_GOLDEN "/tokenizer/gpt2", &tokenizer));
    return tokenizer;
}

static struct stops *make(const struct tokenizer *tokenizer, char *const *text, size_t texts)
{
    struct stops *stops = NULL;
    const struct model_config config = {.V = 1 << 20, .eos = {0}, .eos_count = 1};
    assert_ok(
        stops_new(tokenizer, &config, &(struct stop_names){.text = text, .texts = texts}, &stops));
    return stops;
}

/* Where the first of the texts begins in what the tokens decode to; -1: nowhere. */
static long found(const struct tokenizer *tokenizer, const int32_t *token, int tokens,
                  char *const *text, size_t texts)
{
    SCOPED_VALUE(bytes) all = {0};
    long first = -1;
    assert_ok(tokenizer_decode(tokenizer, token, (size_t)tokens, true, &all));
    for (size_t i = 0; i < texts; i++) {
        const char *at = all.len ? memmem(all.data, all.len, text[i], strlen(text[i])) : NULL;
        const long here = at ? (long)(at - (const char *)all.data) : -1;
        first = here >= 0 && (first < 0 || here < first) ? here : first;
    }
    return first;
}

/* Tokens drawn from the whole vocabulary, every fourth a special one; stop texts cut from what they
 * decode to, so that they begin and end inside tokens. */
static void a_stop_is_seen_at_the_token_that_completes_it(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = load();
    int ended = 0, inside = 0;
    for (uint64_t round = 0; round < 400; round++) {
        const struct rng rng = rng_keyed(round, RNG_TEST, 4, 0);
        int32_t token[TOKENS];
        for (uint64_t i = 0; i < TOKENS; i++)
            token[i] = rng_below(&rng, i, 4)
                           ? (int32_t)rng_below(&rng, 100 + i, (uint64_t)tokenizer_vocab(tokenizer))
                           : tokenizer_eos(tokenizer);
        SCOPED_VALUE(bytes) all = {0};
        assert_ok(tokenizer_decode(tokenizer, token, TOKENS, true, &all));
        char text[2][32] = {"never found, \x01", ""};
        const size_t len = 1 + rng_below(&rng, 500, 12), at = rng_below(&rng, 501, all.len - len);
        memcpy(text[1], all.data + at, len);
        if (strlen(text[1]) != len)
            continue;
        char *const texts[] = {text[0], text[1]};
        SCOPED(stops) stops = make(tokenizer, texts, 2);
        for (int n = 1; n <= TOKENS; n++) {
            const long begin = found(tokenizer, token, n, texts, 2);
            assert_int_equal(stops_reached(stops, token, n), begin >= 0);
            if (begin < 0)
                continue;
            const struct engine_completion c = {.token = token, .tokens = n, .finish = ENGINE_STOP};
            SCOPED_VALUE(bytes) cut = {0};
            SCOPED_VALUE(bytes) whole = {0};
            assert_ok(stops_text(stops, &c, &cut));
            assert_ok(tokenizer_decode(tokenizer, token, (size_t)n, true, &whole));
            SCOPED_VALUE(bytes) before = {0};
            utf8_put(&before, all.data, (size_t)begin);
            assert_int_equal(cut.len, before.len);
            assert_memory_equal(cut.data, before.data, cut.len);
            inside += begin + (long)len < (long)whole.len;
            ended++;
            break;
        }
    }
    assert_true(ended > 300 && inside > 50);
}

/* A vocabulary of characters: the beginning loses its space, and bytes become characters. */
static void a_stop_is_seen_among_bytes_of_characters(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = NULL;
    int seen = 0;
    assert_ok(tokenizer_load(TEST_GOLDEN "/tokenizer/llama2", &tokenizer));
    for (uint64_t round = 0; round < 200; round++) {
        const struct rng rng = rng_keyed(round, RNG_TEST, 4, 1);
        int32_t token[TOKENS];
        for (uint64_t i = 0; i < TOKENS; i++) // the first 259 are special or bytes
            token[i] = (int32_t)rng_below(&rng, i, i % 3 ? 400 : 259);
        SCOPED_VALUE(bytes) all = {0};
        assert_ok(tokenizer_decode_part(tokenizer, token, TOKENS, true, &all));
        char text[2][32] = {"never found, \x01", ""};
        const size_t len = 1 + rng_below(&rng, 500, 6), at = rng_below(&rng, 501, all.len - len);
        memcpy(text[1], all.data + at, len);
        if (strlen(text[1]) != len)
            continue;
        char *const texts[] = {text[0], text[1]};
        SCOPED(stops) stops = make(tokenizer, texts, 2);
        for (int n = 1; n <= TOKENS; n++) {
            SCOPED_VALUE(bytes) until = {0};
            assert_ok(tokenizer_decode_part(tokenizer, token, (size_t)n, true, &until));
            const bool there = until.len && memmem(until.data, until.len, text[1], len);
            assert_int_equal(stops_reached(stops, token, n), there);
            seen += there;
            if (there)
                break;
        }
    }
    assert_true(seen > 150);
}

static void tokens_are_those_named_and_the_models(void **state)
{
    (void)state;
    SCOPED(tokenizer) tokenizer = load();
    SCOPED(stops) stops = NULL;
    struct model_config config = {.V = 1 << 20, .eos = {3, 7}, .eos_count = 2};
    char *const token[] = {"a", "b", "a"}, *const unknown[] = {"no such token"},
                *const empty[] = {""};
    assert_err(
        ERR_INVALID, "stop token 'no such token'",
        stops_new(tokenizer, &config, &(struct stop_names){.token = unknown, .tokens = 1}, &stops));
    assert_err(
        ERR_INVALID, "stop text 0 is empty",
        stops_new(tokenizer, &config, &(struct stop_names){.text = empty, .texts = 1}, &stops));
    assert_null(stops);
    assert_ok(
        stops_new(tokenizer, &config, &(struct stop_names){.token = token, .tokens = 3}, &stops));
    assert_int_equal(stops->tokens, 4);
    assert_int_equal(stops->named, 2);
    assert_int_equal(stops->token[0], tokenizer_id(tokenizer, "a"));
    assert_int_equal(stops->token[3], 7);
    assert_false(stops_reached(stops, stops->token, 4)); // there are no texts
    const int32_t ids[] = {tokenizer_id(tokenizer, "a"), tokenizer_id(tokenizer, "b")};
    SCOPED_VALUE(bytes) text = {0};
    struct engine_completion c = {.token = ids, .tokens = 2, .finish = ENGINE_EOS};
    assert_ok(stops_text(stops, &c, &text));
    c.finish = ENGINE_LENGTH;
    assert_ok(stops_text(stops, &c, &text)); // appends
    assert_int_equal(text.len, 3);
    assert_memory_equal(text.data, "aab", 3);
}

TESTS(cmocka_unit_test(a_stop_is_seen_at_the_token_that_completes_it),
      cmocka_unit_test(a_stop_is_seen_among_bytes_of_characters),
      cmocka_unit_test(tokens_are_those_named_and_the_models))
