/* Advantages by GAE with V-trace's weights against their published forms, and what stays the same
 * bits: plain GAE at lag 0, values behind masks. */
#include "base/rng.h"
#include "rl/advantages/gae.h"
#include "rl/advantages/whiten.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { SEQUENCES = 3, MOST = 9, TOKENS = 7 + 1 + 9 };
static const size_t LENGTH[SEQUENCES] = {7, 1, MOST};

/* Rewards and values of a round; where `lag` says so also two log-probabilities that differ. */
static struct columns *round_of(uint64_t seed, bool lag)
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 9, 0);
    struct columns *round = columns_new(SEQUENCES, LENGTH);
    double *reward = columns_add(round, COLUMN_TOKEN_REWARD),
           *value = columns_add(round, COLUMN_VALUE),
           *proximal = columns_add(round, COLUMN_PROXIMAL_LOGP),
           *behaviour = columns_add(round, COLUMN_BEHAVIOUR_LOGP);
    for (uint64_t t = 0; t < TOKENS; t++) {
        reward[t] = rng_normal(&rng, 4 * t);
        value[t] = rng_normal(&rng, 4 * t + 1);
        behaviour[t] = -2 - rng_uniform(&rng, 4 * t + 2);
        proximal[t] = behaviour[t] + (lag ? 0.5 * rng_normal(&rng, 4 * t + 3) : 0);
    }
    return round;
}

static double weight_at(const struct columns *round, size_t t)
{
    return exp(round->at[COLUMN_PROXIMAL_LOGP][t] - round->at[COLUMN_BEHAVIOUR_LOGP][t]);
}

/* Schulman 2016, eq. 16, without weights. Sequence s alone; after it comes `after`. */
static void plain(const struct gae_config *config, const struct columns *round, size_t s,
                  double after, double *advantage, double *returns)
{
    const double *reward = round->at[COLUMN_TOKEN_REWARD], *value = round->at[COLUMN_VALUE];
    double last = 0;
    for (size_t t = round->first[s + 1]; t-- > round->first[s];) {
        const double next = t + 1 < round->first[s + 1] ? value[t + 1] : after;
        const double delta = reward[t] + config->gamma * next - value[t];
        last = delta + config->gamma * config->lambda * last;
        advantage[t] = last;
        returns[t] = value[t] + last;
    }
}

