#include "base/rng.h"
#include "rl/pairs.h"
#include "testing/testing.h"

enum { GROUP_MAX = 8 };

/* Groups of: all different; one completion; all equal; none; the worst first; two equal best
 * ones. */
static const struct {
    size_t completions;
    double reward[4];
} groups[] = {
    {4, {0.5, 1, 0, 0.25}}, {1, {9}}, {3, {2, 2, 2}}, {0, {0}}, {2, {0, 1}}, {3, {-1, 3, 3}},
};
enum { GROUPS = sizeof groups / sizeof *groups };

/* want: of each group the chosen and the rejected one; {0, 0}: it has none. */
static void assert_pairs(double margin, bool ties_first, const struct rl_pair *want)
{
    for (size_t g = 0; g < GROUPS; g++) {
        struct rl_pair got = {77, 78};
        const bool has = want[g].chosen != want[g].rejected;
        assert_int_equal(
            rl_pair_of(groups[g].reward, groups[g].completions, margin, ties_first, &got), has);
        assert_int_equal(got.chosen, has ? want[g].chosen : 77); // untouched without one
        assert_int_equal(got.rejected, has ? want[g].rejected : 78);
    }
}
#define NONE                                                                                       \
    {                                                                                              \
        0, 0                                                                                       \
    }

static void the_best_and_the_worst_of_each_group(void **state)
{
    (void)state;
    assert_pairs(0, false, (struct rl_pair[GROUPS]){{1, 2}, NONE, NONE, NONE, {1, 0}, {1, 0}});
    assert_pairs(0, true, (struct rl_pair[GROUPS]){{1, 2}, NONE, {0, 2}, NONE, {1, 0}, {1, 0}});
}

static void a_margin_must_be_passed(void **state)
{
    (void)state;
    /* A gap of exactly 1 is none. */
    assert_pairs(1, false, (struct rl_pair[GROUPS]){NONE, NONE, NONE, NONE, NONE, {1, 0}});
    assert_pairs(0.999, false, (struct rl_pair[GROUPS]){{1, 2}, NONE, NONE, NONE, {1, 0}, {1, 0}});
    assert_pairs(1, true, (struct rl_pair[GROUPS]){{0, 3}, NONE, {0, 2}, NONE, {0, 1}, {1, 0}});
    assert_pairs(4, false, (struct rl_pair[GROUPS]){0});
}

/* Rewards of few values, so that many are equal: the pair has the extremes, nothing before it is as
 * good or as bad. */
static void the_lowest_index_among_equals(void **state)
{
    (void)state;
    int equal = 0;
    for (uint64_t seed = 0; seed < 3200; seed++) {
        const struct rng rng = rng_keyed(seed, RNG_TEST, 5, 0);
        uint64_t draw = 0;
        const size_t n = 2 + (size_t)rng_below(&rng, draw++, 6);
        double r[GROUP_MAX];
        struct rl_pair pair;
        for (size_t i = 0; i < n; i++)
            r[i] = (double)rng_below(&rng, draw++, 3);
        if (!rl_pair_of(r, n, 0, false, &pair)) {
            for (size_t i = 1; i < n; i++)
                assert_true(r[i] == r[0]);
            equal++;
            continue;
        }
        assert_true(pair.chosen < n && pair.rejected < n && r[pair.chosen] > r[pair.rejected]);
        for (size_t i = 0; i < n; i++) {
            assert_true(i < pair.chosen ? r[i] < r[pair.chosen] : r[i] <= r[pair.chosen]);
            assert_true(i < pair.rejected ? r[i] > r[pair.rejected] : r[i] >= r[pair.rejected]);
        }
    }
    assert_true(equal > 100);
}

TESTS(cmocka_unit_test(the_best_and_the_worst_of_each_group),
      cmocka_unit_test(a_margin_must_be_passed), cmocka_unit_test(the_lowest_index_among_equals))
