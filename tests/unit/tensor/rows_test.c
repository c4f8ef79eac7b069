/* Row by row ops and the optimizer against their definitions; batching; limits. */
#include "tensor/adamw.h"
#include "testing/tensors.h"

/* Log-probability and entropy of each row in double, from logits with a wide range. */
static void vocabulary_equals_the_definition(struct backend *be, int V, float temperature)
{
    enum { N = 7 };
    float *logits = floats((size_t)N * V, 1, 12), *logp = guarded(N * 4);
    float *entropy = guarded(N * 4);
    int32_t *token = tokens(N, 2, V);
    assert_ok(be->ops->token_logp(be, logp, entropy, logits, token, 1 / temperature, N, V));
    for (int n = 0; n < N; n++) {
        const float *row = logits + (size_t)n * V;
        const double scale = 1 / temperature;
        double sum = 0, mean = 0;
        for (int v = 0; v < V; v++)
            sum += exp(row[v] * scale);
        for (int v = 0; v < V; v++)
            mean += exp(row[v] * scale) / sum * (row[v] * scale - log(sum));
        assert_near(logp[n], row[token[n]] * scale - log(sum), 3e-7);
        assert_near(entropy[n], -mean, 1e-6);
    }
    guarded_free_all();
}

static void vocabulary_rows(void **state)
{
    (void)state;
    all_backends();
    static const int sizes[] = {1, 2, 16, 29, 2048};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        vocabulary_equals_the_definition(backends[backend_count - 1], sizes[i], 1.0f);
        vocabulary_equals_the_definition(backends[0], sizes[i], 0.5f);
    }
    free_backends();
}

/* A forbidden token: probability exactly 0, and the entropy stays a number. In place is allowed. */
static void minus_infinity_is_a_probability_of_zero(void **state)
{
    (void)state;
    for (int i = 0; i < all_backends(); i++) {
        struct backend *be = backends[i];
        float logits[] = {1, -INFINITY, 1, -INFINITY}, logp[1], entropy[1];
        const int32_t token[] = {2};
        assert_ok(be->ops->token_logp(be, logp, entropy, logits, token, 1, 1, 4));
        assert_near(logp[0], -log(2), 1e-7);
        assert_near(entropy[0], log(2), 1e-7);
    }
    free_backends();
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    all_backends();
    struct backend *be = backends[0], *unborn = NULL;
    float logits[8] = {0}, logp[2] = {7, 7};
    const int32_t over[] = {0, 4}, under[] = {-1, 0}, position[] = {0};
    assert_err(ERR_RANGE, "row 1: token 4",
               be->ops->token_logp(be, logp, NULL, logits, over, 1, 2, 4));
    assert_err(ERR_RANGE, "token -1",
               be->ops->token_logp_backward(be, logits, logp, under, 1, 2, 4));
    assert_true(logp[0] == 7 && logp[1] == 7);
    assert_err(ERR_INVALID, "even",
               be->ops->rope(be, logits, position, logits, logits, 1, 1, 4, 3, 0));
    assert_err(ERR_INVALID, "threads=0",
               backend_open("cpu", &(struct backend_config){.threads = 0}, &unborn));
    setenv("RLHFD_ISA", "mmx", 1);
    assert_err(ERR_INVALID, "RLHFD_ISA='mmx'",
               backend_open("cpu", &(struct backend_config){.threads = 1}, &unborn));
    setenv("RLHFD_ISA", "portable", 1);
    assert_ok(backend_open("cpu", &(struct backend_config){.threads = 1}, &unborn));
    backend_free(unborn);
    unsetenv("RLHFD_ISA");
    free_backends();
}

/* Rows together, alone and in other company: the same bits. */
static void rows_are_independent(void **state)
{
    (void)state;
    enum { N = 23, C = 100 };
    for (int i = 0; i < all_backends(); i++) {
        struct backend *be = backends[i];
        float *x = floats(N * C, 1, 4), *y = guarded(N * C * 4), *r = guarded(N * 4),
              *logp = guarded(N * 4);
        float *alone = guarded(C * 4), *one = guarded(4), *lonely = guarded(4);
        bf16 *weight = bf16s(C, 2, 1);
        int32_t *token = tokens(N, 3, C);
        assert_ok(be->ops->rmsnorm(be, y, r, x, weight, 1e-5f, N, C));
        assert_ok(be->ops->token_logp(be, logp, NULL, x, token, 1, N, C));
        for (int n = 0; n < N; n++) {
            assert_ok(be->ops->rmsnorm(be, alone, one, x + n * C, weight, 1e-5f, 1, C));
            assert_ok(be->ops->token_logp(be, lonely, NULL, x + n * C, token + n, 1, 1, C));
            assert_same_bits(alone, y + n * C, C * 4, "a row's norm");
            assert_same_bits(one, r + n, 4, "a row's r");
            assert_same_bits(lonely, logp + n, 4, "a row's logp");
        }
        guarded_free_all();
    }
    free_backends();
}

