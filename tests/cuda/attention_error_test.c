/* Attention's slopes against double: errors at most half as large again as those of PyTorch's
 * bfloat16, by its flash attention and by products of matrices. */
#include "cuda/errors.h"

enum { T = 300, H = 4, K = 2 };

/* q, grad (T,H,D); k, v (T,K,D); the last three are results. */
struct exact {
    int D;
    double *q, *k, *v, *grad, *dq, *dk, *dv;
};

static double dot(const double *x, const double *y, int D)
{
    double sum = 0;
    for (int d = 0; d < D; d++)
        sum += x[d] * y[d];
    return sum;
}

/* One query of one head: its part of the slopes. */
static void add_query(const struct exact *x, int t, int head)
{
    const int D = x->D;
    const size_t at = ((size_t)t * H + (size_t)head) * (size_t)D,
                 kv = (size_t)head / (H / K) * (size_t)D;
    const double *q = x->q + at, *grad = x->grad + at, scale = 1 / sqrt(D);
    double weight[T], product[T], most = -INFINITY, total = 0, mean = 0;
    for (int j = 0; j <= t; j++) {
        weight[j] = scale * dot(q, x->k + (size_t)j * K * (size_t)D + kv, D);
        most = fmax(most, weight[j]);
    }
    for (int j = 0; j <= t; j++) {
        total += weight[j] = exp(weight[j] - most);
        product[j] = dot(grad, x->v + (size_t)j * K * (size_t)D + kv, D);
        mean += weight[j] * product[j];
    }
    for (int j = 0; j <= t; j++) {
        const size_t key = (size_t)j * K * (size_t)D + kv;
        const double p = weight[j] / total, slope = p * (product[j] - mean / total) * scale;
        for (int d = 0; d < D; d++) {
            x->dq[at + (size_t)d] += slope * x->k[key + (size_t)d];
            x->dk[key + (size_t)d] += slope * q[d];
            x->dv[key + (size_t)d] += p * grad[d];
        }
    }
}

static void slopes_of(int D)
{
    const struct attention_shape shape = {.H = H, .K = K, .D = D};
    const size_t wide = (size_t)T * H * (size_t)D, narrow = (size_t)T * K * (size_t)D;
    const struct segment segment = {.count = T};
    SCOPED(backend) be = cuda_module_open();
    SCOPED_MEM bf16 *q = noise(3, wide, 2, 0), *k = noise(4, narrow, 2, 0);
    SCOPED_MEM bf16 *v = noise(5, narrow, 2, 0), *grad = noise(40, wide, 1, 0);
    SCOPED_MEM double *qd = widely(q, wide), *kd = widely(k, narrow), *vd = widely(v, narrow),
                      *gd = widely(grad, wide), *dq = mem_array(wide, sizeof *dq),
                      *dk = mem_array(narrow, sizeof *dk), *dv = mem_array(narrow, sizeof *dv);
    const struct exact exact = {D, qd, kd, vd, gd, dq, dk, dv};
    SCOPED_VALUE(buffer) q_ = floats_there(be, q, wide), k_ = floats_there(be, k, narrow);
    SCOPED_VALUE(buffer) v_ = floats_there(be, v, narrow), grad_ = floats_there(be, grad, wide);
    SCOPED_VALUE(buffer) o = floats_there(be, NULL, wide), lse = floats_there(be, NULL, T * H);
    SCOPED_VALUE(buffer)
    dq_ = floats_there(be, NULL, wide), dk_ = floats_there(be, NULL, narrow),
    dv_ = floats_there(be, NULL, narrow);
    for (int i = 0; i < T * H; i++)
        add_query(&exact, i / H, i % H);
    assert_ok(be->ops->attention(be, o.address, lse.address, q_.address, k_.address, v_.address,
                                 &segment, 1, &shape, 0));
    assert_ok(be->ops->attention_backward(be, dq_.address, dk_.address, dv_.address, grad_.address,
                                          q_.address, k_.address, v_.address, o.address,
                                          lse.address, &segment, 1, &shape));
    for (int way = 0; way < 2; way++) {
        static const char *const names[] = {"flash", "math"};
        char name[3][32];
        for (int i = 0; i < 3; i++)
            snprintf(name[i], sizeof name[i], "attention_%s_d%c_%d", names[way], "qkv"[i], D);
        assert_result(be, name[0], OK, &dq_, dq, wide);
        assert_result(be, name[1], OK, &dk_, dk, narrow);
        assert_result(be, name[2], OK, &dv_, dv, narrow);
    }
}

static void slopes(void **state)
{
    (void)state;
    slopes_of(64);
    slopes_of(128);
}

static int run_group(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(slopes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return errors_under_each_setting(run_group);
}
