/* The module's ops on whole rows of the vocabulary against the CPU's, at sizes around a block's. */
#include "cuda/both.h"

enum { N = 3 };
static const int widths[] = {1, 2, 31, 256, 257, 700};

static float *logits_of(int V, uint64_t seed)
{
    float *x = floats((size_t)N * (size_t)V, seed, 6);
    if (V > 20)
        x[7] = x[V + 9] = -INFINITY;
    if (V > 100)
        x[2 * V + 90] = x[2 * V + 3] = 30; // the first of equals is the rival
    return x;
}

static void assert_close(const float *a, const float *b, int count, const char *what)
{
    for (int i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) <= 4e-6f * fmaxf(1, fabsf(b[i]))))
            fail_msg("%s: %d of %d is %g, not %g", what, i, count, (double)a[i], (double)b[i]);
}

static void run(struct backend *be, int V, bool reference, float *ret_value, float **ret_slope)
{
    float *x = logits_of(V, 1), *q = logits_of(V, 2), slope[TERM_SLOPES][N];
    const int32_t token[] = {0, V - 1, V / 2};
    const struct row_call call = {
        .token = token, .inverse_temperature = 0.7f, .beta = 0.3f, .N = N, .V = V};
    struct row_values values;
    struct row_slopes slopes;
    for (int k = 0; k < TERM_COUNT; k++)
        values.at[k] = ret_value + k * N;
    for (int k = 0; k < TERM_SLOPES; k++) {
        for (int n = 0; n < N; n++)
            slope[k][n] = n == 1 ? 0 : (float)(k + 1) * 0.2f - (float)n * 0.3f;
        slopes.at[k] = k == TERM_REVERSE_KL && V % 2 ? NULL : slope[k];
    }
    run_op(be->ops->row_terms(be, ON(be, x), reference ? ON(be, q) : NULL, &call, &values));
    run_op(
        be->ops->row_terms_backward(be, ON(be, x), reference ? ON(be, q) : NULL, &call, &slopes));
    *ret_slope = x;
}

static void both_compute_the_same(void **)
{
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int reference = 0; reference < 2; reference++) {
            float value[2][TERM_COUNT * N], *slope[2];
            run(cpu, widths[i], reference, value[0], &slope[0]);
            run(cuda, widths[i], reference, value[1], &slope[1]);
            mirrors_back();
            assert_close(value[1], value[0], TERM_COUNT * N, "terms");
            assert_close(slope[1], slope[0], N * widths[i], "slopes");
            for (int v = 0; v < widths[i]; v++)
                assert_true(slope[1][widths[i] + v] == 0);
            guarded_free_all();
        }
}

static void what_the_cpu_refuses_is_refused(void **)
{
    const int32_t token[] = {0, 50, 1};
    float *x = logits_of(50, 1), value[N];
    const struct row_call call = {.token = token, .inverse_temperature = 1, .N = N, .V = 50};
    const struct row_values values = {.at = {value}};
    const struct row_slopes slopes = {.at = {value}};
    assert_err(ERR_RANGE, "row 1: token 50 of a vocabulary of 50",
               cuda->ops->row_terms(cuda, ON(cuda, x), NULL, &call, &values));
    assert_err(ERR_RANGE, "row 1: token 50 of a vocabulary of 50",
               cuda->ops->row_terms_backward(cuda, ON(cuda, x), NULL, &call, &slopes));
    guarded_free_all();
}

TESTS_OF_BOTH(cmocka_unit_test(both_compute_the_same),
              cmocka_unit_test(what_the_cpu_refuses_is_refused))
