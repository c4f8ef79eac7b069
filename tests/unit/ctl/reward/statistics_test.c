/* Measures of reward models against SciPy, scikit-learn and NumPy (tests/golden/reward_eval.py).
 * Intervals, separation and agreement are known by construction. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "ctl/reward/eval/best_of.h"
#include "ctl/reward/eval/drift.h"
#include "ctl/reward/eval/league.h"
#include "ctl/reward/eval/statistics.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { MOST = 512 };
#define TOLERANCE 1e-12 // both add some hundred numbers, in other orders

static json_t *golden;

static int read_golden(void **state)
{
    (void)state;
    assert_ok(json_read_file(TEST_GOLDEN "/reward_eval.json", 1 << 20, &golden));
    return 0;
}

static int drop_golden(void **state)
{
    (void)state;
    json_decref(golden);
    return 0;
}

static size_t cases(const char *name)
{
    const size_t count = json_array_size(json_object_get(golden, name));
    assert_true(count > 0);
    return count;
}

static const json_t *case_at(const char *name, size_t i)
{
    return json_array_get(json_object_get(golden, name), i);
}

static size_t list(const json_t *one, const char *key, double *ret)
{
    const json_t *all = json_object_get(one, key);
    assert_true(json_array_size(all) > 0 && json_array_size(all) <= MOST);
    for (size_t i = 0; i < json_array_size(all); i++)
        ret[i] = json_number_value(json_array_get(all, i));
    return json_array_size(all);
}

static void same(double got, const json_t *one, const char *key, double tolerance)
{
    const json_t *want = json_object_get(one, key);
    assert_non_null(want);
    if (json_is_null(want))
        assert_true(isnan(got));
    else
        testing_near(got, json_number_value(want), tolerance, key, __FILE__, __LINE__);
}

static void correlations_are_scipys(void **state)
{
    (void)state;
    double x[MOST], y[MOST], counts[MOST], label[MOST];
    for (size_t i = 0; i < cases("correlations"); i++) {
        const json_t *one = case_at("correlations", i);
        const size_t n = list(one, "x", x);
        list(one, "y", y);
        list(one, "counts", counts);
        list(one, "label", label);
        SCOPED(paired) pairs = paired_new(x, y, n);
        SCOPED(paired) labelled = paired_new(x, label, n);
        same(paired_pearson(pairs, counts), one, "pearson", TOLERANCE);
        same(paired_spearman(pairs, counts), one, "spearman", TOLERANCE);
        same(paired_kendall(pairs, counts), one, "kendall", TOLERANCE);
        same(paired_auc(labelled, counts), one, "auc", TOLERANCE);
        bool ones = true;
        for (size_t k = 0; k < n; k++)
            ones = ones && counts[k] == 1;
        if (ones) {
            same(paired_kendall(pairs, NULL), one, "kendall", TOLERANCE);
            same(paired_spearman(pairs, NULL), one, "spearman", TOLERANCE);
        }
    }
}

static void quantiles_are_numpys(void **state)
{
    (void)state;
    double x[MOST];
    for (size_t i = 0; i < cases("quantiles"); i++) {
        const json_t *one = case_at("quantiles", i);
        const size_t n = list(one, "sorted", x);
        const double q = json_number_value(json_object_get(one, "q"));
        same(quantile_sorted(x, n, q), one, "quantile", 1e-15);
    }
}

static void chances_are_scikit_learns(void **state)
{
    (void)state;
    double margin[MOST], outcome[MOST], chance[MOST];
    for (size_t i = 0; i < cases("chances"); i++) {
        const json_t *one = case_at("chances", i);
        const size_t n = list(one, "margin", margin);
        double brier = 0, loss = 0;
        list(one, "outcome", outcome);
        for (size_t k = 0; k < n; k++) {
            chance[k] = logistic(margin[k]);
            brier += pow(chance[k] - outcome[k], 2) / (double)n;
            loss -= (outcome[k] * log_logistic(margin[k]) +
                     (1 - outcome[k]) * log_logistic(-margin[k])) /
                    (double)n;
        }
        same(brier, one, "brier", TOLERANCE);
        same(loss, one, "log_loss", TOLERANCE);
        same(calibration_of(chance, outcome, NULL, n).ece, one, "ece", TOLERANCE);
    }
    assert_true(log_logistic(-800) == -800 && logistic(-800) >= 0); // no overflow
}

static void best_of_k_is_the_mean_of_all_draws(void **state)
{
    (void)state;
    double score[MOST], gold[MOST], want[MOST], got[MOST];
    for (size_t i = 0; i < cases("best_of"); i++) {
        static const char *const keys[] = {"mean", "pessimistic", "oracle"};
        const json_t *one = case_at("best_of", i);
        const size_t n = list(one, "score", score);
        list(one, "gold", gold);
        for (int key = 0; key < 3; key++) {
            list(one, keys[key], want);
            best_of_k(key == 2 ? gold : score, gold, n,
                      key == 1 ? BEST_OF_PESSIMISTIC : BEST_OF_MEAN, n + 1, got);
            for (size_t k = 0; k < n; k++)
                assert_near(got[k], want[k], TOLERANCE);
            assert_true(isnan(got[n]));
        }
    }
    assert_near(best_of_kl(1), 0, 0);
    assert_near(best_of_kl(4), log(4) - 0.75, 1e-15);
}

static void strengths_have_the_least_loss(void **state)
{
    (void)state;
    double won[MOST], strength[MOST], want[MOST];
    for (size_t i = 0; i < cases("strengths"); i++) {
        const json_t *one = case_at("strengths", i), *table = json_object_get(one, "won");
        const size_t n = list(one, "strength", want);
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < n; b++)
                won[a * n + b] = json_number_value(json_array_get(json_array_get(table, a), b));
        bradley_terry_fit(won, n, strength);
        for (size_t a = 0; a < n; a++) // SciPy ends where slopes are below 1e-7
            assert_near(strength[a], want[a], 2e-5);
    }
}

static size_t battles_of(const json_t *one, struct battle *ret)
{
    const json_t *all = json_object_get(one, "battles");
    const size_t n = json_array_size(all);
    assert_true(n <= MOST);
    for (size_t i = 0; i < n; i++) {
        const json_t *b = json_array_get(all, i);
        ret[i] = (struct battle){.a = (size_t)json_integer_value(json_array_get(b, 0)),
                                 .b = (size_t)json_integer_value(json_array_get(b, 1)),
                                 .people = json_number_value(json_array_get(b, 2)),
                                 .score = json_number_value(json_array_get(b, 3)),
                                 .cluster = i};
    }
    return n;
}

static void rows_of_win_rates_correlate_as_in_numpy(void **state)
{
    (void)state;
    struct battle battle[MOST];
    for (size_t i = 0; i < cases("leagues"); i++) {
        const json_t *one = case_at("leagues", i);
        const size_t n = battles_of(one, battle),
                     models = (size_t)json_integer_value(json_object_get(one, "models"));
        struct league league;
        league_of(battle, n, models, &(struct bootstrap){.clusters = n}, &league);
        same(league.row_pearson.value, one, "row_pearson", TOLERANCE);
        assert_true(isnan(league.agreement) && isnan(league.brier));
        league_done(&league);
    }
}

/* Model i beats j where i < j, in every battle or in none, as `people` and `score` say. */
static size_t ladder(struct battle *ret, double people, double score)
{
    size_t n = 0;
    for (int round = 0; round < 30; round++)
        for (size_t i = 0; i < 4; i++)
            for (size_t j = i + 1; j < 4; j++, n++)
                ret[n] = (struct battle){i, j, people, score, n};
    return n;
}

