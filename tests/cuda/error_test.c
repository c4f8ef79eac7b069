/* Errors against double, op by op and of a decoder layer: at most half as large again as those of
 * PyTorch's bfloat16 on the same inputs (tests/golden/cuda_errors.py). */
#include "cuda/errors.h"
#include "model/forward.h"

/* ---- double */
static double *product_exactly(const double *x, const bf16 *w, int M, int N, int K)
{
    double *y = mem_array((size_t)M * (size_t)N, sizeof *y);
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            double sum = 0;
            for (int k = 0; k < K; k++)
                sum += x[(size_t)m * K + k] * (double)bf16_to_float(w[(size_t)n * K + k]);
            y[(size_t)m * N + n] = sum;
        }
    return y;
}

static double *norm_exactly(const double *x, const bf16 *weight, int N, int C, bool centred)
{
    double *y = mem_array((size_t)N * (size_t)C, sizeof *y);
    for (int n = 0; n < N; n++) {
        const double *row = x + (size_t)n * C;
        double mean = 0, square = 0;
        for (int c = 0; centred && c < C; c++)
            mean += row[c] / C;
        for (int c = 0; c < C; c++)
            square += (row[c] - mean) * (row[c] - mean) / C;
        for (int c = 0; c < C; c++)
            y[(size_t)n * C + c] =
                (row[c] - mean) / sqrt(square + 1e-5) * (double)bf16_to_float(weight[c]);
    }
    return y;
}

/* q (T,H,D), k and v (T,K,D) */
static double *attention_exactly(const double *q, const double *k, const double *v, int T,
                                 const struct attention_shape *s)
{
    double *o = mem_array((size_t)T * (size_t)s->H * (size_t)s->D, sizeof *o);
    SCOPED_MEM double *score = mem_array((size_t)T, sizeof *score);
    for (int t = 0; t < T; t++)
        for (int h = 0; h < s->H; h++) {
            const size_t at = ((size_t)t * s->H + h) * s->D;
            double most = -INFINITY, sum = 0;
            for (int j = 0; j <= t; j++) {
                const double *key = k + ((size_t)j * s->K + h / (s->H / s->K)) * s->D;
                score[j] = 0;
                for (int d = 0; d < s->D; d++)
                    score[j] += q[at + d] * key[d] / sqrt(s->D);
                most = fmax(most, score[j]);
            }
            for (int d = 0; d < s->D; d++)
                o[at + d] = 0;
            for (int j = 0; j <= t; j++) {
                const double *value = v + ((size_t)j * s->K + h / (s->H / s->K)) * s->D;
                const double weight = exp(score[j] - most);
                sum += weight;
                for (int d = 0; d < s->D; d++)
                    o[at + d] += weight * value[d];
            }
            for (int d = 0; d < s->D; d++)
                o[at + d] /= sum;
        }
    return o;
}

static void turn_exactly(double *x, int T, int heads, int D, double theta)
{
    for (int t = 0; t < T; t++)
        for (int h = 0; h < heads; h++)
            for (int d = 0; d < D / 2; d++) {
                double *a = x + ((size_t)t * heads + h) * D + d, *b = a + D / 2, was = *a;
                const double angle = t * pow(theta, -2.0 * d / D);
                *a = was * cos(angle) - *b * sin(angle);
                *b = *b * cos(angle) + was * sin(angle);
            }
}

