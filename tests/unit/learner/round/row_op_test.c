/* The backend's ops on whole rows of the vocabulary against their specification in double, which
 * the objectives' check reads too: every term, every slope. Each instruction set's bits are the
 * portable ones (tests/parity). */
#include "rl/row_value.h"
#include "tensor/row_terms.h"
#include "testing/tensors.h"

_Static_assert((int)TERM_COUNT == (int)ROW_TERMS && (int)TERM_JSD == (int)ROW_JSD &&
                   (int)TERM_RIVAL_LOGP == (int)ROW_RIVAL_LOGP,
               "one order of terms");

static struct backend *tested(void)
{
    all_backends();
    return backends[0];
}

enum { N = 4 };
static const int widths[] = {2, 5, 16, 37, 300};
static const float scale = 0.7f, beta = 0.3f;

struct rows {
    int V;
    float *logits, *reference;
    int32_t token[N];
};

/* Some tokens are none: in both, or in one alone. */
static struct rows rows_of(int V)
{
    const size_t size = (size_t)N * (size_t)V;
    struct rows rows = {V, floats(size, 1, 6), floats(size, 2, 6), {0}};
    for (int n = 0; n < N; n++)
        rows.token[n] = n % V;
    if (V > 30) {
        rows.logits[11] = rows.reference[11] = -INFINITY;
        rows.logits[V + 12] = -INFINITY;
        rows.reference[2 * V + 13] = -INFINITY;
    }
    return rows;
}

static void value_of(const struct rows *rows, int n, double *z, double *q, struct row_ask *ask,
                     struct row_value *ret)
{
    for (int v = 0; v < rows->V; v++) {
        z[v] = rows->logits[n * rows->V + v];
        q[v] = rows->reference[n * rows->V + v];
    }
    *ask = (struct row_ask){.z = z,
                            .reference = q,
                            .width = (size_t)rows->V,
                            .token = (size_t)rows->token[n],
                            .rival = -1,
                            .scale = (double)scale,
                            .beta = (double)beta};
    row_value(ask, ret);
}

static struct row_call call_of(const struct rows *rows)
{
    return (struct row_call){
        .token = rows->token, .inverse_temperature = scale, .beta = beta, .N = N, .V = rows->V};
}

/* Sums of some hundred products of float32, each good to 1e-7 of its size; distances reach 80. */
static void assert_float(double is, double want)
{
    assert_near(is, want, 3e-6 * fmax(1, fabs(want)));
}

static void terms_are_those_of_the_specification(void **)
{
    struct backend *be = tested();
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        struct rows rows = rows_of(widths[i]);
        const struct row_call call = call_of(&rows);
        float value[TERM_COUNT][N];
        struct row_values ret;
        for (int k = 0; k < TERM_COUNT; k++)
            ret.at[k] = value[k];
        run_op(be->ops->row_terms(be, ON(be, rows.logits), ON(be, rows.reference), &call, &ret));
        for (int n = 0; n < N; n++) {
            double z[300], q[300];
            struct row_ask ask;
            struct row_value want;
            value_of(&rows, n, z, q, &ask, &want);
            for (int k = 0; k < TERM_COUNT; k++)
                assert_float((double)value[k][n], want.at[k]);
        }
        guarded_free_all();
    }
    free_backends();
}

/* All slopes at once, then each by itself; row 2 has none. */
static void slopes_are_those_of_the_specification(void **)
{
    struct backend *be = tested();
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int only = -1; only < TERM_SLOPES; only++) {
            struct rows rows = rows_of(widths[i]);
            const struct row_call call = call_of(&rows);
            float slope[TERM_SLOPES][N], *before = floats((size_t)N * widths[i], 3, 1);
            struct row_slopes slopes = {0};
            memcpy(before, rows.logits, (size_t)N * widths[i] * sizeof *before);
            for (int k = 0; k < TERM_SLOPES; k++) {
                for (int n = 0; n < N; n++)
                    slope[k][n] = n == 2 ? 0 : (float)(k + 1) * 0.2f - (float)n * 0.3f;
                slopes.at[k] = only < 0 || only == k ? slope[k] : NULL;
            }
            run_op(be->ops->row_terms_backward(be, ON(be, rows.logits), ON(be, rows.reference),
                                               &call, &slopes));
            float *dz = rows.logits;
            rows.logits = before;
            for (int n = 0; n < N; n++) {
                double z[300], q[300], want[300], each[ROW_TERMS];
                struct row_ask ask;
                struct row_value value;
                value_of(&rows, n, z, q, &ask, &value);
                for (int k = 0; k < ROW_TERMS; k++)
                    each[k] = slopes.at[k] ? (double)slope[k][n] : 0;
                row_slope(&ask, &value, slopes.at[TERM_LOGP] ? (double)slope[TERM_LOGP][n] : 0,
                          each, want);
                for (int v = 0; v < rows.V; v++)
                    assert_float((double)dz[n * rows.V + v], want[v]);
            }
            guarded_free_all();
        }
    free_backends();
}

/* The same row alone and beside others; without a reference its terms are 0. */
static void a_row_is_its_own(void **)
{
    struct backend *be = tested();
    struct rows rows = rows_of(37);
    const struct row_call all = call_of(&rows);
    struct row_call one = all;
    float entropy[N], jsd[N], alone = 0;
    run_op(be->ops->row_terms(
        be, ON(be, rows.logits), NULL, &all,
        &(struct row_values){.at = {[TERM_ENTROPY] = entropy, [TERM_JSD] = jsd}}));
    one.N = 1;
    one.token = rows.token + 3;
    float *last = floats(37, 5, 1);
    memcpy(last, rows.logits + 3 * 37, 37 * sizeof *last);
    run_op(be->ops->row_terms(be, ON(be, last), NULL, &one,
                              &(struct row_values){.at = {[TERM_ENTROPY] = &alone}}));
    assert_memory_equal(&alone, &entropy[3], sizeof alone);
    for (int n = 0; n < N; n++)
        assert_true(jsd[n] == 0);
    rows.token[1] = 37;
    assert_err(ERR_RANGE, "row 1: token 37 of a vocabulary of 37",
               be->ops->row_terms(be, ON(be, rows.logits), NULL, &all,
                                  &(struct row_values){.at = {[TERM_ENTROPY] = entropy}}));
    guarded_free_all();
    free_backends();
}

TESTS(cmocka_unit_test(terms_are_those_of_the_specification),
      cmocka_unit_test(slopes_are_those_of_the_specification), cmocka_unit_test(a_row_is_its_own))
