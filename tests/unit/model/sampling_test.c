#include "base/json.h"
#include "model/engine/sampling.h"
#include "tensor/buffer.h"
#include "testing/testing.h"
#include <math.h>

static const char *const kinds[] = {"cpu", "opaque"};
enum { KINDS = 2 };

static const struct sampling settings[] = {
    {.temperature = 1, .top_k = 1000},
    {.temperature = 1, .top_p = 1},
    {.temperature = 0.7f, .min_p = 1},
    {.temperature = 1, .top_k = 20, .top_p = 0.9f, .min_p = 0.1f}};
enum { SETTINGS = sizeof settings / sizeof *settings };

static double uniform_of(const struct sampling *s, int row, uint64_t completion, int length)
{
    const struct token_request request = sampling_request(s, row, completion, NULL, length);
    return rng_uniform(&request.rng, request.counter);
}

static void a_request_depends_on_its_names_alone(void **state)
{
    (void)state;
    const struct sampling base = {.temperature = 1, .seed = 1, .prompt = 2, .epoch = 3};
    for (int at = 0; at < 200; at++) {
        struct sampling other[4] = {base, base, base, base};
        other[1].seed++, other[2].prompt++, other[3].epoch++;
        const double u = uniform_of(&base, 0, 4, at);
        assert_true(u >= 0 && u < 1);
        assert_true(uniform_of(&other[0], 7, 4, at) == u);
        assert_true(uniform_of(&base, 0, 5, at) != u);
        assert_true(uniform_of(&base, 0, 4, at + 1) != u);
        for (int i = 1; i < 4; i++)
            assert_true(uniform_of(&other[i], 0, 4, at) != u);
    }
    assert_true(sampling_request(&(struct sampling){0}, 0, 0, NULL, 0).greedy);
    assert_false(sampling_truncates(&(struct sampling){.top_k = 1}));
    assert_true(sampling_inverse(&(struct sampling){0}) == 1.0f);
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
    const struct token_draw likely = {.logp = -0.5f, .mass = 0.5}, rare = {.logp = -2, .mass = 0.5};
    assert_true(sampling_logp(&plain, &likely) == 0.0f); // never above 0
    assert_near(sampling_logp(&plain, &rare), -2.0 + log(2), 1e-6);
}

/* ---- against transformers (tests/golden/sampling.py) */

static double number_or(const json_t *map, const char *key, double otherwise)
{
    const json_t *value = json_object_get(map, key);
    return value ? json_number_value(value) : otherwise;
}

/* Draws until every token that is kept and not rare was seen; each must have its log-probability,
 * and none may be one that was removed. */
static void one_case(struct backend *be, const json_t *one)
{
    enum { N = 40, DRAWS = 3000 };
    static struct token_request request[DRAWS + 1];
    static struct token_draw draw[DRAWS + 1];
    const json_t *map = json_object_get(one, "settings"), *want = json_object_get(one, "logp");
    const json_t *tokens = json_object_get(one, "tokens");
    struct sampling s = {.temperature = (float)number_or(map, "temperature", 1),
                         .top_k = (int)number_or(map, "top_k", 0),
                         .top_p = (float)number_or(map, "top_p", 1),
                         .min_p = (float)number_or(map, "min_p", 0),
                         .repetition_penalty = (float)number_or(map, "repetition_penalty", 1)};
    float row[N];
    int32_t token[64];
    bool seen[N] = {0};
    const int count = (int)json_array_size(tokens);
    for (size_t i = 0; i < N; i++)
        row[i] = (float)json_number_value(json_array_get(json_object_get(one, "logits"), i));
    for (int i = 0; i < count; i++)
        token[i] = (int32_t)json_integer_value(json_array_get(tokens, (size_t)i));
    const struct sampling greedy = {.repetition_penalty = s.repetition_penalty};
    for (int n = 0; n < DRAWS; n++)
        request[n] = sampling_request(&s, 0, (uint64_t)n, token, count);
    request[DRAWS] = sampling_request(&greedy, 0, 0, token, count);
    SCOPED_VALUE(buffer) logits = {0};
    assert_ok(buffer_alloc(be, sizeof row, &logits));
    assert_ok(buffer_put(&logits, 0, row, sizeof row));
    assert_ok(be->ops->token_draw(be, logits.address, 1, N, request, DRAWS + 1, draw));
    assert_int_equal(draw[DRAWS].token, json_integer_value(json_object_get(one, "greedy")));
    for (int n = 0; n < DRAWS; n++) {
        const json_t *logp = json_array_get(want, (size_t)draw[n].token);
        assert_true(draw[n].finite && json_is_number(logp));
        const float got = sampling_alters(&s) ? sampling_logp(&s, &draw[n]) : draw[n].logp;
        assert_near(got, json_number_value(logp), 1e-5); // both are sums of float32 probabilities
        seen[draw[n].token] = true;
    }
    for (size_t i = 0; i < N; i++) // a chance of e^-15 to miss one
        assert_true(seen[i] || !json_is_number(json_array_get(want, i)) ||
                    json_number_value(json_array_get(want, i)) < log(0.005));
}

static void distributions_equal_those_of_transformers(void **state)
{
    (void)state;
    SCOPED_JSON json_t *cases = NULL;
    assert_ok(json_read_file(TEST_GOLDEN "/sampling.json", 1 << 20, &cases));
    assert_true(json_array_size(cases) > 40);
    for (int k = 0; k < KINDS; k++) {
        SCOPED(backend) be = NULL;
        assert_ok(backend_open(kinds[k], &(struct backend_config){.threads = 2}, &be));
        for (size_t i = 0; i < json_array_size(cases); i++)
            one_case(be, json_array_get(cases, i));
    }
}

TESTS(cmocka_unit_test(distributions_equal_those_of_transformers),
      cmocka_unit_test(a_request_depends_on_its_names_alone), cmocka_unit_test(bounds_of_settings))
