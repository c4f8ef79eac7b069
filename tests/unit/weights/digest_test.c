#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/scoped.h"
#include "tensor/digest.h"
#include "testing/testing.h"
#include <stdio.h>

enum { N = 1000 };

static void assert_same(struct digest a, struct digest b)
{
    char x[DIGEST_TEXT], y[DIGEST_TEXT];
    assert_string_equal(digest_text(&a, x), digest_text(&b, y));
}

static uint16_t *draw_values(uint64_t seed)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 4, 0);
    uint16_t *values = mem_array(N, sizeof *values);
    for (size_t i = 0; i < N; i++)
        values[i] = (uint16_t)rng_u64(&rng, i);
    return values;
}

static void it_is_the_format_that_is_written_down(void **state)
{
    (void)state;
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/weights_digest.json", 1 << 20, &golden));
    size_t c, i;
    json_t *one, *value;
    json_array_foreach (golden, c, one) {
        uint16_t values[128];
        char hex[DIGEST_TEXT];
        const json_t *list = json_object_get(one, "values");
        json_array_foreach (list, i, value)
            values[i] = (uint16_t)json_integer_value(value);
        const size_t first = (size_t)json_integer_value(json_object_get(one, "first"));
        const struct digest got = weights_digest(values, first, json_array_size(list));
        assert_string_equal(digest_text(&got, hex),
                            json_string_value(json_object_get(one, "digest")));
    }
    assert_int_equal(c, 7);
}

static void parts_add_up_wherever_they_are_cut(void **state)
{
    (void)state;
    SCOPED_MEM uint16_t *values = draw_values(1);
    const struct digest whole = weights_digest(values, 0, N);
    for (size_t cut = 0; cut <= N; cut++)
        assert_same(weights_digest_add(weights_digest(values + cut, cut, N - cut),
                                       weights_digest(values, 0, cut)),
                    whole);
}

static void changes_alone_update_it(void **state)
{
    (void)state;
    SCOPED_MEM uint16_t *values = draw_values(2);
    const struct rng rng = rng_keyed(3, RNG_TEST, 4, 0);
    struct digest sum = weights_digest(values, 0, N);
    for (uint64_t step = 0; step < 500; step++) {
        const size_t i = rng_below(&rng, 2 * step, N);
        const uint16_t now = (uint16_t)rng_u64(&rng, 2 * step + 1);
        sum = weights_digest_change(sum, i, values[i], now);
        values[i] = now;
    }
    assert_same(sum, weights_digest(values, 0, N));
}

static void every_small_fault_shows(void **state)
{
    (void)state;
    SCOPED_MEM uint16_t *values = draw_values(5);
    const struct digest right = weights_digest(values, 0, N);
    for (size_t i = 0; i < N; i++) {
        struct digest wrong;
        for (int bit = 0; bit < 16; bit++) {
            wrong = weights_digest_change(right, i, values[i], values[i] ^ (uint16_t)(1 << bit));
            assert_false(digest_equal(&right, &wrong));
        }
        const size_t j = (i + 1) % N; // swapped with its neighbour
        wrong = weights_digest_change(right, i, values[i], values[j]);
        wrong = weights_digest_change(wrong, j, values[j], values[i]);
        assert_true(values[i] == values[j] || !digest_equal(&right, &wrong));
    }
    assert_false(digest_equal(&right, &(struct digest){0}));
}

static void it_is_fast_enough(void **state)
{
    (void)state;
    enum { MANY = 8 << 20 };
    SCOPED_MEM uint16_t *values = mem_array(MANY, sizeof *values);
    const double begin = clock_s();
    const struct digest digest = weights_digest(values, 0, MANY);
    const double seconds = clock_s() - begin;
    char hex[DIGEST_TEXT];
    print_message("%s: %.2f GB/s\n", digest_text(&digest, hex), MANY * 2e-9 / seconds);
    assert_true(seconds < 10); // a sanitizer on a loaded machine
}

TESTS(cmocka_unit_test(it_is_the_format_that_is_written_down),
      cmocka_unit_test(parts_add_up_wherever_they_are_cut),
      cmocka_unit_test(changes_alone_update_it), cmocka_unit_test(every_small_fault_shows),
      cmocka_unit_test(it_is_fast_enough))
