#include "base/mem.h"
#include "base/rng.h"
#include "model/sampler.h"
#include "testing/testing.h"
#include <math.h>
#include <string.h>

enum { V = 50 };

/* A row of probabilities with ties, zeros and a long tail. */
static void make_row(uint64_t seed, float p[V])
{
    const struct rng rng = rng_keyed(seed, RNG_TEST, 1, 1);
    double sum = 0, x[V];
    for (int i = 0; i < V; i++) {
        x[i] =
            rng_below(&rng, (uint64_t)i, 5) ? exp(4 * rng_uniform(&rng, (uint64_t)(100 + i))) : 0;
        if (i % 7 == 3)
            x[i] = x[i - 1];
        sum += x[i];
    }
    for (int i = 0; i < V; i++)
        p[i] = (float)(x[i] / sum);
}

/* The slow way: rank by counting, then the rules one after the other. */
static double reference(const struct sampling *s, const float p[V], bool keep[V])
{
    int order[V];
    double left = 0, sum = 0, kept = 0;
    float best = 0;
    for (int i = 0; i < V; i++) {
        int rank = 0;
        for (int j = 0; j < V; j++)
            rank += p[j] > p[i] || (p[j] == p[i] && j < i);
        order[rank] = i;
        best = p[i] > best ? p[i] : best;
        keep[i] = false;
    }
    const int most = s->top_k > 0 && s->top_k < V ? s->top_k : V;
    for (int r = 0; r < most; r++)
        left += (double)p[order[r]];
    const bool nucleus = s->top_p > 0 && s->top_p < 1;
    for (int r = 0; r < most && !(nucleus && r && sum >= left * (double)s->top_p); r++) {
        sum += (double)p[order[r]];
        keep[order[r]] = p[order[r]] >= s->min_p * best;
    }
    for (int i = 0; i < V; i++)
        kept += keep[i] ? (double)p[i] : 0;
    return kept;
}

static const struct sampling settings[] = {
    {.temperature = 1},
    {.temperature = 1, .top_k = 1},
    {.temperature = 1, .top_k = 7},
    {.temperature = 1, .top_k = 1000},
    {.temperature = 1, .top_p = 0.5f},
    {.temperature = 1, .top_p = 0.9f},
    {.temperature = 1, .top_p = 1e-6f},
    {.temperature = 1, .top_p = 1},
    {.temperature = 1, .min_p = 0.2f},
    {.temperature = 1, .min_p = 1},
    {.temperature = 1, .top_k = 12, .top_p = 0.8f},
    {.temperature = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.1f}};
enum { SETTINGS = sizeof settings / sizeof *settings };

static void draws_follow_the_truncated_distribution(void **state)
{
    (void)state;
    SCOPED(sampler) sampler = sampler_new(V);
    enum { DRAWS = 4000 };
    for (int i = 0; i < SETTINGS; i++) {
        struct sampling s = settings[i];
        float p[V];
        bool keep[V];
        int count[V] = {0};
        make_row((uint64_t)i, p);
        const double kept = reference(&s, p, keep);
        s.seed = 5;
        for (uint64_t n = 0; n < DRAWS; n++) {
            struct draw draw;
            s.prompt = n;
            assert_ok(sampler_draw(sampler, &s, n % 3, n % 11, p, p, &draw));
            assert_true(keep[draw.token] && p[draw.token] > 0);
            assert_near(draw.mass, sampling_truncates(&s) ? kept : 1, 1e-6);
            count[draw.token]++;
        }
        for (int v = 0; v < V; v++) {
            const double expect = keep[v] ? (double)p[v] / kept : 0;
            // six standard deviations of a binomial share
            assert_true(fabs((double)count[v] / DRAWS - expect) <=
                        6 * sqrt(expect * (1 - expect) / DRAWS) + 1e-9);
        }
    }
}

static void a_draw_depends_on_its_names_alone(void **state)
{
    (void)state;
    SCOPED(sampler) one = sampler_new(V);
    SCOPED(sampler) two = sampler_new(V);
    float p[V];
    make_row(1, p);
    const struct sampling base = {.temperature = 1, .seed = 1, .prompt = 2, .epoch = 3};
    int same[5] = {0};
    for (uint64_t at = 0; at < 200; at++) {
        struct draw a, b;
        struct sampling other[5] = {base, base, base, base, base};
        other[1].seed++, other[2].prompt++, other[3].epoch++;
        assert_ok(sampler_draw(one, &base, 4, at, p, p, &a));
        for (int i = 0; i < 5; i++) {
            assert_ok(sampler_draw(two, &other[i], i == 4 ? 5 : 4, at, p, p, &b));
            same[i] += a.token == b.token;
        }
    }
    assert_int_equal(same[0], 200);
    for (int i = 1; i < 5; i++)
        assert_true(same[i] < 60);
}

static void greedy_takes_the_first_of_the_largest(void **state)
{
    (void)state;
    SCOPED(sampler) sampler = sampler_new(5);
    const struct sampling s = {.temperature = 0, .top_k = 1};
    struct draw draw;
    assert_ok(sampler_draw(sampler, &s, 0, 0, (float[]){-3, 2, 7, 7, -9}, NULL, &draw));
    assert_int_equal(draw.token, 2);
    assert_true(draw.mass == 1);
    assert_false(sampling_truncates(&s));
    assert_true(sampling_inverse(&s) == 1.0f);
    assert_err(ERR_DATA_LOSS, "not finite",
               sampler_draw(sampler, &s, 0, 0, (float[]){1, NAN, 7, 7, 0}, NULL, &draw));
    assert_err(ERR_DATA_LOSS, "not finite",
               sampler_draw(sampler, &s, 0, 0, (float[]){1, 2, INFINITY, 7, 0}, NULL, &draw));
    const struct sampling warm = {.temperature = 1};
    assert_err(ERR_DATA_LOSS, "not finite",
               sampler_draw(sampler, &warm, 0, 0, NULL, (float[]){0, NAN, 0, 0, 0}, &draw));
    assert_err(ERR_DATA_LOSS, "not finite",
               sampler_draw(sampler, &warm, 0, 0, NULL, (float[]){0, 0, 0, 0, 0}, &draw));
}

static void bounds_of_settings(void **state)
{
    (void)state;
    for (int i = 0; i < SETTINGS; i++)
        assert_ok(sampling_check(&settings[i]));
    assert_ok(sampling_check(&(struct sampling){0}));
    assert_err(ERR_INVALID, "temperature is 0.0001",
               sampling_check(&(struct sampling){.temperature = 1e-4f}));
    assert_err(ERR_INVALID, "temperature is inf",
               sampling_check(&(struct sampling){.temperature = INFINITY}));
    assert_err(ERR_INVALID, "top_k is -1",
               sampling_check(&(struct sampling){.temperature = 1, .top_k = -1}));
    assert_err(ERR_INVALID, "top_p is nan",
               sampling_check(&(struct sampling){.temperature = 1, .top_p = NAN}));
    assert_err(ERR_INVALID, "min_p is 1.5",
               sampling_check(&(struct sampling){.temperature = 1, .min_p = 1.5f}));
    assert_true(sampler_logp(-0.5f, 0.5) == 0.0f); // never above 0
    assert_near(sampler_logp(-2.0f, 0.5), -2.0 + log(2), 1e-6);
}

TESTS(cmocka_unit_test(draws_follow_the_truncated_distribution),
      cmocka_unit_test(a_draw_depends_on_its_names_alone),
      cmocka_unit_test(greedy_takes_the_first_of_the_largest), cmocka_unit_test(bounds_of_settings))