static void leagues_that_agree_and_that_do_not(void **state)
{
    (void)state;
    static const struct {
        double score, agreement, kendall, separated, brier;
    } cases[] = {{1, 1, 1, 1, 0}, {0, -1, -1, 1, 1}, {0.5, 0, NAN, 0, 0.25}};
    struct battle battle[MOST];
    for (int i = 0; i < 3; i++) {
        struct league league;
        const size_t n = ladder(battle, 1, cases[i].score);
        const struct bootstrap bootstrap = {.clusters = n, .draws = 200, .seed = 1};
        league_of(battle, n, 4, &bootstrap, &league);
        assert_near(league.agreement, cases[i].agreement, 0);
        assert_near(league.separated_people, 1, 0);
        assert_near(league.separated_score, cases[i].separated, 0);
        assert_near(league.brier, cases[i].brier, 1e-12);
        if (isfinite(cases[i].kendall))
            assert_near(league.kendall.value, cases[i].kendall, 1e-12);
        league_done(&league);
    }
}

static void curves_are_least_squares(void **state)
{
    (void)state;
    double kl[MOST], gain[MOST];
    for (size_t i = 0; i < cases("drifts"); i++) {
        const json_t *one = case_at("drifts", i);
        const bool best = strcmp(json_string_value(json_object_get(one, "law")), "best_of") == 0;
        const enum drift_law law = best ? DRIFT_BEST_OF : DRIFT_RL;
        const size_t n = list(one, "kl", kl);
        list(one, "gain", gain);
        const struct drift drift = drift_fit(law, kl, gain, n);
        same(drift.a, one, "a", 1e-9); // normal equations square the condition
        same(drift.b, one, "b", 1e-9);
        same(drift.r2, one, "r2", 1e-9);
        assert_true(drift.peak_kl > 0);
        assert_true(drift_at(law, &drift, drift.peak_kl) >=
                    fmax(drift_at(law, &drift, drift.peak_kl * 0.99),
                         drift_at(law, &drift, drift.peak_kl * 1.01)));
    }
    const double zero[] = {0, 0}, one[] = {4, 4};
    assert_true(isnan(drift_fit(DRIFT_RL, zero, zero, 2).a));
    assert_true(isnan(drift_fit(DRIFT_RL, one, one, 2).a)); // one KL decides no two numbers
}

