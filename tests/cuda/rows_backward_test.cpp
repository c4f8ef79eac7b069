/* Slopes of norms, of logits and of what goes element by element, sums over rows, rows to where an
 * index says: plain C in the documented order, bit for bit. */
#include "rows_reference.h"
#include "tensor/cuda/rows_backward.h"

/* sum of f(a[i], b[i]) over a row: threads by pieces of four. */
template <class F> static float sum_of_pairs(const float *a, const float *b, int C, F f)
{
    const int T = C <= ROW_NARROW ? 32 : 256;
    std::vector<float> thread(T);
    for (int i = 0; i < C; i++)
        thread[i / 4 % T] = f(thread[i / 4 % T], a[i], b[i]);
    return tree_of_warps(thread);
}

static float fused(float sum, float a, float b)
{
    return fmaf(a, b, sum);
}

struct norm_rows {
    int N, C;
    std::vector<float> dx, dy, x, kept, dweight, w;
};

static norm_rows reference_rmsnorm(norm_rows a)
{
    std::vector<float> g(a.C);
    for (int n = 0; n < a.N; n++) {
        float *dx = &a.dx[(size_t)n * a.C];
        const float *dy = &a.dy[(size_t)n * a.C], *x = &a.x[(size_t)n * a.C], r = a.kept[n];
        for (int i = 0; i < a.C; i++) {
            g[i] = dy[i] * a.w[i];
            a.dweight[i] = fmaf(dy[i], x[i] * r, a.dweight[i]);
        }
        const float sum = sum_of_pairs(g.data(), x, a.C, fused);
        const float along = -(sum * (r * r * r) / (float)a.C);
        for (int i = 0; i < a.C; i++)
            dx[i] += fmaf(g[i], r, x[i] * along);
    }
    return a;
}

static norm_rows reference_layernorm(norm_rows a)
{
    std::vector<float> g(a.C), d(a.C);
    for (int n = 0; n < a.N; n++) {
        float *dx = &a.dx[(size_t)n * a.C];
        const float *dy = &a.dy[(size_t)n * a.C], *x = &a.x[(size_t)n * a.C];
        const float mean = a.kept[2 * n], r = a.kept[2 * n + 1];
        for (int i = 0; i < a.C; i++) {
            g[i] = dy[i] * a.w[i];
            d[i] = x[i] - mean;
            a.dweight[i] = fmaf(dy[i], d[i] * r, a.dweight[i]);
        }
        const float level =
            sum_of_row(g.data(), a.C, [](float s, float v) { return s + v; }) * r / (float)a.C;
        const float tilt = sum_of_pairs(g.data(), d.data(), a.C, fused) * (r * r * r) / (float)a.C;
        for (int i = 0; i < a.C; i++)
            dx[i] += g[i] * r - fmaf(d[i], tilt, level);
    }
    return a;
}

static void norm(int N, int C, size_t off)
{
    const size_t count = (size_t)N * C;
    const auto w = bf16s(C, 1, 5);
    norm_rows a = {N,
                   C,
                   floats(count, 1, 1),
                   floats(count, 1, 2),
                   floats(count, 3, 3),
                   floats(2 * (size_t)N, 1, 4),
                   floats(C, 1, 6),
                   widen(w)};
    const placed dy(a.dy, off), x(a.x, off), kept(a.kept, off);
    device<bf16> dw(w);
    const uint16_t *weight = (const uint16_t *)dw.at;
    for (int layer = 0; layer < 2; layer++) {
        const norm_rows want = layer ? reference_layernorm(a) : reference_rmsnorm(a);
        const placed dx(a.dx, off), dweight(a.dweight, off);
        assert_cuda(
            (layer ? rows_layernorm_dx : rows_rmsnorm_dx)(NULL, dx, dy, x, kept, weight, N, C));
        assert_cuda((layer ? rows_layernorm_dweight : rows_rmsnorm_dweight)(NULL, dweight, dy, x,
                                                                            kept, N, C));
        same_bits(dx.get(), want.dx, layer ? "layernorm dx" : "rmsnorm dx");
        same_bits(dweight.get(), want.dweight, layer ? "layernorm dweight" : "rmsnorm dweight");
    }
}