/* Gradients of consecutive halves add up to the whole's bits. */
static void gradients_accumulate_row_by_row(void **state)
{
    (void)state;
    enum { N = 41, C = 37, V = 5, HALF = 17 };
    for (int i = 0; i < all_backends(); i++) {
        struct backend *be = backends[i];
        float *x = floats(N * C, 1, 1), *dy = floats(N * C, 2, 1), *r = floats(N, 3, 1),
              *dx = floats(N * C, 4, 1);
        float *whole = floats(V * C, 5, 1), *parts = floats(V * C, 5, 1);
        bf16 *weight = bf16s(C, 6, 1);
        int32_t *token = tokens(N, 7, V);
        assert_ok(be->ops->rmsnorm_backward(be, dx, whole, dy, x, r, weight, N, C));
        assert_ok(be->ops->rmsnorm_backward(be, dx, parts, dy, x, r, weight, HALF, C));
        assert_ok(be->ops->rmsnorm_backward(be, dx, parts, dy + HALF * C, x + HALF * C, r + HALF,
                                            weight, N - HALF, C));
        assert_same_bits(whole, parts, C * 4, "dweight");
        assert_ok(be->ops->embed_backward(be, whole, dy, token, N, C));
        assert_ok(be->ops->embed_backward(be, parts, dy, token, HALF, C));
        assert_ok(be->ops->embed_backward(be, parts, dy + HALF * C, token + HALF, N - HALF, C));
        assert_same_bits(whole, parts, V * C * 4, "dtable");
        guarded_free_all();
    }
    free_backends();
}

/* ---- the optimizer */

static void adamw_equals_the_definition(void **state)
{
    (void)state;
    enum { COUNT = 77 };
    all_backends();
    struct backend *be = backends[backend_count - 1];
    float *master = floats(COUNT, 1, 1), *m = guarded(COUNT * 4), *v = guarded(COUNT * 4),
          *grad = guarded(COUNT * 4);
    bf16 *w = guarded(COUNT * 2);
    double p[COUNT], m1[COUNT] = {0}, v1[COUNT] = {0};
    for (int i = 0; i < COUNT; i++)
        p[i] = master[i];
    for (int step = 1; step <= 5; step++) {
        const struct adamw_step s = {1e-2f, 0.9f, 0.99f, 1e-8f, 0.1f, 0.5f, step};
        bf16 before[COUNT];
        struct adamw_total total = {0};
        size_t want = 0;
        fill(grad, COUNT, (uint64_t)step + 10, 1);
        memcpy(before, w, sizeof before);
        assert_ok(be->ops->adamw(be, master, w, m, v, grad, 0, COUNT, &s, NULL, &total));
        for (int i = 0; i < COUNT; i++) {
            const double g = 0.5 * grad[i];
            m1[i] = 0.9 * m1[i] + 0.1 * g;
            v1[i] = 0.99 * v1[i] + 0.01 * g * g;
            p[i] -= 1e-2 * 0.1 * p[i];
            p[i] -= 1e-2 * (m1[i] / (1 - pow(0.9, step))) /
                    (sqrt(v1[i] / (1 - pow(0.99, step))) + 1e-8);
            assert_near(master[i], p[i], 2e-6);
            assert_int_equal(w[i], bf16_from_float(master[i]));
            want += w[i] != before[i];
        }
        assert_int_equal(total.changed, want);
    }
    guarded_free_all();
    free_backends();
}

/* A bit is set for each value that changed, and those that were set stay. */
static void assert_marks(const uint32_t *marks, const bf16 *old, const bf16 *now, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const bool marked = marks[i / 32] >> i % 32 & 1;
        assert_int_equal(marked, i == 3 || old[i] != now[i]);
    }
    for (size_t i = count; i % 32; i++)
        assert_int_equal(marks[i / 32] >> i % 32 & 1, 0);
}

/* From no value to all: the digest's change leads to the digest in full, and is the same from
 * all. */