/* ---- cases */
static void products(void **state)
{
    (void)state;
    enum { M = 16, N = 64 };
    static const int widths[] = {64, 512, 4096, 14336};
    SCOPED(backend) be = cuda_module_open();
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const int K = widths[i];
        char name[32];
        snprintf(name, sizeof name, "matmul_%d", K);
        SCOPED_MEM bf16 *x = noise(1, (size_t)M * K, 1, 0);
        SCOPED_MEM bf16 *w = noise(2, (size_t)N * K, 2 / sqrt(K), 0);
        SCOPED_MEM double *wide = widely(x, (size_t)M * K);
        SCOPED_MEM double *want = product_exactly(wide, w, M, N, K);
        SCOPED_VALUE(buffer) there_x = floats_there(be, x, (size_t)M * K);
        SCOPED_VALUE(buffer) y = floats_there(be, NULL, (size_t)M * N);
        struct weight *weight = NULL;
        const struct weight_form form = {.N = N, .K = K, .packed = true};
        assert_ok(be->ops->weights_new(be, &form, 1, &weight));
        assert_ok(be->ops->weight_put(be, weight, w, 0, N));
        const err_t e = be->ops->matmul(be, y.address, there_x.address, weight, M, 0);
        assert_result(be, name, e, &y, want, (size_t)M * N);
        be->ops->weight_free(be, weight);
    }
}

static void attentions(void **state)
{
    (void)state;
    enum { T = 300 };
    static const int sizes[] = {64, 128};
    SCOPED(backend) be = cuda_module_open();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct attention_shape s = {.H = 4, .K = 2, .D = sizes[i]};
        const size_t queries = (size_t)T * (size_t)s.H * (size_t)s.D, keys = queries / 2;
        char name[32];
        snprintf(name, sizeof name, "attention_%d", s.D);
        SCOPED_MEM bf16 *q = noise(3, queries, 2, 0), *k = noise(4, keys, 2, 0);
        SCOPED_MEM bf16 *v = noise(5, keys, 2, 0);
        SCOPED_MEM double *qd = widely(q, queries), *kd = widely(k, keys), *vd = widely(v, keys);
        SCOPED_MEM double *want = attention_exactly(qd, kd, vd, T, &s);
        SCOPED_VALUE(buffer) q_ = floats_there(be, q, queries), k_ = floats_there(be, k, keys);
        SCOPED_VALUE(buffer) v_ = floats_there(be, v, keys), o = floats_there(be, NULL, queries);
        const struct segment segment = {.count = T};
        err_t e = be->ops->attention(be, o.address, NULL, q_.address, k_.address, v_.address,
                                     &segment, 1, &s, 0);
        assert_result(be, name, e, &o, want, queries);
    }
}

static void norms(void **state)
{
    (void)state;
    enum { N = 8 };
    static const struct {
        const char *name;
        int C;
        bool centred;
    } cases[] = {
        {"rmsnorm_576", 576, false}, {"rmsnorm_4096", 4096, false}, {"layernorm_768", 768, true}};
    SCOPED(backend) be = cuda_module_open();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int C = cases[i].C;
        const bool centred = cases[i].centred;
        const size_t count = (size_t)N * C;
        SCOPED_MEM bf16 *x = noise(centred ? 8 : 6, count, 3, centred), *w = noise(7, C, 0.5, 1);
        SCOPED_MEM double *wide = widely(x, count);
        SCOPED_MEM double *want = norm_exactly(wide, w, N, C, centred);
        SCOPED_VALUE(buffer) x_ = floats_there(be, x, count), y = floats_there(be, NULL, count);
        SCOPED_VALUE(buffer)
        w_ = bytes_there(be, w, C * sizeof *w), kept = floats_there(be, NULL, 2 * N);
        err_t e = (centred ? be->ops->layernorm : be->ops->rmsnorm)(
            be, y.address, kept.address, x_.address, w_.address, 1e-5f, N, C);
        assert_result(be, cases[i].name, e, &y, want, count);
    }
}

static double normal_part(double x) // Phi
{
    return 0.5 * erfc(-x / sqrt(2));
}

