/* Scores of several models as one, against the formulas' values by hand: all of them are exact in
 * binary. */
#include "rewarder/scorers/ensemble.h"
#include "testing/testing.h"

static void each_way_by_hand(void **state)
{
    (void)state;
    static const struct {
        double score[4];
        size_t count;
        double mean, std; // of 1/count
    } cases[] = {
        {{-1.5}, 1, -1.5, 0},
        {{1, 5}, 2, 3, 2},
        {{0.5, 0.5, 0.5}, 3, 0.5, 0},
        {{-8, 0, 0, 8}, 4, 0, 5.656854249492380195},
        {{2, 4, 4, 6}, 4, 4, 1.414213562373095049},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double *score = cases[i].score;
        const size_t n = cases[i].count;
        double std, least = score[0];
        for (size_t k = 1; k < n; k++)
            least = score[k] < least ? score[k] : least;
        assert_true(ensemble_score(ENSEMBLE_MEAN, 7, score, n, &std) == cases[i].mean);
        assert_near(std, cases[i].std, 1e-15);
        assert_true(ensemble_score(ENSEMBLE_MIN, 7, score, n, &std) == least);
        assert_near(ensemble_score(ENSEMBLE_LOWER_BOUND, 0.5, score, n, &std),
                    cases[i].mean - 0.5 * cases[i].std, 1e-15);
        assert_near(ensemble_score(ENSEMBLE_UWO, 0.25, score, n, &std),
                    cases[i].mean - 0.25 * cases[i].std * cases[i].std, 1e-14);
    }
}

/* Many models that agree, at a size where a sum of squares would lose the difference. */
static void agreement_costs_nothing(void **state)
{
    (void)state;
    double score[16], std;
    for (int i = 0; i < 16; i++)
        score[i] = 123456789.25;
    assert_true(ensemble_score(ENSEMBLE_UWO, 1e6, score, 16, &std) == 123456789.25);
    assert_true(std == 0);
}

TESTS(cmocka_unit_test(each_way_by_hand), cmocka_unit_test(agreement_costs_nothing))
