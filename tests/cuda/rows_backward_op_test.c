/* The module's ops of training that go row by row or element by element. Whatever promises the
 * CPU's bits has them, in every size and wherever its memory begins. Slopes by sums over a row are
 * near to the CPU's, and a row's bits do not depend on the others. Sums over rows go on where they
 * were. AdamW counts, hashes and marks its changes as the CPU does. */
#include "base/bytes.h"
#include "cuda/both.h"
#include "tensor/adamw.h"

/* Runs an op and keeps what it wrote; `off` floats before each array are not its own. */
typedef void run_case(struct backend *be, int N, int C, size_t off, struct bytes *out);

static void keep(struct bytes *out, const float *x, size_t count)
{
    bytes_put(out, x, count * sizeof *x);
}

static void agrees(run_case *run, int N, int C, size_t off, const char *what)
{
    struct bytes out[2] = {{0}, {0}};
    for (int k = 0; k < 2; k++) {
        run(k ? cuda : cpu, N, C, off, &out[k]);
        guarded_free_all();
    }
    assert_int_equal(out[0].len, out[1].len);
    assert_same_numbers((const float *)out[1].data, (const float *)out[0].data,
                        out[0].len / sizeof(float), what);
    bytes_done(&out[0]);
    bytes_done(&out[1]);
}

static size_t size_of(int N, int C)
{
    return (size_t)N * (size_t)C;
}

/* ---- elements: N is their count */

static void swiglu(struct backend *be, int N, int C, size_t off, struct bytes *out)
{
    (void)C;
    const size_t count = (size_t)N;
    float *dy = values(count + off, 1), *gate = values(count + off, 2);
    float *up = floats(count + off, 3, 2), *dgate = floats(count + off, 4, 1),
          *dup = floats(count + off, 5, 1);
    run_op(be->ops->swiglu_backward(be, ON(be, dgate) + off, ON(be, dup) + off, ON(be, dy) + off,
                                    ON(be, gate) + off, ON(be, up) + off, count));
    keep(out, dgate, count + off);
    keep(out, dup, count + off);
    float *there_gate = ON(be, gate) + off, *there_up = ON(be, up) + off;
    run_op(be->ops->swiglu_backward(be, there_gate, there_up, ON(be, dy) + off, there_gate,
                                    there_up, count));
    keep(out, gate, count + off);
    keep(out, up, count + off);
}

static void gelu(struct backend *be, int N, int C, size_t off, struct bytes *out)
{
    const size_t count = (size_t)N;
    float *dy = values(count + off, 1), *x = values(count + off, 2),
          *dx = floats(count + off, 3, 1);
    run_op(
        be->ops->gelu_backward(be, ON(be, dx) + off, ON(be, dy) + off, ON(be, x) + off, count, C));
    keep(out, dx, count + off);
    float *there = ON(be, dy) + off;
    run_op(be->ops->gelu_backward(be, there, there, ON(be, x) + off, count, C));
    keep(out, dy, count + off);
}

static void elements_have_the_cpus_bits(void **state)
{
    (void)state;
    static const int counts[] = {0, 1, 2, 3, 4, 5, 63, 64, 1000, 1023, 4099};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (size_t off = 0; off < 2; off++) {
            agrees(swiglu, counts[i], 1, off, "swiglu_backward");
            agrees(gelu, counts[i], 0, off, "gelu_backward");
            agrees(gelu, counts[i], 1, off, "gelu_backward by tanh");
        }
}

/* ---- sums over rows */

static void bias(struct backend *be, int N, int C, size_t off, struct bytes *out)
{
    float *dbias = floats((size_t)C + off, 1, 1), *dy = values(size_of(N, C) + off, 2);
    run_op(be->ops->bias_backward(be, ON(be, dbias) + off, ON(be, dy) + off, N, C));
    keep(out, dbias, (size_t)C + off);
}

/* Statistics of rows, as a forward would keep them. */
static float *kept_of(int N)
{
    float *kept = floats(2 * (size_t)N, 7, 1);
    return kept;
}

static void rmsnorm_dweight(struct backend *be, int N, int C, size_t off, struct bytes *out)
{
    float *dweight = floats((size_t)C + off, 1, 1), *dy = values(size_of(N, C) + off, 2);
    float *x = values(size_of(N, C) + off, 3), *dx = guarded(size_of(N, C) * sizeof *dx);
    bf16 *weight = bf16s((size_t)C, 4, 1);
    run_op(be->ops->rmsnorm_backward(be, ON(be, dx), ON(be, dweight) + off, ON(be, dy) + off,
                                     ON(be, x) + off, ON(be, kept_of(N)), ON(be, weight), N, C));
    keep(out, dweight, (size_t)C + off);
}

