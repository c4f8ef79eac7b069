/* Slopes against double: errors at most half as large again as those of PyTorch's bfloat16. */
#include "cuda/errors.h"

/* Inputs rounded to bf16: the host's in double, the backend's in float. */
struct input {
    bf16 *low;
    double *wide;
    struct buffer there;
};

static struct input input_of(struct backend *be, uint64_t stream, size_t count, double scale,
                             double shift)
{
    struct input in = {.low = noise(stream, count, scale, shift)};
    in.wide = widely(in.low, count);
    in.there = floats_there(be, in.low, count);
    return in;
}

static void input_done(struct input *in)
{
    free(in->low);
    free(in->wide);
    buffer_done(&in->there);
}

/* ---- norms */
struct norm_slopes {
    double *dx, *dweight;
};

static void norm_slopes_done(struct norm_slopes *s)
{
    free(s->dx);
    free(s->dweight);
}

static struct norm_slopes norm_slopes_exactly(const double *x, const double *w, const double *dy,
                                              int N, int C, bool centred)
{
    struct norm_slopes ret = {mem_array((size_t)N * (size_t)C, sizeof(double)),
                              mem_array((size_t)C, sizeof(double))};
    for (int n = 0; n < N; n++, x += C, dy += C) {
        double mean = 0, square = 0, plain = 0, along = 0;
        for (int c = 0; centred && c < C; c++)
            mean += x[c] / C;
        for (int c = 0; c < C; c++)
            square += (x[c] - mean) * (x[c] - mean) / C;
        const double r = 1 / sqrt(square + 1e-5);
        for (int c = 0; c < C; c++) {
            plain += dy[c] * w[c] / C;
            along += dy[c] * w[c] * (x[c] - mean) / C;
            ret.dweight[c] += dy[c] * (x[c] - mean) * r;
        }
        for (int c = 0; c < C; c++)
            ret.dx[(size_t)n * C + c] =
                r * (dy[c] * w[c] - (centred ? plain : 0)) - (x[c] - mean) * along * r * r * r;
    }
    return ret;
}

static void norm(bool centred)
{
    enum { N = 64, C = 576, COUNT = N * C };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(input) x = input_of(be, centred ? 8 : 6, COUNT, 3, centred);
    SCOPED_VALUE(input) dy = input_of(be, 12, COUNT, 1, 0), w = input_of(be, 7, C, 0.5, 1);
    SCOPED_VALUE(norm_slopes)
    want = norm_slopes_exactly(x.wide, w.wide, dy.wide, N, C, centred);
    SCOPED_VALUE(buffer) weight = bytes_there(be, w.low, C * sizeof *w.low);
    SCOPED_VALUE(buffer) y = floats_there(be, NULL, COUNT), kept = floats_there(be, NULL, 2 * N);
    SCOPED_VALUE(buffer) dx = floats_there(be, NULL, COUNT), dweight = floats_there(be, NULL, C);
    assert_ok((centred ? be->ops->layernorm : be->ops->rmsnorm)(
        be, y.address, kept.address, x.there.address, weight.address, 1e-5f, N, C));
    const err_t e = (centred ? be->ops->layernorm_backward : be->ops->rmsnorm_backward)(
        be, dx.address, dweight.address, dy.there.address, x.there.address, kept.address,
        weight.address, N, C);
    assert_result(be, centred ? "layernorm_dx" : "rmsnorm_dx", e, &dx, want.dx, COUNT);
    assert_result(be, centred ? "layernorm_dweight" : "rmsnorm_dweight", OK, &dweight, want.dweight,
                  C);
}

static void norms(void **state)
{
    (void)state;
    norm(false);
    norm(true);
}

/* ---- products */
static double *dx_exactly(const double *dy, const double *w, int M, int N, int K)
{
    double *dx = mem_array((size_t)M * (size_t)K, sizeof *dx);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++)
            for (int k = 0; k < K; k++)
                dx[(size_t)m * K + k] += dy[(size_t)m * N + n] * w[(size_t)n * K + k];
    return dx;
}

static double *dw_exactly(const double *dy, const double *x, int M, int N, int K)
{
    double *dw = mem_array((size_t)N * (size_t)K, sizeof *dw);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++)
            for (int k = 0; k < K; k++)
                dw[(size_t)n * K + k] += dy[(size_t)m * N + n] * x[(size_t)m * K + k];
    return dw;
}

static void product(int M, int N, int K)
{
    const size_t xs = (size_t)M * (size_t)K, ys = (size_t)M * (size_t)N, ws = (size_t)N * (size_t)K;
    char name[2][32];
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(input) x = input_of(be, 1, xs, 1, 0), w = input_of(be, 2, ws, 2 / sqrt(K), 0);
    SCOPED_VALUE(input) dy = input_of(be, 16, ys, 1, 0);
    SCOPED_VALUE(buffer) dx = floats_there(be, NULL, xs), dw = floats_there(be, NULL, ws);
    SCOPED_MEM double *want_dx = dx_exactly(dy.wide, w.wide, M, N, K);
    SCOPED_MEM double *want_dw = dw_exactly(dy.wide, x.wide, M, N, K);
    const struct weight_form form = {.N = N, .K = K, .packed = true};
    struct weight *weight = NULL;
    assert_ok(be->ops->weights_new(be, &form, 1, &weight));
    assert_ok(be->ops->weight_put(be, weight, w.low, 0, N));
    snprintf(name[0], sizeof name[0], "matmul_dx_%d", N);
    snprintf(name[1], sizeof name[1], "matmul_dw_%d", M);
    assert_result(be, name[0], be->ops->matmul_dx(be, dx.address, dy.there.address, weight, M, 0),
                  &dx, want_dx, xs);
    assert_result(
        be, name[1],
        be->ops->matmul_dw(be, dw.address, dy.there.address, x.there.address, M, N, K, NULL), &dw,
        want_dw, ws);
    be->ops->weight_free(be, weight);
}

