/* What each estimator of the KL term does at each place, as its help says (rl/word_table.h). Means
 * are over all tokens of one softmax, by their probabilities, so nothing is sampled. Divergences
 * are differentiated by finite differences. */
#include "rl/kl.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { N = 6 };
static const double policy[N] = {0.3, -1.1, 0.7, 0.0, 1.9, -0.4},
                    towards[N] = {-0.8, 0.9, 0.4, -1.3, 0.6, 0.2};

static void softmax(const double *logit, double *ret)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += ret[i] = exp(logit[i]);
    for (int i = 0; i < N; i++)
        ret[i] /= sum;
}

/* The reference lies `far` from the policy. */
static void reference_at(double far, double *ret)
{
    double logit[N];
    for (int i = 0; i < N; i++)
        logit[i] = policy[i] + far * towards[i];
    softmax(logit, ret);
}

/* The mean of f(d) grad logp, by the policy's logits. */
static void pull(enum kl kl, bool reward, const double *reference, double *ret)
{
    double p[N], mean = 0;
    softmax(policy, p);
    for (int i = 0; i < N; i++) {
        const struct kl_value at = kl_at(kl, log(p[i] / reference[i]));
        ret[i] = p[i] * (reward ? at.value : at.slope);
        mean += ret[i];
    }
    for (int i = 0; i < N; i++)
        ret[i] -= p[i] * mean;
}

static double reverse_kl(const double *p, const double *r)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += p[i] * log(p[i] / r[i]);
    return sum;
}

static double forward_kl(const double *p, const double *r)
{
    return reverse_kl(r, p);
}

static double reverse_less_forward(const double *p, const double *r)
{
    return reverse_kl(p, r) - reverse_kl(r, p);
}

static double twice_variation(const double *p, const double *r)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += fabs(p[i] - r[i]);
    return sum;
}

static double gradient_at(double (*of)(const double *, const double *), const double *reference,
                          int i)
{
    const double step = 1e-5;
    double logit[N], p[N], q[N];
    memcpy(logit, policy, sizeof logit);
    logit[i] += step;
    softmax(logit, p);
    logit[i] -= 2 * step;
    softmax(logit, q);
    return (of(p, reference) - of(q, reference)) / (2 * step);
}

static double norm(const double *x)
{
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static void gradients_are_those_that_the_words_name(void **)
{
    static const struct {
        enum kl kl;
        bool reward;
        double (*of)(const double *, const double *);
    } cases[] = {
        {KL_ABS, false, twice_variation},
        {KL_K2, false, reverse_kl},
        {KL_K3, false, forward_kl},
        {KL_K3_PLUS, false, reverse_kl},
        {KL_K1, true, reverse_kl},
        {KL_K3, true, reverse_less_forward},
        {KL_K3_PLUS, true, reverse_less_forward},
    };
    double reference[N], got[N];
    reference_at(0.7, reference);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        pull(cases[c].kl, cases[c].reward, reference, got);
        for (int i = 0; i < N; i++) // differences of step 1e-5 are good to 1e-10
            assert_near(got[i], gradient_at(cases[c].of, reference, i), 1e-9);
        assert_true(norm(got) > 0.01);
    }
}

/* Refused in a recipe: the reference has no part in it. */
static void k1_in_the_loss_pulls_nowhere(void **)
{
    double reference[N], got[N];
    reference_at(0.7, reference);
    pull(KL_K1, false, reference, got);
    assert_near(norm(got), 0, 1e-15);
}

/* Of a reference on the other side, k1 pulls to the other side; the others pay the same, up to what
 * is of higher order in the distance. */
static void only_k1_in_the_reward_has_a_side(void **)
{
    static const enum kl even[] = {KL_ABS, KL_K2, KL_K3};
    const double near = 1e-3;
    double one[N], other[N], a[N], b[N], sum[N], difference[N];
    reference_at(near, one);
    reference_at(-near, other);
    for (size_t c = 0; c < 4; c++) {
        const enum kl kl = c < 3 ? even[c] : KL_K1;
        pull(kl, true, one, a);
        pull(kl, true, other, b);
        for (int i = 0; i < N; i++) {
            sum[i] = a[i] + b[i];
            difference[i] = a[i] - b[i];
        }
        assert_true(norm(kl == KL_K1 ? sum : difference) < 10 * near * norm(a));
    }
}

TESTS(cmocka_unit_test(gradients_are_those_that_the_words_name),
      cmocka_unit_test(k1_in_the_loss_pulls_nowhere),
      cmocka_unit_test(only_k1_in_the_reward_has_a_side))
