/* Errors, bytes, hashes, random numbers. */
#include "base/bytes.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/scoped.h"
#include "testing/testing.h"
#include <errno.h>
#include <math.h>
#include <string.h>

static err_t fails_through(int *calls)
{
    TRY(OK);
    ++*calls;
    TRY(err_wrap(err_new(ERR_RANGE, "value %d", 7), "table '%s'", "t"));
    ++*calls;
    return OK;
}

static void errors_carry_code_and_message_up(void **state)
{
    (void)state;
    int calls = 0;
    assert_err(ERR_RANGE, "table 't': value 7", fails_through(&calls));
    assert_int_equal(calls, 1);
    assert_false(err_failed(err_wrap(OK, "unused")));
    assert_false(err_failed(err_reason(err_field(OK, "lag.max", "0 to 9"), "UNUSED")));
    err_t e = err_field(err_new(ERR_INVALID, "lag.max: 10"), "lag", "something");
    assert_null(err_reason_word(e));
    e = err_wrap(err_reason(err_field(e, "lag.max", "0 to 9"), "VALUE_NOT_ALLOWED"), "settings");
    assert_string_equal(err_message(e), "settings: lag.max: 10");
    assert_string_equal(err_field_name(e), "lag.max");
    assert_string_equal(err_field_allowed(e), "0 to 9");
    assert_string_equal(err_reason_word(e), "VALUE_NOT_ALLOWED");
    err_free(e);
    assert_int_equal(err_code(OK), ERR_NONE);
    assert_string_equal(err_message(OK), "ok");
    assert_err(ERR_NOT_FOUND, "open 'x': No such file or directory",
               err_errno(ENOENT, "open '%s'", "x"));
    assert_err(ERR_EXHAUSTED, "disk: No space left on device", err_errno(ENOSPC, "disk"));
    err_t transient = err_new(ERR_UNAVAILABLE, "later"), final = err_new(ERR_INVALID, "never");
    assert_true(err_is_transient(transient) && !err_is_transient(final) && !err_is_transient(OK));
    err_free(transient);
    err_free(final);
    assert_string_equal(err_code_name(ERR_DATA_LOSS), "DATA_LOSS");
    assert_string_equal(err_code_name((enum err_code)16), "?");
}

static void bytes_are_written_and_read_back(void **state)
{
    (void)state;
    SCOPED_VALUE(bytes) out = {0};
    bytes_u8(&out, 0xab);
    bytes_be32(&out, 0x01020304);
    bytes_be64(&out, 0x1122334455667788);
    bytes_f64(&out, -0.1);
    bytes_text(&out, "text");
    bytes_printf(&out, "%d", 42);
    assert_memory_equal(out.data, "\xab\1\2\3\4\x11\x22", 7);
    assert_int_equal(out.data[out.len], 0);
    struct reader in = {out.data, out.len};
    uint8_t u8;
    uint32_t u32 = 9;
    uint64_t u64;
    double f64;
    const uint8_t *text;
    assert_true(read_u8(&in, &u8) && read_be32(&in, &u32) && read_be64(&in, &u64) &&
                read_f64(&in, &f64));
    assert_true(u8 == 0xab && u32 == 0x01020304 && u64 == 0x1122334455667788 && f64 == -0.1);
    assert_true(read_bytes(&in, 4, &text) && memcmp(text, "text", 4) == 0);
    assert_false(read_be32(&in, &u32)); // two bytes are left, and stay
    assert_int_equal(in.left, 2);
    assert_int_equal(u32, 0x01020304);
    assert_false(read_bytes(&in, SIZE_MAX, &text));
    bytes_clear(&out);
    assert_int_equal(out.len, 0);
    memset(bytes_extend(&out, 100000), 1, 100000);
    assert_int_equal(bytes_extend(&out, 1)[0], 0);
}

static void big_endian_keys_sort_as_numbers(void **state)
{
    (void)state;
    struct rng rng = rng_keyed(1, RNG_TEST, 0, 0);
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t a = rng_u64(&rng, 2 * i) >> i % 64, b = rng_u64(&rng, 2 * i + 1) >> i % 64;
        uint8_t x[8], y[8];
        be64_store(x, a);
        be64_store(y, b);
        assert_true((memcmp(x, y, 8) < 0) == (a < b));
        assert_true(be64_load(x) == a);
    }
}

