/* The ops matmul and matmuls on a device of each kind. Their bits are those of gemm.h's order, for
 * a batch and for a row alone; products of one input are each alone, one of them precise. */
#include "base/mem.h"
#include "cuda/module.h"
#include "tensor/buffer.h"
#include <string.h>

static float noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(*state >> 40) / (1 << 23) - 1.0);
}

/* Piece p of x, rounded to bf16 behind the pieces before. */
static double piece_of(float x, int p)
{
    for (int i = 0; i < p; i++)
        x -= bf16_to_float(bf16_from_float(x));
    return (double)bf16_to_float(bf16_from_float(x));
}

/* By steps of the tensor cores, as the emulator rounds by default: once a step. */
static float chunk_sum(const float *x, const bf16 *w, int K, int piece)
{
    float sum = 0;
    for (int k = 0; k < K; k += 16) {
        double step = (double)sum;
        for (int i = k; i < K && i < k + 16; i++)
            step += piece_of(x[i], piece) * (double)bf16_to_float(w[i]);
        sum = (float)step;
    }
    return sum;
}

static float product_of(float y, const float *x, const bf16 *w, int K, bool accumulate,
                        bool precise)
{
    for (int s = 0; s < K; s += 2048) {
        float span = 0;
        for (int c = s; c < K && c < s + 2048; c += 512) {
            const int some = K - c < 512 ? K - c : 512;
            float sum = chunk_sum(x + c, w + c, some, 0);
            if (precise)
                sum = (chunk_sum(x + c, w + c, some, 2) + chunk_sum(x + c, w + c, some, 1)) + sum;
            span = c == s ? sum : span + sum;
        }
        y = s || accumulate ? y + span : span;
    }
    return y;
}

enum { ROWS = 40, K = 2085, PRODUCTS = 3, PRECISE = 2 };
static const int N[PRODUCTS] = {75, 8, 33};

struct matrices {
    float x[ROWS * K];
    bf16 w[PRODUCTS][75 * K];
    struct weight *weight[PRODUCTS];
    struct buffer device_x, y[PRODUCTS];
};

static struct matrices *filled(struct backend *be)
{
    struct matrices *m = mem_new(sizeof *m);
    uint64_t state = 1;
    struct weight_form form[PRODUCTS] = {0};
    for (int i = 0; i < ROWS * K; i++)
        m->x[i] = noise(&state);
    for (int p = 0; p < PRODUCTS; p++) {
        form[p] = (struct weight_form){.N = N[p], .K = K, .packed = true, .precise = p == PRECISE};
        for (int i = 0; i < N[p] * K; i++)
            m->w[p][i] = bf16_from_float(noise(&state));
    }
    assert_ok(be->ops->weights_new(be, form, PRODUCTS, m->weight));
    assert_ok(buffer_alloc(be, sizeof m->x, &m->device_x));
    assert_ok(buffer_put(&m->device_x, 0, m->x, sizeof m->x));
    for (int p = 0; p < PRODUCTS; p++) {
        assert_ok(be->ops->weight_put(be, m->weight[p], m->w[p], 0, N[p]));
        assert_ok(buffer_alloc(be, (size_t)ROWS * (size_t)N[p] * sizeof(float), &m->y[p]));
    }
    return m;
}

static void emptied(struct backend *be, struct matrices *m)
{
    for (int p = 0; p < PRODUCTS; p++) {
        buffer_done(&m->y[p]);
        be->ops->weight_free(be, m->weight[p]);
    }
    buffer_done(&m->device_x);
    mem_free(m);
}

/* y[p] has `times` products added up, rows from `first` on. */
static void assert_products(const struct matrices *m, int p, int first, int M, int times)
{
    SCOPED_MEM float *got = mem_new((size_t)M * (size_t)N[p] * sizeof(float));
    assert_ok(buffer_get(&m->y[p], 0, (size_t)M * (size_t)N[p] * sizeof(float), got));
    for (int i = 0; i < M * N[p]; i++) {
        const float *x = m->x + (first + i / N[p]) * K;
        float want = 0;
        for (int t = 0; t < times; t++)
            want = product_of(want, x, m->w[p] + i % N[p] * K, K, t > 0, p == PRECISE);
        if (memcmp(&want, &got[i], sizeof want))
            fail_msg("product %d, row %d, output %d: %.9g, not %.9g", p, i / N[p], i % N[p],
                     (double)got[i], (double)want);
    }
}

static void products_of_device(int sm)
{
    cuda_module_device(sm);
    SCOPED(backend) be = cuda_module_open();
    struct matrices *m = filled(be);
    struct product products[PRODUCTS];
    for (int p = 0; p < PRODUCTS; p++)
        products[p] = (struct product){m->y[p].address, m->weight[p]};
    const float *x = m->device_x.address;

    assert_ok(be->ops->matmuls(be, products, PRODUCTS, x, ROWS));
    for (int p = 0; p < PRODUCTS; p++)
        assert_products(m, p, 0, ROWS, 1);
    assert_ok(be->ops->matmul(be, products[0].y, x, m->weight[0], ROWS, 1));
    assert_products(m, 0, 0, ROWS, 2);
    assert_ok(be->ops->matmul(be, products[0].y, x + 7 * K, m->weight[0], 1, 0)); // a row alone
    assert_products(m, 0, 7, 1, 1);
    assert_ok(be->ops->matmul(be, products[0].y, x, m->weight[0], 0, 0));
    assert_products(m, 0, 7, 1, 1);

    assert_err(ERR_INVALID, "0 products", be->ops->matmuls(be, products, 0, x, 1));
    assert_err(ERR_INVALID, "1 to 4", be->ops->matmuls(be, products, PRODUCTS_MAX + 1, x, 1));
    emptied(be, m);
}

static void products_by_wgmma(void **state)
{
    (void)state;
    products_of_device(90);
}

static void products_by_mma(void **state)
{
    (void)state;
    products_of_device(80);
}

TESTS(cmocka_unit_test(products_by_wgmma), cmocka_unit_test(products_by_mma))