static void norms(void **)
{
    const int wide[] = {1, 3, 4, 16, 63, 511, 512, 513, 1544, 4099};
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        for (int C : wide)
            norm(seed + 3, C, (size_t)(seed + C) % 2);
        norm(256, 20, 0);
        norm(515, 5, 1);
    }
}

/* A sum of -0 alone stays -0: rows that are not there add nothing, not even +0. */
static void sums_from_zeros(void **)
{
    const int N = 258, C = 20;
    const std::vector<float> zeros((size_t)N * C, -0.0f), want(C, -0.0f);
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        device<float> dy(zeros), dbias(want);
        assert_cuda(rows_bias_backward(NULL, dbias, dy, N, C));
        same_bits(dbias.get(), want, "a sum of -0");
    }
}

/* Destinations are few, so that each has many rows; and one of each. */
static void scatter(int N, int C, int destinations, size_t off)
{
    const auto x = floats((size_t)N * C, 1, 1);
    auto want = floats((size_t)destinations * C, 1, 2);
    std::vector<int32_t> row(N);
    const placed y(want, off), from(x, off);
    for (int n = 0; n < N; n++) {
        row[n] = n * 7919 % destinations;
        for (int c = 0; c < C; c++)
            want[(size_t)row[n] * C + c] += x[(size_t)n * C + c];
    }
    device<int32_t> rows(row);
    device<char> work(rows_scatter_bytes(N));
    assert_cuda(rows_scatter_add(NULL, y, from, rows, N, C, work));
    same_bits(y.get(), want, "scattered rows");
}

static void scatters(void **)
{
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        scatter(1, 1, 1, 0);
        scatter(33, 64, 1, 0);
        scatter(70, 7, 5, 1);
        scatter(64, 300, 64, 0);
        if (full())
            scatter(1500, 520, 40, 0);
    }
}

static void slopes(const std::vector<float> &x, int V, float scale, size_t off)
{
    const int N = (int)(x.size() / V);
    auto dlogp = floats(N, 1, 9);
    std::vector<int32_t> token(N);
    std::vector<float> want;
    dlogp[N / 2] = 0;
    for (int n = 0; n < N; n++) {
        const std::vector<float> row(&x[(size_t)n * V], &x[(size_t)n * V] + V);
        const row_sums sums = reference_row(row, scale);
        const float slope = dlogp[n] * scale, inverse = (float)(1.0 / sums.sum);
        token[n] = n == 0 ? V - 1 : n * 7919 % V;
        for (int v = 0; v < V; v++) {
            const float weight = exp_of(row[v] * scale - sums.max);
            const float one = weight * inverse * -slope;
            want.push_back(dlogp[n] == 0 ? 0.0f : v == token[n] ? one + slope : one);
        }
    }
    const placed logits(x, off);
    device<float> d(dlogp);
    device<int32_t> t(token);
    device<char> work(vocabulary_logp_bytes(N, V));
    assert_cuda(vocabulary_logp_backward(NULL, logits, d, t, scale, N, V, work));
    same_numbers(logits.get(), want, "slopes of logits");
}

static void slopes_of_logits(void **)
{
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        for (int V : {1, 2, 50, 1023, 4096, 4097, 9001})
            slopes(floats((size_t)3 * V, 4, V), V, 1.25f, seed % 2);
        slopes(hostile(4100), 4100, 1, 0);
        slopes(hostile(12), 12, 100, 0);
        if (full())
            slopes(floats((size_t)3 * 151936, 4, 11), 151936, 0.9f, 0);
    }
}

TESTS(cmocka_unit_test(norms), cmocka_unit_test(sums_from_zeros), cmocka_unit_test(scatters),
      cmocka_unit_test(slopes_of_logits))
