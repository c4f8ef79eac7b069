/* Running values: what sets them, how they move, and rewards by moments against two passes. */
#include "rl/running.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

static void a_value_is_set_by_the_first_that_comes(void **)
{
    struct running running = {0};
    assert_true(running_or(&running, RUNNING_reward_mean, 7) == 7);
    running_average(&running, RUNNING_reward_mean, 0.9, 4);
    assert_true(running_or(&running, RUNNING_reward_mean, 7) == 4);
    running_average(&running, RUNNING_reward_mean, 0.75, 8);
    assert_true(running_or(&running, RUNNING_reward_mean, 7) == 5);
    running_average(&running, RUNNING_reward_mean, 0.75, NAN);
    running_set(&running, RUNNING_reward_mean, INFINITY);
    assert_true(running_or(&running, RUNNING_reward_mean, 7) == 5);
    running_set(NULL, RUNNING_reward_mean, 1);
    assert_true(running_or(NULL, RUNNING_reward_mean, 3) == 3);
}

static void each_has_a_name(void **)
{
    enum running_value found;
    for (size_t i = 0; i < RUNNING_COUNT; i++) {
        assert_true(running_find(running_name((enum running_value)i), &found));
        assert_int_equal(found, i);
    }
    assert_false(running_find("", &found));
    assert_false(running_find("reward", &found));
}

/* Far from 0, where sums of squares would lose every digit. */
static void rewards_add_up_in_parts_of_any_size(void **)
{
    enum { N = 100 };
    static const size_t cuts[] = {1, 1, 5, 40, 53};
    for (int far = 0; far < 2; far++) {
        struct running running = {0};
        double reward[N], mean = 0, square = 0;
        for (int i = 0; i < N; i++) {
            reward[i] = (far ? 1e9 : 0) + sin(i);
            mean += reward[i] / N;
        }
        for (int i = 0; i < N; i++)
            square += (reward[i] - mean) * (reward[i] - mean);
        size_t at = 0;
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; at += cuts[i++])
            running_rewards(&running, reward + at, cuts[i]);
        assert_int_equal(at, N);
        assert_near(running_or(&running, RUNNING_rewards, 0), N, 0);
        assert_near(running_or(&running, RUNNING_reward_mean, 0), mean, far ? 1e-6 : 1e-14);
        assert_near(running_reward_std(&running), sqrt(square / (N - 1)), far ? 1e-6 : 1e-14);
    }
}

static void rewards_that_no_number_holds_change_nothing(void **)
{
    struct running running = {0};
    const double good[] = {1, 2, 4}, huge[] = {1e200, -1e200}, none[] = {1, NAN};
    running_rewards(&running, good, 3);
    const struct running before = running;
    running_rewards(&running, huge, 2);
    running_rewards(&running, none, 2);
    running_rewards(&running, good, 0);
    running_rewards(NULL, good, 3);
    assert_memory_equal(&before, &running, sizeof running);
    assert_true(running_reward_std(NULL) == 0);
}

TESTS(cmocka_unit_test(a_value_is_set_by_the_first_that_comes), cmocka_unit_test(each_has_a_name),
      cmocka_unit_test(rewards_add_up_in_parts_of_any_size),
      cmocka_unit_test(rewards_that_no_number_holds_change_nothing))
