/* Estimators of advantages beside the golden ones, by hand; runs of tokens as one action; M2PO's
 * mask. */
#include "rl/advantages/advantage.h"
#include "rl/advantages/gae.h"
#include "rl/advantages/second_moment.h"
#include "rl/advantages/whiten.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

static const size_t first[] = {0, 3, 5};
static const double reward[] = {1, 4, 1, 2, 2}, tokens[] = {1, 2, 3, 4, 5};
enum { ALL = 5 };

static void assert_advantages(struct objective_config config, struct advantage_in in,
                              const double *want)
{
    double got[ALL];
    in.groups = 2;
    in.first = first;
    in.reward = reward;
    in.tokens = tokens;
    advantage_compute(&config, &in, got);
    for (size_t i = 0; i < ALL; i++)
        assert_near(got[i], want[i], 1e-12);
}
#define ASSERT_ADVANTAGES(config, in, ...)                                                         \
    assert_advantages((struct objective_config)config, (struct advantage_in)in,                    \
                      (double[]){__VA_ARGS__})
#define OF(...)                                                                                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void estimators_by_hand(void **)
{
    const double log_weight[] = {0, log(2), 0, 0, 0}, opo = 1.0 * (1 + 8 + 3) / 6,
                 ess = (1 + 4 * 2 * 4.0 + 3) / (1 + 4 * 2 + 3);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_OPO), OF(0), 1 - opo, 4 - opo, 1 - opo, 0, 0);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_ESS), OF(.log_weight = log_weight), 1 - ess, 4 - ess, 1 - ess, 0,
                      0);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_PASS_K), OF(0), 0, 3 / sqrt(3), 0, 0, 0);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_GPG), OF(0), -1 * 5.0 / 3, 2 * 5.0 / 3, -1 * 5.0 / 3, 0, 0);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_MAXRL), OF(0), -0.5, 1, -0.5, 0, 0);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_SHIFTED, .advantage_shift = -0.1), OF(0), -0.9, 2.1, -0.9, 0.1,
                      0.1);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_GREEDY), OF(0), 0, 3, 0, 0, 0);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_EMA), OF(.baseline = 0.5), 0.5, 3.5, 0.5, 1.5, 1.5);
    const double soft = 2 * log((2 * exp(0.5) + exp(2)) / 3);
    ASSERT_ADVANTAGES(OF(ADVANTAGE_SOFT_VALUE, .advantage_beta = 2), OF(0), 1 - soft, 4 - soft,
                      1 - soft, 0, 0);
}

/* Rewards far from 0 neither overflow nor lose the difference. */
static void a_soft_value_is_between_mean_and_best(void **)
{
    const double far[] = {1e6, 1e6 + 1};
    const struct advantage_in in = {.groups = 1, .first = (size_t[]){0, 2}, .reward = far};
    const struct objective_config config = {ADVANTAGE_SOFT_VALUE, .advantage_beta = 0.01};
    double got[2];
    advantage_compute(&config, &in, got);
    assert_near(got[1], 0.01 * log(2), 1e-9);
    assert_near(got[0], got[1] - 1, 1e-9);
}

static void scorers_are_normalised_each_by_itself(void **)
{
    const double score[] = {0, 5, 1, 5, 0, 5, 1, 5, 1, 3}, weight[] = {2, 1};
    double got[ALL], sum = 0, squares = 0;
    const struct advantage_in in = {.groups = 2,
                                    .first = first,
                                    .reward = reward,
                                    .scorers = 2,
                                    .score = score,
                                    .score_weight = weight};
    advantage_compute(&(struct objective_config){ADVANTAGE_MULTI}, &in, got);
    for (size_t i = 0; i < ALL; i++) {
        sum += got[i];
        squares += got[i] * got[i];
    }
    assert_near(sum, 0, 1e-12);
    assert_near(squares / (ALL - 1), 1, 1e-12); // Bessel's
    /* Before the round's scale: (0,1,0) is (-1,2,-1)/sqrt(3) times 2; in the second group one
     * scorer alone differs. */
    assert_near(got[1] / got[0], -2, 1e-12);
    assert_near(got[3] / got[1], (1 / sqrt(2)) / (4 / sqrt(3)), 1e-12);
    assert_near(got[4], -got[3], 1e-12);
}

static struct columns *round_of_rewards(const double *value, const double *token_reward,
                                        size_t count)
{
    struct columns *round = columns_new(1, &count);
    memcpy(columns_add(round, COLUMN_VALUE), value, count * sizeof *value);
    memcpy(columns_add(round, COLUMN_TOKEN_REWARD), token_reward, count * sizeof *value);
    return round;
}