static void layernorm_dweight(struct backend *be, int N, int C, size_t off, struct bytes *out)
{
    float *dweight = floats((size_t)C + off, 1, 1), *dy = values(size_of(N, C) + off, 2);
    float *x = values(size_of(N, C) + off, 3), *dx = guarded(size_of(N, C) * sizeof *dx);
    bf16 *weight = bf16s((size_t)C, 4, 1);
    run_op(be->ops->layernorm_backward(be, ON(be, dx), ON(be, dweight) + off, ON(be, dy) + off,
                                       ON(be, x) + off, ON(be, kept_of(N)), ON(be, weight), N, C));
    keep(out, dweight, (size_t)C + off);
}

static void sums_over_rows_have_the_cpus_bits(void **state)
{
    (void)state;
    static const int shapes[][2] = {{0, 8},    {1, 1},   {3, 7},   {255, 16},
                                    {256, 17}, {257, 5}, {600, 3}, {5, 1028}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t off = 0; off < 2; off++) {
            agrees(bias, shapes[i][0], shapes[i][1], off, "bias_backward");
            agrees(rmsnorm_dweight, shapes[i][0], shapes[i][1], off, "dweight of rmsnorm");
            agrees(layernorm_dweight, shapes[i][0], shapes[i][1], off, "dweight of layernorm");
        }
}

/* ---- rows to where an index says */

enum { DESTINATIONS = 11 };

static void scatter(struct backend *be, int N, int C, size_t off, struct bytes *out)
{
    float *y = floats(size_of(DESTINATIONS, C) + off, 1, 1), *x = values(size_of(N, C) + off, 2);
    const int32_t *row = tokens((size_t)N, 3, DESTINATIONS);
    run_op(be->ops->scatter_add(be, ON(be, y) + off, ON(be, x) + off, row, N, C));
    keep(out, y, size_of(DESTINATIONS, C) + off);
}

static void embed(struct backend *be, int N, int C, size_t off, struct bytes *out)
{
    float *y = floats(size_of(DESTINATIONS, C) + off, 1, 1), *x = values(size_of(N, C) + off, 2);
    const int32_t *token = tokens((size_t)N, 3, N % 2 ? 1 : DESTINATIONS); // one, or many
    run_op(be->ops->embed_backward(be, ON(be, y) + off, ON(be, x) + off, ON(be, token), N, C));
    keep(out, y, size_of(DESTINATIONS, C) + off);
}

static void rows_are_added_in_their_order(void **state)
{
    (void)state;
    static const int shapes[][2] = {{0, 8},   {1, 1},  {2, 4},   {3, 7},
                                    {33, 64}, {70, 9}, {101, 3}, {40, 260}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t off = 0; off < 2; off++) {
            agrees(scatter, shapes[i][0], shapes[i][1], off, "scatter_add");
            agrees(embed, shapes[i][0], shapes[i][1], off, "embed_backward");
        }
}

/* ---- two calls are one */

enum { ROWS = 521, WIDTH = 20, SUMS = DESTINATIONS * WIDTH };

struct summed {
    float *sums;          // SUMS
    float *dy, *x, *kept; // (ROWS,WIDTH), (ROWS,2)
    bf16 *weight;
    int32_t *token;
};

enum summing { BIAS, RMS, LAYER, SCATTER, EMBED, SUMMINGS };

/* Rows from..to-1. */
static void add_rows(enum summing how, const struct summed *s, int from, int to)
{
    const struct backend_ops *ops = cuda->ops;
    const int N = to - from;
    float *sums = ON(cuda, s->sums), *dy = ON(cuda, s->dy) + from * WIDTH,
          *x = ON(cuda, s->x) + from * WIDTH, *kept = ON(cuda, s->kept);
    float *dx = ON(cuda, s->dy + ROWS * WIDTH) + from * WIDTH;
    bf16 *weight = ON(cuda, s->weight);
    if (how == BIAS)
        run_op(ops->bias_backward(cuda, sums, dy, N, WIDTH));
    if (how == RMS)
        run_op(ops->rmsnorm_backward(cuda, dx, sums, dy, x, kept + from, weight, N, WIDTH));
    if (how == LAYER)
        run_op(ops->layernorm_backward(cuda, dx, sums, dy, x, kept + 2 * from, weight, N, WIDTH));
    if (how == SCATTER)
        run_op(ops->scatter_add(cuda, sums, dy, s->token + from, N, WIDTH));
    if (how == EMBED)
        run_op(ops->embed_backward(cuda, sums, dy, ON(cuda, s->token) + from, N, WIDTH));
}

