/* Backward ops that go row by row against central differences of their definitions. RLHFD_BACKEND
 * names another backend than the CPU; attention_gradient_test.c has attention's. */
#include "finite.h"
#include "tensor/rope.h"

enum { N = 5, C = 12 };

/* RLHFD_BACKEND's, else the CPU's best. */
static struct backend *tested(void)
{
    const char *kind = getenv("RLHFD_BACKEND");
    all_backends();
    if (kind && *kind)
        assert_ok(
            backend_open(kind, &(struct backend_config){.threads = 1}, &backends[backend_count++]));
    return backends[backend_count - 1];
}

static int32_t *there(const int32_t number[N])
{
    int32_t *ret = guarded(N * sizeof *ret);
    memcpy(ret, number, N * sizeof *ret);
    return ret;
}

static double rmsnorm_loss(const struct problem *p)
{
    double loss = 0;
    for (int n = 0; n < N; n++) {
        const double *x = p->x + n * C, *w = p->x + N * C;
        double sum = 0;
        for (int c = 0; c < C; c++)
            sum += x[c] * x[c];
        for (int c = 0; c < C; c++)
            loss += p->weight[n * C + c] * x[c] * w[c] / sqrt(sum / C + 1e-5);
    }
    return loss;
}

static void rmsnorm_slope(void **state)
{
    (void)state;
    struct backend *be = tested();
    float *x = floats(N * C, 1, 1), *dy = floats(N * C, 2, 1), *w = guarded(C * 4);
    float *y = guarded(N * C * 4), *r = guarded(N * 4), *dx = guarded(N * C * 4),
          *dw = guarded(C * 4);
    bf16 *weight = bf16s(C, 3, 2);
    for (int c = 0; c < C; c++)
        w[c] = bf16_to_float(weight[c]);
    run_op(be->ops->rmsnorm(be, ON(be, y), ON(be, r), ON(be, x), ON(be, weight), 1e-5f, N, C));
    run_op(be->ops->rmsnorm_backward(be, ON(be, dx), ON(be, dw), ON(be, dy), ON(be, x), ON(be, r),
                                     ON(be, weight), N, C));
    struct problem p = {.loss = rmsnorm_loss};
    const int at_x = put(&p, x, N * C), at_w = put(&p, w, C);
    put_weight(&p, dy, N * C);
    double loss = 0;
    for (int i = 0; i < N * C; i++)
        loss += (double)dy[i] * y[i];
    assert_near(loss, p.loss(&p), 1e-6);
    compare(&p, at_x, dx, N * C, 2e-6);
    compare(&p, at_w, dw, C, 2e-6);
    float *twice = guarded(N * C * 4); // dx and dweight are added to
    memcpy(twice, dx, N * C * 4);
    run_op(be->ops->rmsnorm_backward(be, ON(be, twice), ON(be, dw), ON(be, dy), ON(be, x),
                                     ON(be, r), ON(be, weight), N, C));
    for (int i = 0; i < N * C; i++)
        assert_near(twice[i], 2 * dx[i], 0);
    guarded_free_all();
    free_backends();
}

static double layernorm_loss(const struct problem *p)
{
    double loss = 0;
    for (int n = 0; n < N; n++) {
        const double *x = p->x + n * C, *w = p->x + N * C;
        double mean = 0, square = 0;
        for (int c = 0; c < C; c++)
            mean += x[c] / C;
        for (int c = 0; c < C; c++)
            square += (x[c] - mean) * (x[c] - mean);
        for (int c = 0; c < C; c++)
            loss += p->weight[n * C + c] * (x[c] - mean) * w[c] / sqrt(square / C + 1e-5);
    }
    return loss;
}