/* Five tokens in runs of two: values 1.5, 3.5, 5; rewards 1, 1, 3. */
static void runs_of_tokens_are_one_action(void **)
{
    const double value[] = {1, 2, 3, 4, 5}, paid[] = {1, 0, 0, 1, 3};
    const struct gae_config config = {
        .gamma = 1, .lambda = 0.5, .c_bar = 1, .rho_bar = 1, .macro = 2};
    SCOPED(columns) round = round_of_rewards(value, paid, 5);
    gae_fill(&config, round);
    const double last = 3 - 5, middle = 1 + 5 - 3.5 + 0.5 * last,
                 begin = 1 + 3.5 - 1.5 + 0.5 * middle;
    const double want[] = {begin, begin, middle, middle, last};
    const double *advantage = round->at[COLUMN_TOKEN_ADVANTAGE],
                 *target = round->at[COLUMN_RETURNS];
    for (size_t t = 0; t < 5; t++)
        assert_near(advantage[t], want[t], 1e-12);
    assert_near(target[0], 1.5 + begin, 1e-12);
    assert_near(target[1], 1.5 + begin, 1e-12);
    assert_near(target[4], 5 + last, 1e-12);
}

/* The critic's targets keep lambda, here 1: the rewards that come. */
static void advantages_have_a_lambda_by_length(void **)
{
    const double value[] = {1, 2, 3, 4}, paid[] = {0, 0, 0, 1};
    const struct gae_config config = {
        .gamma = 1, .lambda = 1, .c_bar = 1, .rho_bar = 1, .lambda_alpha = 0.5};
    SCOPED(columns) round = round_of_rewards(value, paid, 4);
    gae_fill(&config, round);
    for (size_t t = 0; t < 4; t++)
        assert_near(round->at[COLUMN_RETURNS][t], 1, 1e-12);
    const double lambda = 1 - 1 / (0.5 * 4), *advantage = round->at[COLUMN_TOKEN_ADVANTAGE];
    assert_near(advantage[3], -3, 1e-12);
    assert_near(advantage[2], 1 + lambda * advantage[3], 1e-12);
    assert_near(advantage[1], 1 + lambda * advantage[2], 1e-12);
}

static void rewards_to_go_are_discounted(void **)
{
    const double value[] = {0, 0, 0}, paid[] = {-1, 0, 8};
    SCOPED(columns) round = round_of_rewards(value, paid, 3);
    to_go_fill(0.5, round);
    assert_near(round->at[COLUMN_TOKEN_ADVANTAGE][0], 1, 1e-12);
    assert_near(round->at[COLUMN_TOKEN_ADVANTAGE][1], 4, 1e-12);
    assert_near(round->at[COLUMN_TOKEN_ADVANTAGE][2], 8, 1e-12);
}

/* Completions of one and three tokens: the mean of A is (2 + 3 * -2) / 4, as over their tokens. */
static void completions_are_normalised_by_their_tokens(void **)
{
    SCOPED(columns) round = columns_new(2, (size_t[]){1, 3});
    double whole[] = {2, -2}, *each = columns_add(round, COLUMN_TOKEN_ADVANTAGE);
    for (size_t t = 0; t < 4; t++)
        each[t] = t ? -2 : 2;
    whiten_sequences(round, whole);
    whiten(round, each, true);
    assert_near(whole[0], each[0], 1e-12);
    assert_near(whole[1], each[3], 1e-12);
}

static void the_furthest_tokens_are_masked_until_the_rest_is_near(void **)
{
    SCOPED(columns) round = columns_new(1, (size_t[]){6});
    const double x[] = {0.1, -3, 0.2, 2, 0, -2};
    columns_add(round, COLUMN_BEHAVIOUR_LOGP);
    memcpy(columns_add(round, COLUMN_PROXIMAL_LOGP), x, sizeof x);
    second_moment_mask(1, round); // of the others: (4 + 0.01 + 0.04) / 4 = 1.01, so both of 4 go
    static const double want[] = {0, 1, 0, 1, 0, 1};
    assert_memory_equal(round->at[COLUMN_MASKED], want, sizeof want);
    columns_drop(round, COLUMN_MASKED);
    second_moment_mask(1.02, round); // of two that are as far the earlier goes first
    static const double wider[] = {0, 1, 0, 1, 0, 0};
    assert_memory_equal(round->at[COLUMN_MASKED], wider, sizeof wider);
    columns_drop(round, COLUMN_MASKED);
    second_moment_mask(9, round);
    static const double none[6] = {0};
    assert_memory_equal(round->at[COLUMN_MASKED], none, sizeof none);
}

TESTS(cmocka_unit_test(estimators_by_hand), cmocka_unit_test(a_soft_value_is_between_mean_and_best),
      cmocka_unit_test(scorers_are_normalised_each_by_itself),
      cmocka_unit_test(runs_of_tokens_are_one_action),
      cmocka_unit_test(advantages_have_a_lambda_by_length),
      cmocka_unit_test(rewards_to_go_are_discounted),
      cmocka_unit_test(completions_are_normalised_by_their_tokens),
      cmocka_unit_test(the_furthest_tokens_are_masked_until_the_rest_is_near))