static void adamw_adds_the_change_of_the_digest(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 15, 16, 17, 100, 1000, 70001};
    static const float rates[] = {0, 1e-6f, 1e-4f, 1e-3f, 1};
    all_backends();
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
            const size_t count = counts[n], first = n % 2 ? ((size_t)1 << 40) - 9 : n;
            struct digest want = {0};
            for (int i = 0; i < backend_count; i++) {
                const struct adamw_step s = {rates[r], 0.9f, 0.99f, 1e-8f, 0, 1, 1};
                float *master = floats(count, 1, 0.05), *m = guarded(count * 4),
                      *v = guarded(count * 4), *grad = floats(count, 2, 1);
                bf16 *w = guarded(count * 2);
                bf16 *old = guarded(count * 2);
                uint32_t *marks = guarded((count + 31) / 32 * 4);
                struct adamw_total total = {0};
                for (size_t j = 0; j < count; j++)
                    old[j] = w[j] = bf16_from_float(master[j]);
                memset(marks, 0, (count + 31) / 32 * 4);
                if (count > 3)
                    marks[0] = 8;
                const struct digest before = weights_digest(w, first, count);
                assert_ok(backends[i]->ops->adamw(backends[i], master, w, m, v, grad, first, count,
                                                  &s, marks, &total));
                if (count > 3)
                    assert_marks(marks, old, w, count);
                const struct digest after = weights_digest(w, first, count),
                                    sum =
                                        weights_digest_add(before, adamw_changes_of(&total).digest);
                assert_same_bits(&sum, &after, sizeof sum, backend_names[i]);
                if (i)
                    assert_same_bits(&after, &want, sizeof want, backend_names[i]);
                assert_true(rates[r] != 0 || total.changed == 0);
                assert_true(rates[r] != 1 || total.changed == count);
                want = after;
                guarded_free_all();
            }
        }
    free_backends();
}

static void square_sum_and_zero(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 17, 16384, 100000};
    for (int i = 0; i < all_backends(); i++)
        for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
            float *x = floats(counts[n], 1, 1);
            double got = -1, want = 0;
            for (size_t j = 0; j < counts[n]; j++)
                want += (double)x[j] * x[j];
            assert_ok(backends[i]->ops->square_sum(backends[i], x, counts[n], &got));
            assert_near(got, want, 1e-12);
            assert_ok(backends[i]->ops->zero(backends[i], x, counts[n] * 4));
            for (size_t j = 0; j < counts[n]; j++)
                assert_true(x[j] == 0);
            guarded_free_all();
        }
    free_backends();
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(bf16_from_float(1.0f), 0x3f80);
    assert_int_equal(bf16_from_float(1.00390625f), 0x3f80); // a tie goes to the even one
    assert_int_equal(bf16_from_float(1.01171875f), 0x3f82); // a tie again
    assert_int_equal(bf16_from_float(1.00390637f), 0x3f81); // just above
    assert_int_equal(bf16_from_float(3.4e38f), 0x7f80);     // rounds to infinity
    assert_int_equal(bf16_from_float(-INFINITY), 0xff80);
    assert_true(isnan(bf16_to_float(bf16_from_float(NAN))));
    for (int i = 0; i < all_backends(); i++) {
        float master[4] = {1.00390625f, 1.01171875f, NAN, -1e-40f}, m[4] = {0}, v[4] = {0},
              grad[4] = {0};
        bf16 w[4] = {0};
        struct adamw_total total = {0};
        const struct adamw_step s = {0, 0.9f, 0.99f, 1e-8f, 0, 1, 1};
        assert_ok(
            backends[i]->ops->adamw(backends[i], master, w, m, v, grad, 0, 4, &s, NULL, &total));
        assert_true(w[0] == 0x3f80 && w[1] == 0x3f82 && isnan(bf16_to_float(w[2])) &&
                    total.changed == 4);
        assert_int_equal(w[3], bf16_from_float(-1e-40f));
    }
    free_backends();
}

TESTS(cmocka_unit_test(vocabulary_rows), cmocka_unit_test(minus_infinity_is_a_probability_of_zero),
      cmocka_unit_test(bad_arguments_are_refused), cmocka_unit_test(rows_are_independent),
      cmocka_unit_test(gradients_accumulate_row_by_row),
      cmocka_unit_test(adamw_equals_the_definition),
      cmocka_unit_test(adamw_adds_the_change_of_the_digest), cmocka_unit_test(square_sum_and_zero),
      cmocka_unit_test(bf16_rounds_to_nearest_even))
