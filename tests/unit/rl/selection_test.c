/* The completions of a group that are trained. */
#include "rl/selection.h"
#include "testing/testing.h"

static const double reward[] = {1, 4, -3, 4, 0};
enum { K = sizeof reward / sizeof *reward };

static size_t chosen_by(struct selection_config config, uint64_t group, size_t *ret)
{
    const struct rng rng = rng_keyed(1, RNG_SELECT, 2, group);
    return selection_of(&config, reward, K, &rng, ret);
}

static void kinds_without_a_draw(void **)
{
    size_t at[K];
    assert_int_equal(chosen_by((struct selection_config){SELECT_ALL}, 0, at), K);
    for (size_t i = 0; i < K; i++)
        assert_int_equal(at[i], i);
    assert_int_equal(chosen_by((struct selection_config){SELECT_BEST}, 0, at), 1);
    assert_int_equal(at[0], 1);
    assert_int_equal(chosen_by((struct selection_config){SELECT_EXTREMES}, 0, at), 2);
    assert_true(at[0] == 1 && at[1] == 2);
    assert_int_equal(chosen_by((struct selection_config){SELECT_THRESHOLD, .above = 1}, 0, at), 2);
    assert_true(at[0] == 1 && at[1] == 3);
    const double equal[] = {2, 2};
    const struct rng rng = rng_keyed(1, RNG_SELECT, 2, 0);
    assert_int_equal(selection_of(&(struct selection_config){SELECT_EXTREMES}, equal, 2, &rng, at),
                     0);
}

/* Shares over many groups, within four standard deviations of a share of 2e4 draws: 0.015. */
static void assert_shares(struct selection_config config, const double *share)
{
    enum { GROUPS = 4000 };
    double count[K] = {0};
    size_t at[K];
    for (uint64_t g = 0; g < GROUPS; g++) {
        assert_int_equal(chosen_by(config, g, at), K);
        for (size_t i = 0; i < K; i++)
            count[at[i]]++;
    }
    for (size_t i = 0; i < K; i++)
        assert_near(count[i] / (GROUPS * K), share[i], 0.015);
}

static void draws_follow_the_weights(void **)
{
    assert_shares((struct selection_config){SELECT_MAX_MIN}, (double[]){0, 0.5, 0.5, 0, 0});
    assert_shares((struct selection_config){SELECT_MAX_RANDOM},
                  (double[]){0.125, 0.5, 0.125, 0.125, 0.125});
    assert_shares((struct selection_config){SELECT_POWER, .power = 2},
                  (double[]){1.0 / 42, 16.0 / 42, 9.0 / 42, 16.0 / 42, 0});
    assert_shares((struct selection_config){SELECT_POWER, .power = 0},
                  (double[]){0.2, 0.2, 0.2, 0.2, 0.2});
}

static void the_same_group_is_drawn_alike(void **)
{
    size_t a[K], b[K];
    chosen_by((struct selection_config){SELECT_MAX_RANDOM}, 7, a);
    chosen_by((struct selection_config){SELECT_MAX_RANDOM}, 7, b);
    assert_memory_equal(a, b, sizeof a);
}

TESTS(cmocka_unit_test(kinds_without_a_draw), cmocka_unit_test(draws_follow_the_weights),
      cmocka_unit_test(the_same_group_is_drawn_alike))
