#include "base/json.h"
#include "base/rng.h"
#include "rl/advantages/advantage.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { REWARDS_MAX = 64, GROUPS_MAX = 16 };

static void compute(enum advantage advantage, const struct advantage_in *in, double epsilon,
                    double *ret)
{
    const struct objective_config config = {.advantage = advantage, .advantage_epsilon = epsilon};
    advantage_compute(&config, in, ret);
}

static void advantages_agree_with_the_reference(void **state)
{
    (void)state;
    static const enum advantage kinds[] = {ADVANTAGE_LOO, ADVANTAGE_GROUP_MEAN, ADVANTAGE_GROUP_Z,
                                           ADVANTAGE_BATCH_Z};
    SCOPED_JSON json_t *golden = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/objectives.json", 1 << 20, &golden));
    size_t v, g, i;
    json_t *vector, *group, *value;
    json_array_foreach (json_object_get(golden, "advantages"), v, vector) {
        double reward[REWARDS_MAX], got[REWARDS_MAX];
        size_t first[GROUPS_MAX + 1] = {0}, n = 0;
        json_array_foreach (json_object_get(vector, "groups"), g, group) {
            json_array_foreach (group, i, value)
                reward[n++] = json_number_value(value);
            first[g + 1] = n;
        }
        struct advantage_in in = {.groups = json_array_size(json_object_get(vector, "groups")),
                                  .first = first,
                                  .reward = reward};
        const double epsilon = json_number_value(json_object_get(vector, "epsilon"));
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            compute(kinds[k], &in, epsilon, got);
            const json_t *want = json_object_get(vector, advantage_name(kinds[k]));
            assert_int_equal(json_array_size(want), n);
            json_array_foreach (want, i, value)
                assert_near(got[i], json_number_value(value), 1e-12);
        }
    }
    assert_int_equal(v, 3);
}

static void equal_rewards_teach_exactly_nothing(void **state)
{
    (void)state;
    static const size_t first[] = {0, 3, 10, 11};
    double reward[11], got[11];
    for (int i = 0; i < 11; i++)
        reward[i] = i < 3 ? 0.1 : i < 10 ? 1e6 / 3 : 0.7; // 3 * 0.1 / 3 is not 0.1
    const struct advantage_in in = {3, first, reward};
    for (int kind = ADVANTAGE_LOO; kind <= ADVANTAGE_BATCH_Z; kind++) {
        memset(got, 1, sizeof got);
        compute((enum advantage)kind, &in, 0, got); // epsilon 0: no 0/0 either
        for (int i = 0; i < 11; i++)
            assert_true(got[i] == 0 && !signbit(got[i]));
    }
}

static void groups_do_not_see_each_other(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        const struct rng rng = rng_keyed(seed, RNG_TEST, 3, 0);
        size_t first[GROUPS_MAX + 1] = {0};
        double reward[REWARDS_MAX], all[REWARDS_MAX], one[REWARDS_MAX];
        for (size_t g = 0; g < GROUPS_MAX; g++)
            first[g + 1] = first[g] + 1 + (size_t)rng_below(&rng, g, 4);
        for (size_t i = 0; i < first[GROUPS_MAX]; i++)
            reward[i] = (double)rng_below(&rng, 100 + i, 3);
        const struct advantage_in whole = {GROUPS_MAX, first, reward};
        for (int kind = ADVANTAGE_LOO; kind <= ADVANTAGE_GROUP_Z; kind++) {
            compute((enum advantage)kind, &whole, ADVANTAGE_EPSILON, all);
            for (size_t g = 0; g < GROUPS_MAX; g++) {
                const struct advantage_in group = {1, (size_t[]){0, first[g + 1] - first[g]},
                                                   reward + first[g]};
                double sum = 0;
                compute((enum advantage)kind, &group, ADVANTAGE_EPSILON, one);
                assert_memory_equal(one, all + first[g], sizeof *one * (first[g + 1] - first[g]));
                for (size_t i = first[g]; i < first[g + 1]; i++)
                    sum += all[i];
                assert_near(sum, 0, 1e-12);
            }
        }
    }
}

static void raw_is_the_reward_and_one_is_one(void **state)
{
    (void)state;
    static const double reward[] = {2, 2, -1};
    double got[3];
    const struct advantage_in in = {1, (size_t[]){0, 3}, reward};
    compute(ADVANTAGE_RAW, &in, 0, got);
    assert_memory_equal(got, reward, sizeof got);
    compute(ADVANTAGE_ONE, &in, 0, got);
    assert_true(got[0] == 1 && got[1] == 1 && got[2] == 1);
    compute(ADVANTAGE_LOO, &(struct advantage_in){0}, 0, got);
    assert_true(got[0] == 1); // no groups, nothing written
}

/* Of two completions P is sigma of the difference; of more, the mean over the others. */
static void a_preference_is_the_mean_over_the_others(void **)
{
    static const double reward[] = {1, -0.5, 0.25, 0.25};
    const double a = 1 / (1 + exp(-1.5)), b = 1 / (1 + exp(-0.75));
    double got[4];
    const struct advantage_in two = {1, (size_t[]){0, 2}, reward},
                              four = {1, (size_t[]){0, 4}, reward};
    compute(ADVANTAGE_PREFERENCE, &two, 0, got);
    assert_near(got[0], a - 0.5, 1e-15);
    assert_near(got[1], 0.5 - a, 1e-15);
    compute(ADVANTAGE_PREFERENCE, &four, 0, got);
    assert_near(got[0], (a + 2 * b) / 3 - 0.5, 1e-15);
    assert_near(got[1], (1 - a + 2 * (1 - b)) / 3 - 0.5, 1e-15);
    assert_near(got[2], ((1 - b) + b + 0.5) / 3 - 0.5, 1e-15);
}

TESTS(cmocka_unit_test(advantages_agree_with_the_reference),
      cmocka_unit_test(equal_rewards_teach_exactly_nothing),
      cmocka_unit_test(groups_do_not_see_each_other),
      cmocka_unit_test(a_preference_is_the_mean_over_the_others),
      cmocka_unit_test(raw_is_the_reward_and_one_is_one))