static void activations(void **state)
{
    (void)state;
    enum { COUNT = 8192 };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_MEM bf16 *gate = noise(9, COUNT, 4, 0), *up = noise(10, COUNT, 2, 0);
    SCOPED_VALUE(buffer) g = floats_there(be, gate, COUNT), u = floats_there(be, up, COUNT);
    SCOPED_VALUE(buffer) y = floats_there(be, NULL, COUNT);
    static double want[3][COUNT];
    for (int i = 0; i < COUNT; i++) {
        const double a = (double)bf16_to_float(gate[i]), b = (double)bf16_to_float(up[i]);
        want[0][i] = a / (1 + exp(-a)) * b;
        want[1][i] = a * normal_part(a);
        want[2][i] = 0.5 * a * (1 + tanh(sqrt(2 / M_PI) * (a + 0.044715 * a * a * a)));
    }
    assert_result(be, "swiglu", be->ops->swiglu(be, y.address, g.address, u.address, COUNT), &y,
                  want[0], COUNT);
    assert_result(be, "gelu", be->ops->gelu(be, y.address, g.address, COUNT, 0), &y, want[1],
                  COUNT);
    assert_result(be, "gelu_tanh", be->ops->gelu(be, y.address, g.address, COUNT, 1), &y, want[2],
                  COUNT);
}

static void likelihoods(void **state)
{
    (void)state;
    enum { N = 4, V = 49152 };
    SCOPED(backend) be = cuda_module_open();
    SCOPED_MEM bf16 *logits = noise(11, (size_t)N * V, 6, 0);
    SCOPED_VALUE(buffer) there_logits = floats_there(be, logits, (size_t)N * V);
    int32_t token[N];
    float got[N];
    double want[N];
    for (int n = 0; n < N; n++) {
        double sum = 0;
        token[n] = n * 7919 % V;
        for (int v = 0; v < V; v++)
            sum += exp((double)bf16_to_float(logits[(size_t)n * V + v]));
        want[n] = (double)bf16_to_float(logits[(size_t)n * V + token[n]]) - log(sum);
    }
    assert_ok(be->ops->token_logp(be, got, NULL, there_logits.address, token, 1, N, V));
    assert_close("token_logp", got, want, N);
}

/* ---- a layer: tensors of cuda_errors.py by their streams */
struct layer {
    bf16 *x, *norm1, *q, *k, *v, *o, *norm2, *gate, *up, *down, *norm;
};
enum { LAYER_T = 48, LAYER_C = 576, LAYER_F = 1536, LAYER_H = 9, LAYER_K = 3, LAYER_D = 64 };

static bf16 *matrix(uint64_t stream, int rows, int cols)
{
    return noise(stream, (size_t)rows * (size_t)cols, 2 / sqrt(cols), 0);
}

static struct layer layer_new(void)
{
    enum { C = LAYER_C, F = LAYER_F, Q = LAYER_H * LAYER_D, KV = LAYER_K * LAYER_D };
    return (struct layer){.x = noise(20, LAYER_T * C, 2, 0),
                          .norm1 = noise(21, C, 0.5, 1),
                          .q = matrix(22, Q, C),
                          .k = matrix(23, KV, C),
                          .v = matrix(24, KV, C),
                          .o = matrix(25, C, Q),
                          .norm2 = noise(26, C, 0.5, 1),
                          .gate = matrix(27, F, C),
                          .up = matrix(28, F, C),
                          .down = matrix(29, C, F),
                          .norm = noise(30, C, 0.5, 1)};
}