static void products(void **state)
{
    (void)state;
    product(16, 4096, 64);
    product(4096, 40, 24);
}

/* ---- element by element */
static double normal_part(double x) // Phi
{
    return 0.5 * erfc(-x / sqrt(2));
}

static double gelu_slope(double x)
{
    return normal_part(x) + x * exp(-x * x / 2) / sqrt(2 * M_PI);
}

static double gelu_tanh_slope(double x)
{
    const double scale = sqrt(2 / M_PI), t = tanh(scale * (x + 0.044715 * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * scale * (1 + 3 * 0.044715 * x * x);
}

static void activations(void **state)
{
    (void)state;
    enum { COUNT = 8192 };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(input) gate = input_of(be, 9, COUNT, 4, 0), up = input_of(be, 10, COUNT, 2, 0);
    SCOPED_VALUE(input) dy = input_of(be, 13, COUNT, 1, 0);
    SCOPED_VALUE(buffer) a = floats_there(be, NULL, COUNT), b = floats_there(be, NULL, COUNT);
    static double want[4][COUNT];
    for (int i = 0; i < COUNT; i++) {
        const double g = gate.wide[i], d = dy.wide[i], s = 1 / (1 + exp(-g));
        want[0][i] = d * up.wide[i] * s * (1 + g * (1 - s));
        want[1][i] = d * g * s;
        want[2][i] = d * gelu_slope(g);
        want[3][i] = d * gelu_tanh_slope(g);
    }
    assert_result(be, "swiglu_dgate",
                  be->ops->swiglu_backward(be, a.address, b.address, dy.there.address,
                                           gate.there.address, up.there.address, COUNT),
                  &a, want[0], COUNT);
    assert_result(be, "swiglu_dup", OK, &b, want[1], COUNT);
    for (int by_tanh = 0; by_tanh < 2; by_tanh++)
        assert_result(be, by_tanh ? "gelu_tanh_dx" : "gelu_dx",
                      be->ops->gelu_backward(be, a.address, dy.there.address, gate.there.address,
                                             COUNT, by_tanh),
                      &a, want[2 + by_tanh], COUNT);
}

/* ---- sums over rows */
static void rows(void **state)
{
    (void)state;
    enum { N = 512, C = 64, V = 7 };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(input) dy = input_of(be, 14, N * C, 1, 0);
    SCOPED_VALUE(buffer) dbias = floats_there(be, NULL, C), dtable = floats_there(be, NULL, V * C);
    int32_t token[N];
    static double want_bias[C], want_table[V * C];
    memset(want_bias, 0, sizeof want_bias);
    memset(want_table, 0, sizeof want_table);
    for (int n = 0; n < N; n++) {
        token[n] = n * 7919 % V;
        for (int c = 0; c < C; c++) {
            want_bias[c] += dy.wide[n * C + c];
            want_table[token[n] * C + c] += dy.wide[n * C + c];
        }
    }
    SCOPED_VALUE(buffer) tokens = bytes_there(be, token, sizeof token);
    assert_result(be, "bias_dbias",
                  be->ops->bias_backward(be, dbias.address, dy.there.address, N, C), &dbias,
                  want_bias, C);
    assert_result(
        be, "embed_dtable",
        be->ops->embed_backward(be, dtable.address, dy.there.address, tokens.address, N, C),
        &dtable, want_table, V * C);
}

/* ---- logits */
static void likelihoods(void **state)
{
    (void)state;
    enum { N = 4, V = 49152 };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(input)
    logits = input_of(be, 11, (size_t)N * V, 6, 0), dlogp = input_of(be, 15, N, 1, 0);
    SCOPED_MEM double *want = mem_array((size_t)N * V, sizeof *want);
    int32_t token[N];
    float slope[N];
    for (int n = 0; n < N; n++) {
        const double *row = logits.wide + (size_t)n * V;
        double sum = 0;
        token[n] = n * 7919 % V;
        slope[n] = (float)dlogp.wide[n];
        for (int v = 0; v < V; v++)
            sum += exp(row[v]);
        for (int v = 0; v < V; v++)
            want[(size_t)n * V + v] = dlogp.wide[n] * ((v == token[n]) - exp(row[v]) / sum);
    }
    const err_t e = be->ops->token_logp_backward(be, logits.there.address, slope, token, 1, N, V);
    assert_result(be, "token_logp_dlogits", e, &logits.there, want, (size_t)N * V);
}

/* ---- attention: PyTorch's flash attention, and its products of matrices */
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

static void attention_of(int D)
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

static void attention(void **state)
{
    (void)state;
    attention_of(64);
    attention_of(128);
}

static int run_group(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(norms),       cmocka_unit_test(products),
                                       cmocka_unit_test(activations), cmocka_unit_test(rows),
                                       cmocka_unit_test(likelihoods), cmocka_unit_test(attention)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return errors_under_each_setting(run_group);
}