static struct summed summed_new(void)
{
    return (struct summed){.sums = floats(SUMS, 1, 1),
                           .dy = floats(2 * ROWS * WIDTH, 2, 1),
                           .x = floats(ROWS * WIDTH, 3, 2),
                           .kept = kept_of(ROWS),
                           .weight = bf16s(WIDTH, 5, 1),
                           .token = tokens(ROWS, 6, DESTINATIONS)};
}

static void two_calls_are_one(void **state)
{
    (void)state;
    static const int cuts[] = {1, 31, 255, 256, 257, ROWS - 1};
    for (int how = 0; how < SUMMINGS; how++) {
        struct summed one = summed_new();
        add_rows((enum summing)how, &one, 0, ROWS);
        for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
            struct summed two = summed_new();
            add_rows((enum summing)how, &two, 0, cuts[i]);
            add_rows((enum summing)how, &two, cuts[i], ROWS);
            assert_same_bits(two.sums, one.sums, SUMS * sizeof(float), "sums by two calls");
            assert_same_bits(two.dy, one.dy, 2 * ROWS * WIDTH * sizeof(float), "dx by two calls");
        }
        guarded_free_all();
    }
}

/* ---- dx of the norms, slopes of logits */

static void assert_all_near(const float *got, const float *want, size_t count, double limit,
                            const char *what)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= limit))
            fail_msg("%s: element %zu of %zu is %g, not %g", what, i, count, (double)got[i],
                     (double)want[i]);
}

static void dx_is_near_the_cpus(void **state)
{
    (void)state;
    static const int shapes[][2] = {{0, 8},   {1, 1},   {3, 7},    {70, 64},
                                    {9, 512}, {9, 513}, {5, 1028}, {3, 4099}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int layer = 0; layer < 2; layer++) {
            const int N = shapes[i][0], C = shapes[i][1];
            const size_t count = size_of(N, C);
            const float *x = floats(count, 1, 3), *dy = floats(count, 2, 1);
            const bf16 *weight = bf16s((size_t)C, 3, 2);
            float *y = guarded(count * sizeof *y), *kept = guarded(2 * (size_t)N * sizeof *kept);
            float *dweight = guarded((size_t)C * sizeof *dweight);
            float *dx[2] = {floats(count, 4, 1), floats(count, 4, 1)};
            run_op((layer ? cpu->ops->layernorm : cpu->ops->rmsnorm)(cpu, y, kept, x, weight, 1e-5f,
                                                                     N, C));
            for (int k = 0; k < 2; k++) {
                struct backend *be = k ? cuda : cpu;
                run_op((layer ? be->ops->layernorm_backward : be->ops->rmsnorm_backward)(
                    be, ON(be, dx[k]), ON(be, dweight), ON(be, dy), ON(be, x), ON(be, kept),
                    ON(be, weight), N, C));
            }
            /* A layer norm of one element has r = 316. */
            assert_all_near(dx[1], dx[0], count, C == 1 ? 1e-3 : 4e-6, "dx");
            guarded_free_all();
        }
}

static void slopes_of_logits(int N, int V, size_t off)
{
    const size_t count = size_of(N, V);
    float *logits[2], *dlogp = floats((size_t)N, 2, 1);
    const int32_t *token = tokens((size_t)N, 3, V);
    dlogp[N / 2] = N > 2 ? -0.0f : 1;
    for (int k = 0; k < 2; k++) {
        struct backend *be = k ? cuda : cpu;
        logits[k] = floats(count + off, 1, 8);
        for (int v = 1; v < V; v += 5) // vacant ids, but for the tokens that were drawn
            for (int n = 0; n < N; n++)
                if (token[n] != v)
                    logits[k][off + size_of(n, V) + (size_t)v] = -INFINITY;
        run_op(be->ops->token_logp_backward(be, ON(be, logits[k]) + off, dlogp, token, 0.8f, N, V));
    }
    assert_all_near(logits[1], logits[0], count + off, 3e-7, "slopes of logits");
    for (int n = 0; n < N; n++)
        for (int v = 0; v < V; v++)
            if (dlogp[n] == 0 || (v % 5 == 1 && v != token[n]))
                assert_true(logits[1][off + size_of(n, V) + (size_t)v] == 0);
    guarded_free_all();
}