static void at_lag_0_it_is_plain_gae_in_every_bit(void **)
{
    const struct gae_config cases[] = {
        {1, 0.95, 1, 1}, {0.9, 1, 1, 1}, {0.99, 0.3, 1, 2}, {1, 0, 3, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (int there = 0; there < 2; there++) {
            double advantage[TOKENS], returns[TOKENS];
            SCOPED(columns) round = round_of(c, false);
            if (!there)
                columns_drop(round, COLUMN_PROXIMAL_LOGP);
            for (size_t s = 0; s < SEQUENCES; s++)
                plain(&cases[c], round, s, 0, advantage, returns);
            gae_fill(&cases[c], round);
            assert_memory_equal(round->at[COLUMN_TOKEN_ADVANTAGE], advantage, sizeof advantage);
            assert_memory_equal(round->at[COLUMN_RETURNS], returns, sizeof returns);
        }
}

/* A_t = d_t + gamma lambda min(c, w_(t+1)) A_(t+1), the target V_t + min(rho, w_t) A_t, where both
 * limits are one. Sums of a few numbers near 1 in another order: 1e-13. */
static void one_limit_is_the_recursion_of_advantages(void **)
{
    const struct gae_config config = {.gamma = 0.97, .lambda = 0.9, .c_bar = 1.1, .rho_bar = 1.1};
    SCOPED(columns) round = round_of(5, true);
    gae_fill(&config, round);
    for (size_t s = 0; s < SEQUENCES; s++) {
        double later = 0, next = 0, w_next = 0;
        for (size_t t = round->first[s + 1]; t-- > round->first[s];) {
            const double w = fmin(1.1, weight_at(round, t)), v = round->at[COLUMN_VALUE][t];
            later =
                round->at[COLUMN_TOKEN_REWARD][t] + 0.97 * next - v + 0.97 * 0.9 * w_next * later;
            assert_near(round->at[COLUMN_TOKEN_ADVANTAGE][t], later, 1e-13);
            assert_near(round->at[COLUMN_RETURNS][t], v + w * later, 1e-13);
            next = v;
            w_next = w;
        }
    }
}

/* IMPALA's definition as a sum (Espeholt 2018, eq. 1) with lambda 1: v_s = V_s + sum over t of
 * gamma^(t-s) (product of c from s to t-1) d_t, and its advantage r + gamma v_(s+1) - V_s. */
static void with_lambda_1_targets_are_those_of_v_trace(void **)
{
    const struct gae_config config = {.gamma = 0.9, .lambda = 1, .c_bar = 0.8, .rho_bar = 1.3};
    SCOPED(columns) round = round_of(6, true);
    const double *reward = round->at[COLUMN_TOKEN_REWARD], *value = round->at[COLUMN_VALUE];
    gae_fill(&config, round);
    for (size_t i = 0; i < SEQUENCES; i++) {
        const size_t end = round->first[i + 1];
        double v[TOKENS + 1] = {0};
        for (size_t s = round->first[i]; s < end; s++) {
            double product = 1;
            v[s] = value[s];
            for (size_t t = s; t < end; t++) {
                const double w = weight_at(round, t), next = t + 1 < end ? value[t + 1] : 0;
                v[s] += product * fmin(1.3, w) * (reward[t] + 0.9 * next - value[t]);
                product *= 0.9 * fmin(0.8, w);
            }
            assert_near(round->at[COLUMN_RETURNS][s], v[s], 1e-13);
        }
        for (size_t s = round->first[i]; s < end; s++)
            assert_near(round->at[COLUMN_TOKEN_ADVANTAGE][s],
                        reward[s] + 0.9 * (s + 1 < end ? v[s + 1] : 0) - value[s], 1e-13);
    }
}

/* Weights 1.2, 0.8, 1, 0.5: targets and w A by hand. */
static void a_trace_by_hand(void **)
{
    const struct gae_config config = {.gamma = 1, .lambda = 1, .c_bar = 1, .rho_bar = 1};
    const size_t tokens[] = {4};
    const double reward[] = {-.01, .02, -.03, .95}, value[] = {.4, .35, .5, .6},
                 w[] = {1.2, .8, 1, .5}, returns[] = {.672, .682, .745, .775},
                 weighed[] = {.272, .332, .245, .175};
    SCOPED(columns) round = columns_new(1, tokens);
    memcpy(columns_add(round, COLUMN_TOKEN_REWARD), reward, sizeof reward);
    memcpy(columns_add(round, COLUMN_VALUE), value, sizeof value);
    columns_add(round, COLUMN_BEHAVIOUR_LOGP);
    double *proximal = columns_add(round, COLUMN_PROXIMAL_LOGP);
    for (size_t t = 0; t < 4; t++)
        proximal[t] = log(w[t]);
    gae_fill(&config, round);
    for (size_t t = 0; t < 4; t++) {
        assert_near(round->at[COLUMN_RETURNS][t], returns[t], 1e-15);
        assert_near(fmin(1, w[t]) * round->at[COLUMN_TOKEN_ADVANTAGE][t], weighed[t], 1e-15);
    }
}

/* What others said between two turns is as if it were not there. */
static void masked_tokens_are_passed_over(void **)
{
    const struct gae_config config = {0.9, 0.8, 1, 1};
    const size_t all[] = {6}, kept[] = {4}, at[] = {0, 1, 4, 5};
    SCOPED(columns) round = columns_new(1, all);
    SCOPED(columns) without = columns_new(1, kept);
    double *reward = columns_add(round, COLUMN_TOKEN_REWARD),
           *value = columns_add(round, COLUMN_VALUE), *weight = columns_add(round, COLUMN_WEIGHT);
    for (size_t t = 0; t < 6; t++) {
        reward[t] = NAN; // of no token that counts
        value[t] = NAN;
    }
    columns_add(without, COLUMN_TOKEN_REWARD);
    columns_add(without, COLUMN_VALUE);
    for (size_t i = 0; i < 4; i++) {
        weight[at[i]] = 1;
        reward[at[i]] = without->at[COLUMN_TOKEN_REWARD][i] = 0.3 * (double)i - 0.2;
        value[at[i]] = without->at[COLUMN_VALUE][i] = 1 / (1 + (double)i);
    }
    gae_fill(&config, round);
    gae_fill(&config, without);
    for (size_t i = 0; i < 4; i++) {
        assert_true(round->at[COLUMN_TOKEN_ADVANTAGE][at[i]] ==
                    without->at[COLUMN_TOKEN_ADVANTAGE][i]);
        assert_true(round->at[COLUMN_RETURNS][at[i]] == without->at[COLUMN_RETURNS][i]);
    }
    assert_true(round->at[COLUMN_TOKEN_ADVANTAGE][2] == 0 && round->at[COLUMN_RETURNS][3] == 0);
}

static void a_completion_that_was_cut_off_goes_on_with_its_value(void **)
{
    const double after[SEQUENCES] = {0.7, 0, -0.4};
    for (int bootstrap = 0; bootstrap < 2; bootstrap++) {
        const struct gae_config config = {1, 0.9, 1, 1, .bootstrap = bootstrap};
        double advantage[TOKENS], returns[TOKENS];
        SCOPED(columns) round = round_of(8, false);
        memcpy(columns_add(round, COLUMN_BOOTSTRAP_VALUE), after, sizeof after);
        for (size_t s = 0; s < SEQUENCES; s++)
            plain(&config, round, s, bootstrap ? after[s] : 0, advantage, returns);
        gae_fill(&config, round);
        assert_memory_equal(round->at[COLUMN_TOKEN_ADVANTAGE], advantage, sizeof advantage);
        assert_memory_equal(round->at[COLUMN_RETURNS], returns, sizeof returns);
    }
}

/* Numbers beyond what exp takes: weights stay finite. */
static void weights_are_bounded(void **)
{
    const struct gae_config config = {1, 1, 1e300, 1e300};
    SCOPED(columns) round = round_of(9, true);
    round->at[COLUMN_PROXIMAL_LOGP][3] += 1e6;
    round->at[COLUMN_PROXIMAL_LOGP][9] -= 1e6;
    gae_fill(&config, round);
    for (size_t t = 0; t < TOKENS; t++)
        assert_true(isfinite(round->at[COLUMN_TOKEN_ADVANTAGE][t]) &&
                    isfinite(round->at[COLUMN_RETURNS][t]));
}

/* ---- whitening */

static void assert_moments(const struct columns *round, const double *x, double mean,
                           double variance)
{
    double n = 0, sum = 0, squares = 0;
    for (size_t t = 0; t < TOKENS; t++)
        if (columns_weight(round, t) != 0) {
            n++;
            sum += x[t];
        }
    for (size_t t = 0; t < TOKENS; t++)
        squares += columns_weight(round, t) != 0 ? (x[t] - sum / n) * (x[t] - sum / n) : 0;
    assert_near(sum / n, mean, 1e-14);
    assert_near(squares / (n - 1), variance, 1e-7); // WHITEN_EPSILON
}

static void whitened_values_have_the_moments(void **)
{
    for (int masked = 0; masked < 2; masked++) {
        SCOPED(columns) round = round_of(3, false);
        double *x = round->at[COLUMN_TOKEN_REWARD], n = 0, sum = 0;
        double *weight = masked ? columns_add(round, COLUMN_WEIGHT) : NULL;
        for (size_t t = 0; masked && t < TOKENS; t++)
            weight[t] = t % 3 ? 1 : 0;
        if (masked)
            x[0] = 1e9;
        for (size_t t = 0; t < TOKENS; t++)
            if (columns_weight(round, t) != 0) {
                n++;
                sum += x[t];
            }
        whiten(round, x, false);
        assert_moments(round, x, sum / n, 1);
        whiten(round, x, true);
        assert_moments(round, x, 0, 1);
        assert_true(!masked || x[0] == 1e9);
    }
}

static void equal_values_become_0(void **)
{
    SCOPED(columns) round = round_of(3, false);
    double *x = round->at[COLUMN_TOKEN_REWARD];
    for (size_t t = 0; t < TOKENS; t++)
        x[t] = 0.25;
    whiten(round, x, true);
    for (size_t t = 0; t < TOKENS; t++)
        assert_true(x[t] == 0);
    const size_t one[] = {1};
    SCOPED(columns) alone = columns_new(1, one);
    *columns_add(alone, COLUMN_TOKEN_REWARD) = 3;
    whiten(alone, alone->at[COLUMN_TOKEN_REWARD], true);
    assert_true(*alone->at[COLUMN_TOKEN_REWARD] == 3);
}

/* ---- rewards of tokens */

static void a_token_pays_and_the_last_one_is_rewarded(void **)
{
    const size_t tokens[] = {3, 2, 2};
    const double behaviour[] = {-1, -2, -3, -1, -1, -.5, -.5},
                 proximal[] = {-2, -2, -2, -2, -2, -2, -2},
                 reference[] = {-1.5, -1, -3, NAN, NAN, -1, -1}, reward[] = {4, 5, 6};
    SCOPED(columns) round = columns_new(3, tokens);
    memcpy(columns_add(round, COLUMN_BEHAVIOUR_LOGP), behaviour, sizeof behaviour);
    memcpy(columns_add(round, COLUMN_PROXIMAL_LOGP), proximal, sizeof proximal);
    memcpy(columns_add(round, COLUMN_REFERENCE_LOGP), reference, sizeof reference);
    memcpy(columns_add(round, COLUMN_REWARD), reward, sizeof reward);
    double *weight = columns_add(round, COLUMN_WEIGHT);
    memcpy(weight, (double[]){1, 1, 0, 1, 1, 0, 0}, sizeof(double[7]));
    token_reward_fill(&(struct gae_config){.gamma = 1},
                      &(struct kl_cost){0.5, KL_K1, COLUMN_BEHAVIOUR_LOGP}, round);
    const double wanted[] = {-.25, 4.5, 0, 0, 5, 0, 0};
    assert_memory_equal(round->at[COLUMN_TOKEN_REWARD], wanted, sizeof wanted);
    token_reward_fill(&(struct gae_config){.gamma = 1},
                      &(struct kl_cost){0.5, KL_K2, COLUMN_PROXIMAL_LOGP}, round);
    assert_near(round->at[COLUMN_TOKEN_REWARD][0], -.5 * .125, 1e-15);
    assert_near(round->at[COLUMN_TOKEN_REWARD][1], 4 - .25, 1e-15);
    token_reward_fill(&(struct gae_config){.gamma = 1, .whiten_rewards = true},
                      &(struct kl_cost){0, KL_K1, COLUMN_BEHAVIOUR_LOGP}, round);
    const double mean = 9.0 / 4, scale = 1 / sqrt((2 * mean * mean + (4 - mean) * (4 - mean) +
                                                   (5 - mean) * (5 - mean)) /
                                                      3 +
                                                  WHITEN_EPSILON);
    assert_near(round->at[COLUMN_TOKEN_REWARD][1], (4 - mean) * scale + mean, 1e-14);
    assert_near(round->at[COLUMN_TOKEN_REWARD][0], -mean * scale + mean, 1e-14);
}

TESTS(cmocka_unit_test(at_lag_0_it_is_plain_gae_in_every_bit),
      cmocka_unit_test(one_limit_is_the_recursion_of_advantages),
      cmocka_unit_test(with_lambda_1_targets_are_those_of_v_trace),
      cmocka_unit_test(a_trace_by_hand), cmocka_unit_test(masked_tokens_are_passed_over),
      cmocka_unit_test(a_completion_that_was_cut_off_goes_on_with_its_value),
      cmocka_unit_test(weights_are_bounded), cmocka_unit_test(whitened_values_have_the_moments),
      cmocka_unit_test(equal_values_become_0),
      cmocka_unit_test(a_token_pays_and_the_last_one_is_rewarded))