static void layer_done(struct layer *l)
{
    bf16 *const all[] = {l->x,     l->norm1, l->q,  l->k,    l->v,   l->o,
                         l->norm2, l->gate,  l->up, l->down, l->norm};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static double *layer_exactly(const struct layer *l)
{
    enum { T = LAYER_T, C = LAYER_C, F = LAYER_F, H = LAYER_H, K = LAYER_K, D = LAYER_D };
    const struct attention_shape shape = {.H = H, .K = K, .D = D};
    SCOPED_MEM double *x = widely(l->x, T * C), *h = norm_exactly(x, l->norm1, T, C, false);
    SCOPED_MEM double *q = product_exactly(h, l->q, T, H * D, C);
    SCOPED_MEM double *k = product_exactly(h, l->k, T, K * D, C);
    SCOPED_MEM double *v = product_exactly(h, l->v, T, K * D, C);
    turn_exactly(q, T, H, D, 1e4);
    turn_exactly(k, T, K, D, 1e4);
    SCOPED_MEM double *o = attention_exactly(q, k, v, T, &shape);
    SCOPED_MEM double *added = product_exactly(o, l->o, T, C, H * D);
    for (int i = 0; i < T * C; i++)
        x[i] += added[i];
    SCOPED_MEM double *h2 = norm_exactly(x, l->norm2, T, C, false);
    SCOPED_MEM double *gate = product_exactly(h2, l->gate, T, F, C);
    SCOPED_MEM double *up = product_exactly(h2, l->up, T, F, C);
    for (int i = 0; i < T * F; i++)
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i];
    SCOPED_MEM double *down = product_exactly(gate, l->down, T, C, F);
    for (int i = 0; i < T * C; i++)
        x[i] += down[i];
    return norm_exactly(x, l->norm, T, C, false);
}

static void set_tensor(const struct params *p, bf16 *flat, int tensor, const bf16 *from)
{
    const struct layout_tensor *at = &p->layout->tensor[tensor];
    memcpy(flat + at->offset, from, at->count * sizeof *from);
}

static err_t layer_run(struct backend *be, const struct layer *l, float *hidden)
{
    struct model_config config =
        config_default(LAYER_T, LAYER_C, LAYER_F, 1, LAYER_H, LAYER_K, LAYER_T, true);
    const struct segment segment = {.count = LAYER_T};
    int32_t row[LAYER_T];
    SCOPED(model) model = NULL;
    SCOPED(forward) fw = NULL;
    TRY(model_empty_compact(be, &config, &model));
    const struct params *p = model->params;
    const bf16 *const of_role[] = {
        [PARAM_NORM1] = l->norm1, [PARAM_Q] = l->q,   [PARAM_K] = l->k,
        [PARAM_V] = l->v,         [PARAM_O] = l->o,   [PARAM_NORM2] = l->norm2,
        [PARAM_GATE] = l->gate,   [PARAM_UP] = l->up, [PARAM_DOWN] = l->down};
    SCOPED_MEM bf16 *flat = mem_array(p->layout->elements, sizeof *flat);
    set_tensor(p, flat, p->embed.weight, l->x);
    set_tensor(p, flat, p->norm.weight, l->norm);
    for (int role = 0; role < (int)(sizeof of_role / sizeof *of_role); role++)
        if (of_role[role])
            set_tensor(p, flat, params_layer(p, 0, role).weight, of_role[role]);
    TRY(model_put(model, flat, NULL));
    model->kv = KV_BF16;
    for (int i = 0; i < LAYER_T; i++)
        row[i] = i;
    TRY(forward_new(model, LAYER_T, 1, FORWARD_NOTHING, &fw));
    TRY(forward_run(fw, row, row, LAYER_T, &segment, 1));
    TRY(be->ops->sync(be));
    return be->ops->get(be, hidden, forward_hidden(fw), LAYER_T * LAYER_C * sizeof *hidden);
}

static void whole_layer(void **state)
{
    (void)state;
    SCOPED(backend) be = cuda_module_open();
    SCOPED_VALUE(layer) layer = layer_new();
    SCOPED_MEM float *got = mem_array(LAYER_T * LAYER_C, sizeof *got);
    SCOPED_MEM double *want = layer_exactly(&layer);
    assert_ok(layer_run(be, &layer, got));
    assert_close("layer", got, want, LAYER_T * LAYER_C);
}

static int run_group(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),    cmocka_unit_test(attentions),
        cmocka_unit_test(norms),       cmocka_unit_test(activations),
        cmocka_unit_test(likelihoods), cmocka_unit_test(whole_layer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return errors_under_each_setting(run_group);
}
