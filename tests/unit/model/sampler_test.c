#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "model/engine/sampler.h"
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
    assert_err(ERR_INVALID, "repetition_penalty is -1",
               sampling_check(&(struct sampling){.temperature = 1, .repetition_penalty = -1}));
    const struct sampling plain = {.temperature = 1};
    const struct draw half = {.mass = 0.5};
    assert_true(sampler_logp(&plain, -0.5f, &half) == 0.0f); // never above 0
    assert_near(sampler_logp(&plain, -2.0f, &half), -2.0 + log(2), 1e-6);
}

/* ---- against transformers (tests/golden/sampling.py) */

static double number_or(const json_t *map, const char *key, double otherwise)
{
    const json_t *value = json_object_get(map, key);
    return value ? json_number_value(value) : otherwise;
}

/* Softmax in double, as near to the backend's as both are to the truth. */
static void softmax(float *x, int n, double inverse)
{
    double sum = 0, best = -INFINITY;
    for (int i = 0; i < n; i++)
        best = fmax(best, (double)x[i]);
    for (int i = 0; i < n; i++)
        sum += exp(((double)x[i] - best) * inverse);
    for (int i = 0; i < n; i++)
        x[i] = (float)(exp(((double)x[i] - best) * inverse) / sum);
}

/* Draws until every token that is kept and not rare was seen; each must have its log-probability,
 * and none may be one that was removed. */
static void one_case(struct sampler *sampler, const json_t *one)
{
    enum { N = 40, DRAWS = 3000 };
    const json_t *map = json_object_get(one, "settings"), *want = json_object_get(one, "logp");
    const json_t *tokens = json_object_get(one, "tokens");
    struct sampling s = {.temperature = (float)number_or(map, "temperature", 1),
                         .top_k = (int)number_or(map, "top_k", 0),
                         .top_p = (float)number_or(map, "top_p", 1),
                         .min_p = (float)number_or(map, "min_p", 0),
                         .repetition_penalty = (float)number_or(map, "repetition_penalty", 1)};
    float row[N], full[N], logit[N];
    int32_t token[64];
    bool seen[N] = {0};
    const int count = (int)json_array_size(tokens);
    for (int i = 0; i < N; i++)
        logit[i] =
            (float)json_number_value(json_array_get(json_object_get(one, "logits"), (size_t)i));
    for (int i = 0; i < count; i++)
        token[i] = (int32_t)json_integer_value(json_array_get(tokens, (size_t)i));
    memcpy(row, logit, sizeof row);
    memcpy(full, logit, sizeof full);
    softmax(full, N, 1.0 / (double)s.temperature);
    if (sampling_penalises(&s))
        sampler_penalise(sampler, &s, row, token, count);
    struct draw draw;
    const struct sampling greedy = {.repetition_penalty = s.repetition_penalty};
    assert_ok(sampler_draw(sampler, &greedy, 0, 0, row, NULL, &draw));
    assert_int_equal(draw.token, json_integer_value(json_object_get(one, "greedy")));
    softmax(row, N, 1.0 / (double)s.temperature);
    for (uint64_t n = 0; n < DRAWS; n++) {
        assert_ok(sampler_draw(sampler, &s, n, 3, NULL, row, &draw));
        const json_t *logp = json_array_get(want, (size_t)draw.token);
        assert_true(json_is_number(logp));
        const float b_full = (float)log((double)full[draw.token]);
        const float got = sampling_alters(&s) ? sampler_logp(&s, b_full, &draw) : b_full;
        assert_near(got, json_number_value(logp), 1e-5); // both are sums of float32 probabilities
        seen[draw.token] = true;
    }
    for (size_t i = 0; i < N; i++) // a chance of e^-15 to miss one
        assert_true(seen[i] || !json_is_number(json_array_get(want, i)) ||
                    json_number_value(json_array_get(want, i)) < log(0.005));
}

static void distributions_equal_those_of_transformers(void **state)
{
    (void)state;
    SCOPED_JSON json_t *cases = NULL;
    SCOPED(sampler) sampler = sampler_new(40);
    assert_ok(json_read_file(TEST_GOLDEN "/sampling.json", 1 << 20, &cases));
    assert_true(json_array_size(cases) > 40);
    for (size_t i = 0; i < json_array_size(cases); i++)
        one_case(sampler, json_array_get(cases, i));
}

TESTS(cmocka_unit_test(distributions_equal_those_of_transformers),
      cmocka_unit_test(draws_follow_the_truncated_distribution),
      cmocka_unit_test(a_draw_depends_on_its_names_alone),
      cmocka_unit_test(greedy_takes_the_first_of_the_largest), cmocka_unit_test(bounds_of_settings))