/* The published values of XXH3 that every format here relies on. */
static void hashes_are_xxh3(void **state)
{
    (void)state;
    char text[DIGEST_TEXT];
    assert_true(hash64("", 0, 0) == 0x2d06800538d394c2);
    struct digest empty = hash128("", 0, 0), other = hash128("a", 1, 0);
    assert_string_equal(digest_text(&empty, text), "99aa06d3014798d86001c324468d497f");
    assert_true(digest_equal(&empty, &empty) && !digest_equal(&empty, &other));
}

/* Random123's kat_vectors, philox4x32 10: the low two words of each answer. */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        struct rng rng;
        uint64_t counter, answer;
    } cases[] = {
        {{0, 0}, 0, 0xe169c58d6627e8d5},
        {{UINT64_MAX, UINT64_MAX}, UINT64_MAX, 0x41c83b0e408f276d},
        {{0x299f31d0a4093822, 0x0370734413198a2e}, 0x85a308d3243f6a88, 0x94fdccebd16cfe09},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(rng_u64(&cases[i].rng, cases[i].counter) == cases[i].answer);
}

static void streams_differ_in_each_part_of_their_key(void **state)
{
    (void)state;
    const struct rng rngs[] = {rng_keyed(1, RNG_SAMPLE, 2, 3), rng_keyed(2, RNG_SAMPLE, 2, 3),
                               rng_keyed(1, RNG_INIT, 2, 3),   rng_keyed(1, RNG_SAMPLE, 3, 3),
                               rng_keyed(1, RNG_SAMPLE, 2, 4), rng_keyed(1, RNG_SAMPLE, 3, 2)};
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(rng_u64(&rngs[i], 0) != rng_u64(&rngs[j], 0));
}

static void draws_have_their_distribution(void **state)
{
    (void)state;
    enum { N = 200000 };
    struct rng rng = rng_keyed(5, RNG_TEST, 1, 2);
    double sum = 0, normal = 0, square = 0;
    int below[10] = {0};
    for (uint64_t i = 0; i < N; i++) {
        double u = rng_uniform(&rng, i), z = rng_normal(&rng, i);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        sum += u;
        normal += z;
        square += z * z;
        below[rng_below(&rng, i, 10)]++;
    }
    /* Five standard deviations of each mean. */
    assert_near(sum / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    assert_near(normal / N, 0, 5 / sqrt(N));
    assert_near(square / N, 1, 5 * sqrt(2.0 / N));
    for (int i = 0; i < 10; i++)
        assert_near(below[i] / (double)N, 0.1, 5 * sqrt(0.09 / N));
    assert_int_equal(rng_below(&rng, 0, 1), 0);
}

static void permutations_hit_everything_once(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 5, 16, 17, 1000, 4096, 4097};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        struct rng rng = rng_keyed(3, RNG_SHUFFLE, s, 0);
        SCOPED_MEM uint8_t *seen = mem_array(sizes[s], 1);
        uint64_t moved = 0;
        for (uint64_t i = 0; i < sizes[s]; i++) {
            uint64_t to = rng_permute(&rng, i, sizes[s]);
            assert_true(to < sizes[s] && !seen[to]++);
            moved += to != i;
        }
        assert_true(sizes[s] < 16 || moved > sizes[s] / 2);
    }
}

static void memory_comes_zeroed_and_aligned(void **state)
{
    (void)state;
    SCOPED_MEM uint8_t *aligned = mem_aligned(100001);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    for (int i = 0; i < 100001; i++)
        assert_int_equal(aligned[i], 0);
    SCOPED_MEM void *nothing = mem_new(0);
    assert_non_null(nothing);
    size_t many = SIZE_MAX / 2; // hidden from the compiler's own check
    assert_null(mem_try_array(many, 4));
    assert_null(mem_string(NULL));
}

TESTS(cmocka_unit_test(errors_carry_code_and_message_up),
      cmocka_unit_test(bytes_are_written_and_read_back),
      cmocka_unit_test(big_endian_keys_sort_as_numbers), cmocka_unit_test(hashes_are_xxh3),
      cmocka_unit_test(philox_gives_the_known_answers),
      cmocka_unit_test(streams_differ_in_each_part_of_their_key),
      cmocka_unit_test(draws_have_their_distribution),
      cmocka_unit_test(permutations_hit_everything_once),
      cmocka_unit_test(memory_comes_zeroed_and_aligned))