static void slopes_of_logits_are_near_the_cpus(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 1}, {3, 2}, {5, 1023}, {4, 4096}, {3, 4097}, {2, 9001}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t off = 0; off < 2; off++)
            slopes_of_logits(shapes[i][0], shapes[i][1], off);
    int32_t token = 7;
    float one = 1;
    assert_err(ERR_RANGE, "7", cuda->ops->token_logp_backward(cuda, NULL, &one, &token, 1, 1, 7));
}

/* Rows that have no distribution, and slopes that are no numbers. */
static void rows_without_a_slope(void **state)
{
    (void)state;
    enum { N = 7, V = 37 };
    float *logits[2];
    float dlogp[N] = {1, 1, 1, 1, NAN, INFINITY, 0};
    const int32_t token[N] = {0, 1, 2, 3, 4, 5, 6};
    for (int k = 0; k < 2; k++) {
        struct backend *be = k ? cuda : cpu;
        logits[k] = floats(N * V, 1, 8);
        logits[k][3] = NAN;
        logits[k][V + 3] = INFINITY;
        for (int v = 0; v < V; v++) {
            logits[k][2 * V + v] = -INFINITY;
            logits[k][3 * V + v] = v == 3 ? -5 : -INFINITY;
        }
        logits[k][6 * V] = NAN;
        run_op(be->ops->token_logp_backward(be, ON(be, logits[k]), dlogp, token, 1, N, V));
    }
    assert_same_numbers(logits[1], logits[0], N * V, "rows without a slope");
    guarded_free_all();
}

/* The last rows of MOST. */
static void the_batch_does_not_show(void **state)
{
    (void)state;
    enum { MOST = 300, C = 100 };
    static const int sizes[] = {1, 2, 7, 129};
    const float *x = floats(MOST * C, 1, 3), *dy = floats(MOST * C, 2, 1);
    const bf16 *weight = bf16s(C, 3, 2);
    const float *kept = kept_of(MOST), *dlogp = floats(MOST, 5, 1);
    const int32_t *token = tokens(MOST, 6, C);
    float *dweight = guarded(C * sizeof *dweight);
    for (int op = 0; op < 3; op++) {
        float *all = floats(MOST * C, 4, 1);
        for (size_t i = 0; i <= sizeof sizes / sizeof *sizes; i++) {
            const int N = i ? sizes[i - 1] : MOST, from = MOST - N;
            const size_t at = (size_t)from * C, bytes = (size_t)N * C * sizeof *all;
            float *some = i ? floats(MOST * C, 4, 1) : all;
            if (op == 2)
                run_op(cuda->ops->token_logp_backward(cuda, ON(cuda, some) + at, dlogp + from,
                                                      token + from, 1, N, C));
            else
                run_op((op ? cuda->ops->layernorm_backward : cuda->ops->rmsnorm_backward)(
                    cuda, ON(cuda, some) + at, ON(cuda, dweight), ON(cuda, dy) + at,
                    ON(cuda, x) + at, ON(cuda, kept) + from * (1 + op), ON(cuda, weight), N, C));
            assert_same_bits(some + at, all + at, bytes, "rows of a batch");
        }
    }
    guarded_free_all();
}

/* ---- the optimizer */

enum { STEPS = 3 };

/* The optimizer's state of `count` elements, and a step's gradient. */
struct arrays {
    float *master, *m, *v, *grad;
    bf16 *w;
    uint32_t *marks;
    struct adamw_total *total;
};

/* Zeros of both signs, denormals, and what becomes infinite when it is squared or scaled. */
static const float masters[] = {0.0f,     -0.0f,    1e-40f,    -1e-45f,
                                3.39e38f, -3.4e38f, 0x1.01p0f, 1e-20f};
static const float slopes[] = {0.0f, -0.0f, 1e-44f, -3e-39f, 1e25f, -1e19f, 1e-30f, 1e-6f};

static struct arrays arrays_new(size_t count)
{
    const size_t words = (count + 31) / 32;
    struct arrays a = {floats(count, 1, 0.05),  floats(count, 2, 1e-3), floats(count, 3, 1e-6),
                       guarded(count * 4),      guarded(count * 2),     guarded(words * 4),
                       guarded(sizeof *a.total)};
    for (size_t i = 0; i < count; i++) {
        if (i % 5 == 1)
            a.master[i] = masters[i / 5 % 8];
        if (i % 7 == 2)
            a.m[i] = slopes[i / 7 % 8];
        a.v[i] = i % 11 == 3 ? fabsf(slopes[i / 11 % 8]) : fabsf(a.v[i]);
        a.w[i] = bf16_from_float(a.master[i]);
    }
    for (size_t i = 0; i < words; i += 3)
        a.marks[i] = 1;
    return a;
}