static void layernorm_slope(void **state)
{
    (void)state;
    struct backend *be = tested();
    float *x = floats(N * C, 1, 1), *dy = floats(N * C, 2, 1), *w = guarded(C * 4);
    float *y = guarded(N * C * 4), *stats = guarded(N * 8), *dx = guarded(N * C * 4),
          *dw = guarded(C * 4);
    bf16 *weight = bf16s(C, 3, 2);
    for (int c = 0; c < C; c++)
        w[c] = bf16_to_float(weight[c]);
    for (int c = 0; c < N * C; c++)
        x[c] += 3; // a mean that is not near 0
    run_op(
        be->ops->layernorm(be, ON(be, y), ON(be, stats), ON(be, x), ON(be, weight), 1e-5f, N, C));
    run_op(be->ops->layernorm_backward(be, ON(be, dx), ON(be, dw), ON(be, dy), ON(be, x),
                                       ON(be, stats), ON(be, weight), N, C));
    struct problem p = {.loss = layernorm_loss};
    const int at_x = put(&p, x, N * C), at_w = put(&p, w, C);
    put_weight(&p, dy, N * C);
    double loss = 0;
    for (int i = 0; i < N * C; i++)
        loss += (double)dy[i] * y[i];
    assert_near(loss, p.loss(&p), 1e-6);
    compare(&p, at_x, dx, N * C, 4e-6);
    compare(&p, at_w, dw, C, 4e-6);
    float *twice = guarded(N * C * 4); // dx and dweight are added to
    memcpy(twice, dx, N * C * 4);
    run_op(be->ops->layernorm_backward(be, ON(be, twice), ON(be, dw), ON(be, dy), ON(be, x),
                                       ON(be, stats), ON(be, weight), N, C));
    for (int i = 0; i < N * C; i++)
        assert_near(twice[i], 2 * dx[i], 0);
    for (int c = 0; c < C; c++)
        x[c] = 5; // a row without variance
    run_op(
        be->ops->layernorm(be, ON(be, y), ON(be, stats), ON(be, x), ON(be, weight), 1e-5f, 1, C));
    for (int c = 0; c < C; c++)
        assert_true(y[c] == 0);
    guarded_free_all();
    free_backends();
}

static void bias_backward_is_the_sum_of_rows(void **state)
{
    (void)state;
    tested();
    for (int i = 0; i < backend_count; i++) {
        struct backend *be = backends[i];
        float *x = floats(N * C, 1, 1), *y = floats(N * C, 1, 1), *dy = floats(N * C, 2, 1);
        float *db = floats(C, 4, 1), *before = floats(C, 4, 1);
        bf16 *b = bf16s(C, 3, 1);
        run_op(be->ops->bias(be, ON(be, y), ON(be, b), N, C));
        run_op(be->ops->bias_backward(be, ON(be, db), ON(be, dy), N, C));
        for (int c = 0; c < C; c++) {
            float sum = before[c];
            for (int n = 0; n < N; n++) {
                assert_true(y[n * C + c] == x[n * C + c] + bf16_to_float(b[c]));
                sum += dy[n * C + c];
            }
            assert_true(db[c] == sum);
        }
        guarded_free_all();
    }
    free_backends();
}

static double swiglu_loss(const struct problem *p)
{
    double loss = 0;
    for (int i = 0; i < N * C; i++)
        loss += p->weight[i] * p->x[i] / (1 + exp(-p->x[i])) * p->x[N * C + i];
    return loss;
}

static void swiglu_slope(void **state)
{
    (void)state;
    struct backend *be = tested();
    float *gate = floats(N * C, 1, 8), *up = floats(N * C, 2, 1), *dy = floats(N * C, 3, 1),
          *y = guarded(N * C * 4);
    float *dgate = guarded(N * C * 4), *dup = guarded(N * C * 4);
    run_op(be->ops->swiglu(be, ON(be, y), ON(be, gate), ON(be, up), N * C));
    run_op(be->ops->swiglu_backward(be, ON(be, dgate), ON(be, dup), ON(be, dy), ON(be, gate),
                                    ON(be, up), N * C));
    struct problem p = {.loss = swiglu_loss};
    const int at_gate = put(&p, gate, N * C), at_up = put(&p, up, N * C);
    put_weight(&p, dy, N * C);
    double loss = 0;
    for (int i = 0; i < N * C; i++)
        loss += (double)dy[i] * y[i];
    assert_near(loss, p.loss(&p), 1e-6);
    compare(&p, at_gate, dgate, N * C, 1e-6);
    compare(&p, at_up, dup, N * C, 1e-6);
    guarded_free_all();
    free_backends();
}

