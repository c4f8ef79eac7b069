/* Tails against sums of their terms in long double, and the adjustments by hand. */
#include "base/mem.h"
#include "base/rng.h"
#include "base/scoped.h"
#include "ctl/reward/audit_null.h"
#include "ctl/reward/proportion.h"
#include "testing/testing.h"
#include <math.h>

static long double choose(int n, int k)
{
    long double c = 1;
    for (int i = 0; i < k; i++)
        c = c * (n - i) / (i + 1);
    return c;
}

static void intervals_by_hand(void **)
{
    const struct interval in = share_interval(31, 200);
    assert_near(in.low, 0.11139636927689314, 1e-14);
    assert_near(in.high, 0.21160690592342077, 1e-14);
    assert_true(share_interval(0, 0).low == 0 && share_interval(0, 0).high == 1);
    assert_true(share_interval(0, 50).low < 1e-15 && share_interval(50, 50).high > 1 - 1e-15);
}

static void near_sum(double got, long double want)
{
    if (fabs(got - (double)want) > 1e-11 * (double)want)
        fail_msg("%.17g, the sum is %.17Lg", got, want);
}

static void binomial_is_the_sum_of_its_terms(void **)
{
    for (int k = 1; k <= 60; k++) {
        long double sum = 0;
        for (int i = k; i <= 60; i++)
            sum += choose(60, i) * powl(0.3L, i) * powl(0.7L, 60 - i);
        near_sum(binomial_tail(k, 60, 0.3), sum);
    }
    assert_true(binomial_tail(0, 60, 0.3) == 1 && binomial_tail(61, 60, 0.3) == 0);
    assert_true(binomial_tail(5, 60, 0) == 0 && binomial_tail(5, 60, 1) == 1);
    assert_near(binomial_tail(500000, 1000000, 0.5), 0.5004,
                1e-4); // far more terms than a double holds
}

/* Terms by Polya's urn: each draw adds one of its own to a and b. */
static void beta_binomial_is_the_sum_of_its_terms(void **)
{
    const double mean = 0.55, rho = 0.05;
    const long double a = mean * (1 - rho) / rho, b = (1 - mean) * (1 - rho) / rho;
    for (int k = 1; k <= 40; k++) {
        long double sum = 0;
        for (int i = k; i <= 40; i++) {
            long double term = choose(40, i);
            for (int d = 0; d < 40; d++)
                term *= (d < i ? a + d : b + d - i) / (a + b + d);
            sum += term;
        }
        near_sum(beta_binomial_tail(k, 40, mean, rho), sum);
    }
    assert_true(beta_binomial_tail(7, 20, 0.5, 0) == binomial_tail(7, 20, 0.5));
}

static void hypergeometric_is_the_sum_of_its_terms(void **)
{
    for (int k = 1; k <= 12; k++) {
        long double sum = 0;
        for (int i = k; i <= 12; i++)
            sum += choose(12, i) * choose(48, 20 - i) / choose(60, 20);
        near_sum(hypergeometric_tail(k, 20, 12, 60), sum);
    }
    assert_true(hypergeometric_tail(13, 20, 12, 60) == 0);
    assert_true(hypergeometric_tail(2, 50, 12, 60) == 1); // 50 of 60 have two of them anyway
    assert_near(apart_from_rest(12, 20, 12, 60), 2 * hypergeometric_tail(12, 20, 12, 60), 1e-12);
    assert_near(apart_from_rest(0, 20, 12, 60), apart_from_rest(20, 20, 48, 60), 1e-12);
}

static void holm_by_hand(void **)
{
    double p[] = {0.01, 0.04, 0.03, 0.005};
    const double want[] = {0.03, 0.06, 0.06, 0.02};
    holm(p, 4, p);
    for (int i = 0; i < 4; i++)
        assert_near(p[i], want[i], 1e-14);
    holm(p, 0, p);
}

/* scipy.stats.spearmanr has the same; by hand: ranks 1 2.5 2.5 4 and 1 3 2 4. */
static void ranks_by_hand(void **)
{
    const double a[] = {1, 2, 2, 9}, b[] = {-1, 5, 0, 7};
    assert_near(rank_correlation(a, b, 4), 4.5 / sqrt(4.5 * 5), 1e-14);
    assert_true(rank_correlation(a, a + 1, 0) == 0);
    const double flat[] = {1, 1, 1, 1};
    assert_true(rank_correlation(a, flat, 4) == 0);
}

/* Texts whose chance varies as Beta(9, 9): rho is 1 / 19. One in twenty always wins. */
static void a_null_finds_what_it_was_drawn_from(void **)
{
    enum { TEXTS = 4000 };
    SCOPED_MEM struct audit_seen *seen = mem_array(TEXTS, sizeof *seen);
    struct audit_null null;
    for (int i = 0; i < TEXTS; i++) {
        const struct rng rng = rng_keyed(1, RNG_TEST, (uint64_t)i, 0);
        double own = 9, other = 9; // Polya's urn draws a beta-binomial
        for (int d = 0; d < 20 + i % 40; d++) {
            const bool won = i % 20 == 0 || rng_uniform(&rng, (uint64_t)d) < own / (own + other);
            *(won ? &own : &other) += 1;
            *(won ? &seen[i].won : &seen[i].lost) += 1;
        }
    }
    audit_null_fit(seen, TEXTS, &null);
    assert_near(null.mean, 0.525, 0.02); // of 1/20 + 19/40
    if (null.rho[0] < 0.02 || null.rho[0] > 0.12 || null.rho[1] < 0.03 || null.rho[1] > 0.12)
        fail_msg("rho %g, %g: drawn with %g", null.rho[0], null.rho[1], 1 / 19.0);
    assert_true(audit_null_tail(&null, 50, 0) < 1e-5);
    assert_true(audit_null_tail(&null, 30, 20) > 0.1);
    audit_null_fit(seen, 0, &null);
    assert_true(null.mean == 0.5 && null.rho[0] == 0.1); // nothing is known: wide
    audit_null_fit(seen, 40, &null);                     // too few for a band: as all
    assert_true(null.rho[0] > 0 && null.rho[0] == null.rho[5]);
}

TESTS(cmocka_unit_test(intervals_by_hand), cmocka_unit_test(binomial_is_the_sum_of_its_terms),
      cmocka_unit_test(beta_binomial_is_the_sum_of_its_terms),
      cmocka_unit_test(hypergeometric_is_the_sum_of_its_terms), cmocka_unit_test(holm_by_hand),
      cmocka_unit_test(ranks_by_hand), cmocka_unit_test(a_null_finds_what_it_was_drawn_from))