static void step_of(struct backend *be, const struct arrays *a, size_t from, size_t count,
                    size_t first, int step, bool marked)
{
    const struct adamw_step s = {3e-4f, 0.9f, 0.99f, 1e-8f, step % 2 ? 0.1f : 0, 0.7f, step};
    run_op(be->ops->adamw(be, ON(be, a->master) + from, ON(be, a->w) + from, ON(be, a->m) + from,
                          ON(be, a->v) + from, ON(be, a->grad) + from, first + from, count, &s,
                          marked ? ON(be, a->marks) + from / 32 : NULL, ON(be, a->total)));
}

static void assert_numbers(const float *x, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_false(isnan(x[i]));
}

/* Each step is two calls, of which the second begins at element `cut`. */
static void steps_agree(size_t count, size_t cut, size_t first, bool marked)
{
    const struct arrays a[2] = {arrays_new(count), arrays_new(count)};
    const size_t words = (count + 31) / 32;
    struct digest before = weights_digest(a[0].w, first, count);
    for (int step = 1; step <= STEPS; step++) {
        for (int k = 0; k < 2; k++) {
            fill(a[k].grad, count, (uint64_t)step + 10, 1e-2);
            for (size_t i = 4; i < count; i += 13)
                a[k].grad[i] = slopes[i / 13 % 8];
            *a[k].total = (struct adamw_total){0};
            step_of(k ? cuda : cpu, &a[k], 0, cut, first, step, marked);
            step_of(k ? cuda : cpu, &a[k], cut, count - cut, first, step, marked);
        }
        assert_same_bits(a[1].master, a[0].master, count * 4, "master");
        assert_same_bits(a[1].m, a[0].m, count * 4, "m");
        assert_same_bits(a[1].v, a[0].v, count * 4, "v");
        assert_same_bits(a[1].w, a[0].w, count * 2, "w");
        assert_same_bits(a[1].marks, a[0].marks, words * 4, "marks");
        assert_same_bits(a[1].total, a[0].total, sizeof *a[0].total, "total");
        const struct digest after = weights_digest(a[1].w, first, count),
                            sum = weights_digest_add(before, adamw_changes_of(a[1].total).digest);
        assert_same_bits(&sum, &after, sizeof after, "digest");
        assert_numbers(a[1].master, count);
        before = after;
    }
    guarded_free_all();
}

static void steps_have_the_cpus_bits(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 7, 31, 32, 33, 256, 1000, 2049, 6007};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        steps_agree(counts[i], counts[i] / 2 / 32 * 32, i * 32, true);
        steps_agree(counts[i], 0, ((size_t)1 << 47) + i, false);
    }
}

static void a_step_has_a_number(void **state)
{
    (void)state;
    const struct adamw_step s = {.step = 0};
    assert_err(ERR_INVALID, "optimizer step 0: the first is 1",
               cuda->ops->adamw(cuda, NULL, NULL, NULL, NULL, NULL, 0, 1, &s, NULL, NULL));
}

static double squares_of(struct backend *be, const float *x, size_t count)
{
    double ret = -1;
    run_op(be->ops->square_sum(be, ON(be, x), count, &ret));
    return ret;
}

static void squares_are_near_the_cpus(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 1000, 16384, 16385, 70001};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        float *x = floats(counts[i] + 1, 1, 3);
        const double want = squares_of(cpu, x + 1, counts[i]),
                     got = squares_of(cuda, x + 1, counts[i]);
        assert_near(got, want, want * 1e-15);
        memmove(x, x + 1, counts[i] * sizeof *x); // aligned to other bytes
        assert_true(squares_of(cuda, x, counts[i]) == got);
        guarded_free_all();
    }
    float *x = floats(20000, 1, 1);
    x[17000] = INFINITY;
    assert_true(isinf(squares_of(cuda, x, 20000)));
    x[3] = NAN;
    assert_true(isnan(squares_of(cuda, x, 20000)));
    guarded_free_all();
}

TESTS_OF_BOTH(cmocka_unit_test(elements_have_the_cpus_bits),
              cmocka_unit_test(sums_over_rows_have_the_cpus_bits),
              cmocka_unit_test(rows_are_added_in_their_order), cmocka_unit_test(two_calls_are_one),
              cmocka_unit_test(dx_is_near_the_cpus),
              cmocka_unit_test(slopes_of_logits_are_near_the_cpus),
              cmocka_unit_test(rows_without_a_slope), cmocka_unit_test(the_batch_does_not_show),
              cmocka_unit_test(steps_have_the_cpus_bits), cmocka_unit_test(a_step_has_a_number),
              cmocka_unit_test(squares_are_near_the_cpus))
