/* The ops matmul_dx and matmul_dw on a device of each kind: their bits are those of the orders of
 * gemm.h and gemm_backward.h. dW is one sum over the sequences, however calls cut them. */
#include "base/mem.h"
#include "cuda/module.h"
#include "cuda/noise.h"
#include <string.h>

/* Elements of a sum, each `by` behind the last. */
struct line {
    const float *x;
    size_t by;
};

static double low(struct line l, int i)
{
    return (double)bf16_to_float(bf16_from_float(l.x[(size_t)i * l.by]));
}

/* By steps of the tensor cores, as the emulator rounds by default: once a step. */
static float chunk_sum(struct line a, struct line b, int count)
{
    float sum = 0;
    for (int k = 0; k < count; k += 16) {
        double step = (double)sum;
        for (int i = k; i < count && i < k + 16; i++)
            step += low(a, i) * low(b, i);
        sum = (float)step;
    }
    return sum;
}

static struct line behind(struct line l, int i)
{
    return (struct line){l.x + (size_t)i * l.by, l.by};
}

static float spans_sum(float y, struct line a, struct line b, int count, bool accumulate)
{
    for (int s = 0; s < count; s += 2048) {
        float span = 0;
        for (int c = s; c < count && c < s + 2048; c += 512) {
            const float sum =
                chunk_sum(behind(a, c), behind(b, c), count - c < 512 ? count - c : 512);
            span = c == s ? sum : span + sum;
        }
        y = s || accumulate ? y + span : span;
    }
    return y;
}

static float rows_sum(float y, struct line a, struct line b, const struct row_cuts *cuts)
{
    for (int i = 0, c = 0; i < cuts->count; i++)
        for (int some; c < cuts->end[i]; c += some) {
            some = cuts->end[i] - c < 512 ? cuts->end[i] - c : 512;
            y += chunk_sum(behind(a, c), behind(b, c), some);
        }
    return y;
}