static double gelu_of(double x, int by_tanh)
{
    if (by_tanh)
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    return 0.5 * x * erfc(-x / sqrt(2));
}

static double gelu_loss(const struct problem *p)
{
    double loss = 0;
    for (int i = 0; i < N * C; i++)
        loss += p->weight[i] * gelu_of(p->x[i], p->option);
    return loss;
}

static void gelu_slope(void **state)
{
    (void)state;
    struct backend *be = tested();
    for (int by_tanh = 0; by_tanh < 2; by_tanh++) {
        float *x = floats(N * C, 1, 6), *dy = floats(N * C, 3, 1), *dx = guarded(N * C * 4);
        run_op(be->ops->gelu_backward(be, ON(be, dx), ON(be, dy), ON(be, x), N * C, by_tanh));
        struct problem p = {.loss = gelu_loss, .option = by_tanh};
        const int at = put(&p, x, N * C);
        put_weight(&p, dy, N * C);
        compare(&p, at, dx, N * C, 1e-6);
        guarded_free_all();
    }
    free_backends();
}

/* Within two units of the last place of the larger of 1 and x. */
static void gelu_is_its_definition(void **state)
{
    (void)state;
    enum { COUNT = 40000 };
    struct backend *be = tested();
    for (int by_tanh = 0; by_tanh < 2; by_tanh++) {
        float *x = guarded(COUNT * 4), *y = guarded(COUNT * 4);
        double worst = 0;
        for (int i = 0; i < COUNT; i++)
            x[i] = (float)(i - COUNT / 2) / 2000;
        run_op(be->ops->gelu(be, ON(be, y), ON(be, x), COUNT, by_tanh));
        for (int i = 0; i < COUNT; i++)
            worst = fmax(worst, fabs(y[i] - gelu_of(x[i], by_tanh)) / fmax(1, fabs((double)x[i])));
        print_message("gelu%s: at most %.2e away\n", by_tanh ? " by tanh" : "", worst);
        assert_true(worst < 2.4e-7);
        assert_true(y[0] <= 0 && y[0] > -1e-6f && y[COUNT - 1] == x[COUNT - 1]);
        guarded_free_all();
    }
    free_backends();
}

/* ---- the vocabulary row */

static const int32_t chosen[N] = {0, 11, 5, 5, 3};

static double logp_loss(const struct problem *p)
{
    double loss = 0;
    for (int n = 0; n < N; n++) {
        double sum = 0;
        for (int v = 0; v < C; v++)
            sum += exp(p->x[n * C + v] * 0.7);
        loss += p->weight[n] * (p->x[n * C + chosen[n]] * 0.7 - log(sum));
    }
    return loss;
}

static void token_logp_slope(void **state)
{
    (void)state;
    struct backend *be = tested();
    float *logits = floats(N * C, 1, 5), *dlogp = floats(N, 2, 1);
    struct problem p = {.loss = logp_loss};
    const int at = put(&p, logits, N * C);
    dlogp[2] = 0;
    put_weight(&p, dlogp, N);
    run_op(be->ops->token_logp_backward(be, ON(be, logits), dlogp, chosen, 0.7f, N, C));
    compare(&p, at, logits, N * C, 5e-7);
    for (int v = 0; v < C; v++)
        assert_true(logits[2 * C + v] == 0);
    guarded_free_all();
    free_backends();
}

/* ---- linear maps: the backward is the transpose, <A x, y> = <x, A' y> */

