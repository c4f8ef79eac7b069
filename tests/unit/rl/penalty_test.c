/* Terms of length and repetition, against their formulas and a search of all pairs. */
#include "base/mem.h"
#include "base/rng.h"
#include "rl/penalty.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

/* DAPO's (13): 0, then ((L - buffer) - T) / buffer, then -1. */
static double dapo(double tokens, double length, double buffer)
{
    if (tokens <= length - buffer)
        return 0;
    return tokens <= length ? (length - buffer - tokens) / buffer : -1;
}

static void length_is_punished_in_a_straight_line(void **)
{
    static const uint64_t sizes[][2] = {{20, 5}, {20, 20}, {1, 1}, {16384, 4096}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (uint64_t t = 1; t < 2 * sizes[s][0] + 2; t++)
            assert_true(-penalty_overlong(t, sizes[s][0], sizes[s][1]) ==
                        dapo((double)t, (double)sizes[s][0], (double)sizes[s][1]));
    assert_true(penalty_overlong(15, 20, 5) == 0 && penalty_overlong(16, 20, 5) == 0.2);
    assert_true(penalty_overlong(20, 20, 5) == 1 && penalty_overlong(1 << 20, 20, 5) == 1);
}

/* Of n-grams at 0, 1, ... */
static double of_all(const uint32_t *token, size_t tokens, size_t n)
{
    uint32_t start[512];
    size_t count = 0;
    for (; count + n <= tokens; count++)
        start[count] = (uint32_t)count;
    return penalty_repeated(token, start, count, n);
}

static double searched(const uint32_t *token, size_t tokens, size_t n)
{
    double again = 0, count = 0;
    for (size_t i = 0; i + n <= tokens; i++, count++)
        for (size_t j = 0; j < i; j++)
            if (memcmp(token + i, token + j, n * sizeof *token) == 0) {
                again++;
                break;
            }
    return count > 0 ? again / count : 0;
}

static void repetitions_are_found_as_by_a_search_of_all_pairs(void **)
{
    const struct rng rng = rng_keyed(3, RNG_SELECT, 1, 1);
    size_t repeated = 0, cases = 0;
    for (uint64_t c = 0; c < 60; c++)
        for (size_t n = 1; n <= 5; n++, cases++) {
            uint32_t token[300];
            const size_t tokens = 1 + rng_below(&rng, 1000 * c, 300);
            for (size_t i = 0; i < tokens; i++)
                token[i] = (uint32_t)rng_below(&rng, 1000 * c + i + 1, 2 + c / 6);
            const double want = searched(token, tokens, n);
            assert_true(of_all(token, tokens, n) == want);
            repeated += want > 0;
        }
    assert_true(repeated > cases / 2);
}

static void ends_of_the_scale(void **)
{
    const uint32_t one[] = {7, 7, 7, 7, 7}, other[] = {1, 2, 3, 4, 5};
    assert_true(of_all(one, 5, 2) == 0.75);
    assert_true(of_all(other, 5, 1) == 0);
    assert_true(of_all(one, 5, 5) == 0);
    assert_true(of_all(one, 5, 6) == 0); // none is as long
    const uint32_t zero[] = {0, 0};      // token 0 and place 0 are no free place
    assert_true(of_all(zero, 2, 1) == 0.5);
    const uint32_t apart[] = {1, 2, 9, 1, 2};
    assert_true(penalty_repeated(apart, (uint32_t[]){0, 3}, 2, 2) == 0.5);
}

TESTS(cmocka_unit_test(length_is_punished_in_a_straight_line),
      cmocka_unit_test(repetitions_are_found_as_by_a_search_of_all_pairs),
      cmocka_unit_test(ends_of_the_scale))
