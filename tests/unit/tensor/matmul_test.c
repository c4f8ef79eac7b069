/* The matrix products against their definition: one fma chain per output, bit for bit, whatever
 * computes it. */
#include "testing/tensors.h"

/* y[m,n] (+)= chain over k of a(m,k) b(k,n). */
static void chain(float *y, const float *a, int a_row, int a_k, const float *b, int b_k, int b_n,
                  int M, int N, int K, int accumulate)
{
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            float sum = accumulate ? y[(size_t)m * N + n] : 0;
            for (int k = 0; k < K; k++)
                sum = fmaf(a[(size_t)m * a_row + (size_t)k * a_k],
                           b[(size_t)k * b_k + (size_t)n * b_n], sum);
            y[(size_t)m * N + n] = sum;
        }
}

struct problem {
    int M, N, K;
    bf16 *w;
    float *wide; // w as floats
    float *x, *dy, *old_y, *old_dx, *old_dw;
};

static struct problem problem_new(int M, int N, int K)
{
    struct problem p = {.M = M, .N = N, .K = K};
    p.w = bf16s((size_t)N * K, 1, 1);
    p.wide = guarded((size_t)N * K * 4);
    for (int i = 0; i < N * K; i++)
        p.wide[i] = bf16_to_float(p.w[i]);
    p.x = floats((size_t)M * K, 2, 1);
    p.dy = floats((size_t)M * N, 3, 1);
    p.old_y = floats((size_t)M * N, 4, 1);
    p.old_dx = floats((size_t)M * K, 5, 1);
    p.old_dw = floats((size_t)N * K, 6, 1);
    return p;
}

static float *copied(const float *x, size_t count)
{
    float *copy = guarded(count * 4);
    memcpy(copy, x, count * 4);
    return copy;
}

static void products_equal_the_chain(struct backend *be, const struct problem *p, int accumulate)
{
    const int M = p->M, N = p->N, K = p->K;
    const size_t y_size = (size_t)M * N, x_size = (size_t)M * K, w_size = (size_t)N * K;
    float *want = copied(p->old_y, y_size), *got = copied(p->old_y, y_size);
    struct weight *weight = weight_of(be, p->w, N, K);
    chain(want, p->x, K, 1, p->wide, 1, K, M, N, K, accumulate);
    assert_ok(be->ops->matmul(be, got, p->x, weight, M, accumulate));
    assert_same_bits(got, want, y_size * 4, "matmul");

    want = copied(p->old_dx, x_size), got = copied(p->old_dx, x_size);
    chain(want, p->dy, N, 1, p->wide, K, 1, M, K, N, accumulate);
    assert_ok(be->ops->matmul_dx(be, got, p->dy, weight, M, accumulate));
    assert_same_bits(got, want, x_size * 4, "matmul_dx");
    be->ops->weight_free(be, weight);

    want = copied(p->old_dw, w_size), got = copied(p->old_dw, w_size);
    chain(want, p->dy, 1, N, p->x, K, 1, N, K, M, 1);
    assert_ok(be->ops->matmul_dw(be, got, p->dy, p->x, M, N, K, NULL));
    assert_same_bits(got, want, w_size * 4, "matmul_dw");
}

static void odd_shapes_equal_the_chain(void **state)
{
    (void)state;
    static const int shapes[][3] = {{1, 1, 1},    {1, 3, 17},   {2, 64, 64},   {3, 100, 33},
                                    {5, 17, 100}, {7, 129, 5},  {8, 31, 64},   {15, 65, 32},
                                    {16, 33, 16}, {29, 96, 48}, {1, 300, 270}, {14, 40, 257},
                                    {43, 70, 260}};
    for (int i = 0; i < all_backends(); i++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
            const struct problem p = problem_new(shapes[n][0], shapes[n][1], shapes[n][2]);
            products_equal_the_chain(backends[i], &p, (int)n % 2);
            products_equal_the_chain(backends[i], &p, !(n % 2));
            guarded_free_all();
        }
    free_backends();
}

/* Large enough for every block and every way of splitting; rows alone equal rows together. */
static void large_shapes_equal_the_chain(void **state)
{
    (void)state;
    static const int shapes[][3] = {{449, 64, 70}, {90, 530, 90}, {64, 64, 530}};
    for (int i = 0; i < all_backends(); i++)
        for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
            const struct problem p = problem_new(shapes[n][0], shapes[n][1], shapes[n][2]);
            products_equal_the_chain(backends[i], &p, 0);
            guarded_free_all();
        }
    free_backends();
}

static void gradients_of_halves_add_up_to_the_whole(void **state)
{
    (void)state;
    enum { M = 70, N = 45, K = 37 };
    const struct problem p = problem_new(M, N, K);
    for (int i = 0; i < all_backends(); i++) {
        struct backend *be = backends[i];
        float *whole = copied(p.old_dw, N * K), *halves = copied(p.old_dw, N * K);
        assert_ok(be->ops->matmul_dw(be, whole, p.dy, p.x, M, N, K, NULL));
        for (int at = 0, count = 1; at < M;
             at += count, count = count * 2 < M - at ? count * 2 : M - at)
            assert_ok(
                be->ops->matmul_dw(be, halves, p.dy + at * N, p.x + at * K, count, N, K, NULL));
        assert_same_bits(whole, halves, N * K * 4, "dw by parts");
    }
    free_backends();
    guarded_free_all();
}

/* A negative zero survives: nothing pads the chain. */
static void the_chain_is_not_padded(void **state)
{
    (void)state;
    for (int i = 0; i < all_backends(); i++) {
        struct backend *be = backends[i];
        float dw[3] = {-0.0f, -0.0f, -0.0f}, dy = 1e-30f, x[3] = {-1e-30f, 0.0f, 1e-30f};
        assert_ok(be->ops->matmul_dw(be, dw, &dy, x, 0, 1, 3, NULL));
        assert_true(signbit(dw[0]) && signbit(dw[1]) && signbit(dw[2]));
        assert_ok(be->ops->matmul_dw(be, dw, &dy, x, 1, 1, 3, NULL));
        assert_true(signbit(dw[0]) && !signbit(dw[1]) && !signbit(dw[2]));
    }
    free_backends();
}

static void bad_weights_are_refused(void **state)
{
    (void)state;
    all_backends();
    struct weight *weight = NULL;
    struct backend *be = backends[0];
    float x[6] = {0};
    assert_err(ERR_INVALID, "0 x 3", packed_new(be, 0, 3, &weight));
    assert_err(ERR_INVALID, "neither row-major nor packed",
               be->ops->weights_new(be, &(struct weight_form){.N = 2, .K = 3}, 1, &weight));
    assert_null(weight);
    assert_ok(packed_new(be, 2, 3, &weight));
    assert_err(ERR_INVALID, "2 x 3: it is packed alone",
               be->ops->matmul_dx(be, x, x, weight, 1, 0));
    assert_err(ERR_INVALID, "2 x 3: only what is held in both forms",
               be->ops->weight_repack(be, weight));
    be->ops->weight_free(be, weight);
    be->ops->weight_free(be, NULL);
    free_backends();
}

TESTS(cmocka_unit_test(odd_shapes_equal_the_chain), cmocka_unit_test(large_shapes_equal_the_chain),
      cmocka_unit_test(gradients_of_halves_add_up_to_the_whole),
      cmocka_unit_test(the_chain_is_not_padded), cmocka_unit_test(bad_weights_are_refused))