static double inner(const float *a, const float *b, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static void rope_backward_is_the_transpose(void **state)
{
    (void)state;
    enum { HEADS = 3, HALF = C / 2 };
    struct backend *be = tested();
    const int32_t *position = there((const int32_t[N]){0, 3, 40, 41, 7});
    float *cos = guarded(64 * HALF * 4), *sin = guarded(64 * HALF * 4);
    float *x = floats(N * HEADS * C, 1, 1), *y = floats(N * HEADS * C, 2, 1);
    float *ax = guarded(N * HEADS * C * 4), *aty = guarded(N * HEADS * C * 4);
    memcpy(ax, x, N * HEADS * C * 4);
    memcpy(aty, y, N * HEADS * C * 4);
    const struct rope rope = {.R = C, .theta = 10000}, part = {.R = 4, .theta = 10000};
    rope_table(cos, sin, 64, &rope);
    run_op(be->ops->rope(be, ON(be, ax), ON(be, position), ON(be, cos), ON(be, sin), N, HEADS, C, C,
                         0));
    run_op(be->ops->rope(be, ON(be, aty), ON(be, position), ON(be, cos), ON(be, sin), N, HEADS, C,
                         C, 1));
    assert_near(inner(ax, y, N * HEADS * C), inner(x, aty, N * HEADS * C), 1e-6);
    assert_near(inner(ax, ax, N * HEADS * C), inner(x, x, N * HEADS * C),
                1e-6);                                  // it turns, and keeps lengths
    const double angle = 40 * pow(10000, -2.0 * 1 / C); // Hugging Face's rotate_half: (d, d + D/2)
    const float *in = x + (2 * HEADS + 1) * C, *out = ax + (2 * HEADS + 1) * C;
    assert_near(out[1],
                in[1] * (double)cosf((float)angle) - in[1 + HALF] * (double)sinf((float)angle),
                1e-6);
    assert_near(out[1 + HALF],
                in[1 + HALF] * (double)cosf((float)angle) + in[1] * (double)sinf((float)angle),
                1e-6);
    memcpy(ax, x, N * HEADS * C * 4); // the first 4 of each head: pairs (d, d + 2)
    rope_table(cos, sin, 64, &part);
    run_op(be->ops->rope(be, ON(be, ax), ON(be, position), ON(be, cos), ON(be, sin), N, HEADS, C, 4,
                         0));
    const double slow = 40 * pow(10000, -2.0 * 1 / 4);
    assert_near(out[1], in[1] * (double)cosf((float)slow) - in[3] * (double)sinf((float)slow),
                1e-6);
    assert_near(out[3], in[3] * (double)cosf((float)slow) + in[1] * (double)sinf((float)slow),
                1e-6);
    assert_same_bits(out + 4, in + 4, (C - 4) * 4, "what does not turn");
    guarded_free_all();
    free_backends();
}

static void embed_backward_is_the_transpose(void **state)
{
    (void)state;
    enum { V = 4 };
    struct backend *be = tested();
    const int32_t *token = there((const int32_t[N]){3, 0, 3, 3, 1});
    bf16 *table = bf16s(V * C, 1, 1);
    float *wide = guarded(V * C * 4), *y = floats(N * C, 2, 1), *ax = guarded(N * C * 4),
          *aty = guarded(V * C * 4);
    for (int i = 0; i < V * C; i++)
        wide[i] = bf16_to_float(table[i]);
    struct weight *weight = weight_of(be, ON(be, table), V, C);
    run_op(be->ops->embed(be, ON(be, ax), weight, ON(be, token), N));
    be->ops->weight_free(be, weight);
    run_op(be->ops->embed_backward(be, ON(be, aty), ON(be, y), ON(be, token), N, C));
    for (int n = 0; n < N; n++)
        assert_same_bits(ax + n * C, wide + token[n] * C, C * 4, "embedded row");
    assert_near(inner(ax, y, N * C), inner(wide, aty, V * C), 1e-6);
    guarded_free_all();
    free_backends();
}

TESTS(cmocka_unit_test(rmsnorm_slope), cmocka_unit_test(layernorm_slope),
      cmocka_unit_test(gelu_slope), cmocka_unit_test(gelu_is_its_definition),
      cmocka_unit_test(bias_backward_is_the_sum_of_rows), cmocka_unit_test(swiglu_slope),
      cmocka_unit_test(token_logp_slope), cmocka_unit_test(rope_backward_is_the_transpose),
      cmocka_unit_test(embed_backward_is_the_transpose))