static float *wide_noise(uint64_t stream, size_t count)
{
    float *ret = mem_array(count, sizeof *ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = (float)noise_at(stream, i, 1, 0);
    return ret;
}

static float *widened(const bf16 *x, size_t count)
{
    float *ret = mem_array(count, sizeof *ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = bf16_to_float(x[i]);
    return ret;
}

static void assert_there(const struct buffer *at, const float *want, size_t count, const char *what)
{
    SCOPED_MEM float *got = mem_array(count, sizeof *got);
    assert_ok(buffer_get(at, 0, count * sizeof *got, got));
    for (size_t i = 0; i < count; i++)
        if (memcmp(&got[i], &want[i], sizeof *got))
            fail_msg("%s, element %zu: %.9g, not %.9g", what, i, (double)got[i], (double)want[i]);
}

/* dx alone, on top of what is there, of one row, and of none. */
static void dx_of(struct backend *be, int M, int N, int K, bool precise)
{
    const size_t count = (size_t)M * (size_t)K;
    SCOPED_MEM bf16 *w = noise(1, (size_t)N * (size_t)K, 1, 0);
    SCOPED_MEM float *wide = widened(w, (size_t)N * (size_t)K);
    SCOPED_MEM float *dy = wide_noise(2, (size_t)M * (size_t)N);
    SCOPED_MEM float *want = mem_array(count, sizeof *want);
    SCOPED_VALUE(buffer) dy_ = bytes_there(be, dy, (size_t)M * (size_t)N * sizeof *dy);
    SCOPED_VALUE(buffer) dx = floats_there(be, NULL, count);
    const struct weight_form form = {.N = N, .K = K, .packed = true, .precise = precise};
    struct weight *weight = NULL;
    assert_ok(be->ops->weights_new(be, &form, 1, &weight));
    assert_ok(be->ops->weight_put(be, weight, w, 0, N));
    for (int add = 0; add < 2; add++) {
        for (size_t i = 0; i < count; i++)
            want[i] = spans_sum(want[i], (struct line){dy + i / (size_t)K * (size_t)N, 1},
                                (struct line){wide + i % (size_t)K, (size_t)K}, N, add);
        assert_ok(be->ops->matmul_dx(be, dx.address, dy_.address, weight, M, add));
        assert_there(&dx, want, count, "dx");
    }
    assert_ok(be->ops->matmul_dx(be, dx.address, dy_.address, weight, 0, 0));
    assert_there(&dx, want, count, "dx of no rows");
    assert_ok(be->ops->matmul_dx(be, dx.address, (float *)dy_.address + (M - 1) * N, weight, 1, 0));
    for (int k = 0; k < K; k++)
        want[k] = spans_sum(0, (struct line){dy + (size_t)(M - 1) * (size_t)N, 1},
                            (struct line){wide + k, (size_t)K}, N, false);
    assert_there(&dx, want, count, "dx of the last row");
    be->ops->weight_free(be, weight);
}

/* dw in one call, and in as many as there are sequences. */
static void dw_of(struct backend *be, int N, int K, const struct row_cuts *cuts)
{
    const int M = cuts->end[cuts->count - 1];
    const size_t count = (size_t)N * (size_t)K;
    SCOPED_MEM float *dy = wide_noise(3, (size_t)M * (size_t)N);
    SCOPED_MEM float *x = wide_noise(4, (size_t)M * (size_t)K), *want = wide_noise(5, count);
    SCOPED_VALUE(buffer) dy_ = bytes_there(be, dy, (size_t)M * (size_t)N * sizeof *dy);
    SCOPED_VALUE(buffer) x_ = bytes_there(be, x, (size_t)M * (size_t)K * sizeof *x);
    SCOPED_VALUE(buffer) dw = bytes_there(be, want, count * sizeof *want);
    SCOPED_VALUE(buffer) parts = bytes_there(be, want, count * sizeof *want);
    for (size_t i = 0; i < count; i++)
        want[i] = rows_sum(want[i], (struct line){dy + i / (size_t)K, (size_t)N},
                           (struct line){x + i % (size_t)K, (size_t)K}, cuts);
    assert_ok(be->ops->matmul_dw(be, dw.address, dy_.address, x_.address, M, N, K,
                                 cuts->count > 1 ? cuts : NULL));
    assert_there(&dw, want, count, "dw");
    for (int i = 0, first = 0; i < cuts->count; first = cuts->end[i++])
        assert_ok(be->ops->matmul_dw(be, parts.address, (float *)dy_.address + first * N,
                                     (float *)x_.address + first * K, cuts->end[i] - first, N, K,
                                     NULL));
    assert_there(&parts, want, count, "dw of several calls");
}

static void gradients_on_device(int sm)
{
    cuda_module_device(sm);
    SCOPED(backend) be = cuda_module_open();
    dx_of(be, 40, 2085, 75, false);
    dx_of(be, 20, 1, 64, true);   // a value head's
    dx_of(be, 70, 130, 4, false); // an adapter's
    dw_of(be, 75, 130, &(struct row_cuts){1, (const int[]){600}});
    dw_of(be, 40, 75, &(struct row_cuts){4, (const int[]){5, 5, 530, 561}});
    dw_of(be, 200, 4, &(struct row_cuts){2, (const int[]){16, 33}});
    dw_of(be, 1, 64, &(struct row_cuts){2, (const int[]){1, 20}});
}

static void by_wgmma(void **state)
{
    (void)state;
    gradients_on_device(90);
}

static void by_mma(void **state)
{
    (void)state;
    gradients_on_device(80);
}

static void refusals(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(buffer) there = floats_there(be, NULL, 64 * 64);
    float *at = there.address;
    const struct weight_form form = {.N = 8, .K = 8, .rows = there.address};
    struct weight *weight = NULL;
    assert_ok(be->ops->weights_new(be, &form, 1, &weight));
    assert_err(ERR_INVALID, "it is not packed", be->ops->matmul_dx(be, at, at, weight, 1, 0));
    be->ops->weight_free(be, weight);
    assert_err(
        ERR_INVALID, "sequence 1 ends at 3, before 4",
        be->ops->matmul_dw(be, at, at, at, 4, 8, 8, &(struct row_cuts){2, (const int[]){4, 3}}));
    assert_err(
        ERR_INVALID, "4, and the last sequence ends at 3",
        be->ops->matmul_dw(be, at, at, at, 4, 8, 8, &(struct row_cuts){1, (const int[]){3}}));
    assert_err(ERR_INVALID, "too many", be->ops->matmul_dw(be, at, at, at, 2147483647, 8, 8, NULL));
    assert_ok(be->ops->matmul_dw(be, at, at, at, 0, 8, 8, NULL));
}

TESTS(cmocka_unit_test(by_wgmma), cmocka_unit_test(by_mma), cmocka_unit_test(refusals))
