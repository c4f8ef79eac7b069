#include "base/rng.h"
#include "rl/pairs.h"
#include "testing/testing.h"

enum { GROUPS_MAX = 16, REWARDS_MAX = 128 };

static const int first[] = {0, 4, 5, 8, 8, 10, 13};
static const double reward[] = {0.5, 1,           0, 0.25,    /**/ 9, /**/ 2, 2,
                                2,   /**/ /**/ 0, 1, /**/ -1, 3,      3};
static const struct advantage_in in = {6, first, reward};

static void assert_pairs(double margin, bool ties_first, const struct rl_pair *want, size_t count)
{
    struct rl_pair got[GROUPS_MAX];
    assert_int_equal(rl_pairs_pick(&in, margin, ties_first, got), count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(got[i].chosen, want[i].chosen);
        assert_int_equal(got[i].rejected, want[i].rejected);
    }
}

/* Groups of: all different; one completion; all equal; none; the worst first; two equal best ones. */
static void the_best_and_the_worst_of_each_group(void **state)
{
    (void)state;
    assert_pairs(0, false, (struct rl_pair[]){{1, 2}, {9, 8}, {11, 10}}, 3);
    assert_pairs(0, true, (struct rl_pair[]){{1, 2}, {5, 7}, {9, 8}, {11, 10}}, 4);
}

static void a_margin_must_be_passed(void **state)
{
    (void)state;
    assert_pairs(1, false, (struct rl_pair[]){{11, 10}}, 1); // a gap of exactly 1 is none
    assert_pairs(0.999, false, (struct rl_pair[]){{1, 2}, {9, 8}, {11, 10}}, 3);
    assert_pairs(1, true, (struct rl_pair[]){{0, 3}, {5, 7}, {8, 9}, {11, 10}}, 4);
    assert_pairs(4, false, NULL, 0);
}

static void no_groups_no_pairs(void **state)
{
    (void)state;
    struct rl_pair unused[1];
    assert_int_equal(rl_pairs_pick(&(struct advantage_in){0}, 0, true, unused), 0);
}

/* Rewards of few values, so that many are equal: what is picked has the extremes, nothing before it is as good or as bad. */
static void the_lowest_index_among_equals(void **state)
{
    (void)state;
    int equal = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        const struct rng rng = rng_keyed(seed, RNG_TEST, 5, 0);
        uint64_t draw = 0;
        int begin[GROUPS_MAX + 1] = {0};
        double r[REWARDS_MAX];
        struct rl_pair got[GROUPS_MAX];
        for (int g = 0; g < GROUPS_MAX; g++)
            begin[g + 1] = begin[g] + 2 + (int)rng_below(&rng, draw++, 6);
        for (int i = 0; i < begin[GROUPS_MAX]; i++)
            r[i] = (double)rng_below(&rng, draw++, 3);
        size_t n = rl_pairs_pick(&(struct advantage_in){GROUPS_MAX, begin, r}, 0, false, got),
               at = 0;
        for (int g = 0; g < GROUPS_MAX; g++) {
            const int from = begin[g];
            if (at == n || got[at].chosen >= begin[g + 1]) {
                for (int i = from; i < begin[g + 1]; i++)
                    assert_true(r[i] == r[from]);
                equal++;
                continue;
            }
            const struct rl_pair pair = got[at++];
            assert_true(pair.chosen >= from && pair.rejected >= from);
            assert_true(pair.rejected < begin[g + 1] && r[pair.chosen] > r[pair.rejected]);
            for (int i = from; i < begin[g + 1]; i++) {
                assert_true(i < pair.chosen ? r[i] < r[pair.chosen] : r[i] <= r[pair.chosen]);
                assert_true(i < pair.rejected ? r[i] > r[pair.rejected] : r[i] >= r[pair.rejected]);
            }
        }
        assert_int_equal(at, n);
    }
    assert_true(equal > 100);
}

TESTS(cmocka_unit_test(the_best_and_the_worst_of_each_group),
      cmocka_unit_test(a_margin_must_be_passed), cmocka_unit_test(no_groups_no_pairs),
      cmocka_unit_test(the_lowest_index_among_equals))