/* ---- the bootstrap */

static double sample[MOST];

static void mean_of_clusters(void *arg, const double *weight, double *ret)
{
    const size_t n = *(const size_t *)arg;
    double sum = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        sum += weight[i] * sample[i];
        all += weight[i];
    }
    assert_near(all, (double)n, 0);
    ret[0] = sum / all;
    ret[1] = NAN;
}

/* The interval of a mean is that of its standard error; the draws are the same ones each time. */
static void an_interval_is_the_standard_errors(void **state)
{
    (void)state;
    size_t n = 400;
    const struct rng rng = rng_keyed(3, RNG_TEST, 1, 2);
    struct estimate got[2], again[2], other[2];
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sample[i] = rng_normal(&rng, i);
        sum += sample[i];
        squares += sample[i] * sample[i];
    }
    const double mean = sum / (double)n,
                 error = sqrt((squares / (double)n - mean * mean) / (double)n);
    struct bootstrap bootstrap = {.clusters = n, .draws = 2000, .seed = 1};
    bootstrap_run(&bootstrap, mean_of_clusters, &n, 2, got);
    bootstrap_run(&bootstrap, mean_of_clusters, &n, 2, again);
    bootstrap.seed = 2;
    bootstrap_run(&bootstrap, mean_of_clusters, &n, 2, other);
    assert_near(got[0].value, mean, 1e-14);
    /* Of 2000 draws a percentile's own standard error is 0.06 of the mean's. */
    assert_near(got[0].low, mean - 1.96 * error, 0.2 * error);
    assert_near(got[0].high, mean + 1.96 * error, 0.2 * error);
    assert_memory_equal(&got[0], &again[0], sizeof *got);
    assert_true(other[0].low != got[0].low && other[0].value == got[0].value);
    assert_true(isnan(got[1].value) && isnan(got[1].low)); // a figure that is never defined
    bootstrap.draws = 0;
    bootstrap_run(&bootstrap, mean_of_clusters, &n, 2, got);
    assert_true(got[0].value == again[0].value && isnan(got[0].high));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(correlations_are_scipys),
        cmocka_unit_test(quantiles_are_numpys),
        cmocka_unit_test(chances_are_scikit_learns),
        cmocka_unit_test(best_of_k_is_the_mean_of_all_draws),
        cmocka_unit_test(strengths_have_the_least_loss),
        cmocka_unit_test(rows_of_win_rates_correlate_as_in_numpy),
        cmocka_unit_test(leagues_that_agree_and_that_do_not),
        cmocka_unit_test(curves_are_least_squares),
        cmocka_unit_test(an_interval_is_the_standard_errors),
    };
    return cmocka_run_group_tests(tests, read_golden, drop_golden);
}
