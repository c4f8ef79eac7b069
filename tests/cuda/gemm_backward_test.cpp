/* Products of the backward by both families: the documented chains bit for bit, whatever M is and
 * however work is shared out; gradients of weights are one sum over sequences, however calls cut
 * them. */
#include "products.h"
#include "tensor/cuda/gemm_backward.h"

static const gemm_family families[] = {GEMM_MMA, GEMM_HOPPER};

/* ---- dx = dy W */

/* dx (M,K) as gemm.h says; dx as before if accumulate. dy is rounded. */
static std::vector<float> reference_dx(std::vector<float> dx, const std::vector<float> &dy,
                                       const matrix &m, int M, bool accumulate, int order)
{
    const int N = m.N, K = m.K;
    const auto w = widen(m.w), low = rounded(dy);
    for (int t = 0; t < M; t++)
        for (int k = 0; k < K; k++) {
            float &at = dx[(size_t)t * K + k];
            for (int s = 0; s < N; s += 2048) {
                float span = 0;
                for (int c = s; c < N && c < s + 2048; c += 512) {
                    float sum = 0;
                    for (int n = c; n < N && n < c + 512; n += 16)
                        sum = reference_step(sum, &w[(size_t)n * K + k], K, &low[(size_t)t * N + n],
                                             1, N - n < 16 ? N - n : 16, order);
                    span = c == s ? sum : span + sum;
                }
                at = s || accumulate ? at + span : span;
            }
        }
    return dx;
}

static gemm dx_call(gemm_family family, const float *dy, int M, int N, bool accumulate,
                    std::vector<gemm_product> products)
{
    gemm g = products_of(family).call(dy, M, N, accumulate, false, products);
    g.across = 1;
    return g;
}

/* By every third plan from `turn` on, or by all of them: the bits of `want`. */
static void dx_plans(gemm_family family, int turn, const matrix &m, const std::vector<float> &dy,
                     const std::vector<float> &before, const std::vector<float> &want, int M,
                     bool accumulate)
{
    device<float> ddy(dy), dx(before);
    const gemm g = dx_call(family, ddy, M, m.N, accumulate, {{dx, m.packed, m.K}});
    gemm_plan plan;
    for (int i = 0; gemm_plan_number(&g, i, &plan); i++) {
        if (i % 3 != turn % 3 && !full())
            continue;
        char what[160];
        snprintf(
            what, sizeof what,
            "dx: family %d M %d N %d K %d accumulate %d, %d tiles of 64 by %d, N of a block %d",
            family, M, m.N, m.K, accumulate, plan.tiles, plan.width, plan.unit);
        dx.put(before);
        products_of::run(g, plan);
        same_bits(dx.get(), want, what);
    }
}

/* All sizes of a batch: a row has its bits in any of them, split or not. */
static void dx_chains(void **)
{
    const int rows = 31, N = 2085, K = 75;
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        {
            const matrix m(N, K, 1, 2);
            const auto dy = floats((size_t)rows * N, 1, 1), before = floats((size_t)rows * K, 1, 3);
            const auto added = reference_dx(before, dy, m, rows, true, seed % 3);
            const auto plain = reference_dx(before, dy, m, rows, false, seed % 3);
            int turn = seed;
            for (int M : {1, 15, 16, 17, 64, 65, 130, 511, 512, 513, 1100}) {
                const bool accumulate = turn % 2;
                dx_plans(families[turn / 2 % 2], turn, m, repeated(dy, rows, N, M),
                         repeated(before, rows, K, M),
                         repeated(accumulate ? added : plain, rows, K, M), M, accumulate);
                turn++;
            }
        }
        cuda_emu_reset();
    }
}

/* Value heads', adapters', odd ones; N ends in each place of a stage. */
static void dx_shapes(void **)
{
    const struct {
        int M, N, K;
    } shape[] = {{1, 1, 1},    {33, 1, 200}, {20, 4, 64},  {70, 8, 65},   {9, 16, 130}, {65, 64, 4},
                 {17, 24, 16}, {5, 40, 130}, {3, 600, 16}, {12, 520, 33}, {2, 56, 9},   {5, 65, 1}};
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        int turn = seed;
        for (const auto &s : shape)
            for (gemm_family family : families) {
                const matrix m(s.N, s.K, 1, 5);
                const auto dy = floats((size_t)s.M * s.N, 1, 4),
                           before = floats((size_t)s.M * s.K, 1, 6);
                const bool accumulate = turn % 2;
                dx_plans(family, turn++, m, dy, before,
                         reference_dx(before, dy, m, s.M, accumulate, seed % 3), s.M, accumulate);
            }
        cuda_emu_reset();
    }
}

/* A weight that forward products take x unrounded for is none of theirs. */
static void dx_refusals(void **)
{
    const matrix m(8, 64, 1, 1);
    device<float> dy(8), dx(64);
    gemm g = dx_call(GEMM_MMA, dy, 1, 8, false, {{dx, m.packed, 64}});
    const gemm_plan plan = gemm_plan_of(&g);
    device<unsigned char> work(gemm_workspace(&g, &plan));
    g.precise = 1;
    assert_int_equal(gemm_run(NULL, &g, &plan, work), cudaErrorInvalidValue);
    g.precise = 0;
    const gemm_plan four = {64, 4, 0};
    assert_int_equal(gemm_run(NULL, &g, &four, work), cudaErrorInvalidValue);
    g.M = 0;
    assert_cuda(gemm_run(NULL, &g, &plan, NULL));
}

/* ---- dw += dy^T x */

static std::vector<float> shifted(std::vector<float> v, float by)
{
    for (float &x : v)
        x += by;
    return v;
}

struct sides {
    int N, K;
    std::vector<float> dy, x;
    device<float> dy_, x_;
    sides(int M, int N_, int K_, float mean = 0)
        : N(N_), K(K_), dy(shifted(floats((size_t)M * N, 1, 1), mean)),
          x(shifted(floats((size_t)M * K, 1, 2), mean)), dy_(dy), x_(x)
    {
    }
};

/* dw as gemm_backward.h says. Sequences end before the rows `end`; the first begins at `first`. */
static std::vector<float> reference_dw(std::vector<float> dw, const sides &s, int first,
                                       const std::vector<int> &end, int order)
{
    const auto dy = rounded(s.dy), x = rounded(s.x);
    for (int stop : end) {
        for (int c = first; c < stop; c += 512) {
            const int chunk = stop - c < 512 ? stop : c + 512;
            for (int n = 0; n < s.N; n++)
                for (int k = 0; k < s.K; k++) {
                    float sum = 0;
                    for (int m = c; m < chunk; m += 16)
                        sum = reference_step(sum, &dy[(size_t)m * s.N + n], s.N,
                                             &x[(size_t)m * s.K + k], s.K,
                                             chunk - m < 16 ? chunk - m : 16, order);
                    dw[(size_t)n * s.K + k] += sum;
                }
        }
        first = stop;
    }
    return dw;
}

/* Sequences of `rows` rows each from `first` on, in one call. plan_number < 0: its own. */
static bool add_dw(gemm_family family, int plan_number, float *dw, const sides &s, int first,
                   const std::vector<int> &rows, char *what, size_t room)
{
    std::vector<int> end;
    for (int count : rows)
        end.push_back((end.empty() ? 0 : end.back()) + count);
    gemm_dw g = {};
    g.chunks = gemm_chunks(end.data(), (int)end.size(), NULL, &g.rows);
    std::vector<gemm_chunk> chunk((size_t)g.chunks);
    assert_int_equal(gemm_chunks(end.data(), (int)end.size(), chunk.data(), &g.rows), g.chunks);
    device<gemm_chunk> there(chunk);
    g.dw = dw;
    g.dy = s.dy_.at + (size_t)first * s.N;
    g.x = s.x_.at + (size_t)first * s.K;
    g.N = s.N;
    g.K = s.K;
    g.chunk = there;
    g.family = family;
    g.processors = 132;
    gemm_plan plan = gemm_dw_plan_of(&g);
    if (plan_number >= 0 && !gemm_dw_plan_number(&g, plan_number, &plan))
        return false;
    snprintf(what, room, "dw: family %d N %d K %d, %d chunks, %d tiles of 64 by %d, unit %d",
             family, s.N, s.K, g.chunks, plan.tiles, plan.width, plan.unit);
    device<unsigned char> work(gemm_dw_workspace(&g, &plan));
    assert_cuda(gemm_dw_run(NULL, &g, &plan, work));
    cudaDeviceSynchronize();
    return true;
}

static std::vector<int> ends_of(const std::vector<int> &rows)
{
    std::vector<int> end;
    for (int count : rows)
        end.push_back((end.empty() ? 0 : end.back()) + count);
    return end;
}

static void dw_case(int turn, int N, int K, const std::vector<int> &rows, int order)
{
    const std::vector<int> end = ends_of(rows);
    const sides s(end.back(), N, K);
    const auto before = floats((size_t)N * K, 1, 3);
    const auto want = reference_dw(before, s, 0, end, order);
    device<float> dw(before);
    char what[160];
    for (gemm_family family : families)
        for (int plan = 0;; plan++) {
            dw.put(before);
            if (plan % 3 != turn % 3 && !full())
                continue;
            if (!add_dw(family, plan, dw, s, 0, rows, what, sizeof what))
                break;
            same_bits(dw.get(), want, what);
        }
}

static void dw_chains(void **)
{
    for (int seed = 0; seed < schedules(); seed++) {
        int turn = seed;
        schedule(seed);
        for (int M : {1, 15, 16, 17, 64, 65, 130, 511, 512, 513, 1100}) {
            dw_case(turn++, 75, 70, {M}, seed % 3);
            cuda_emu_reset();
        }
        for (const auto &rows : {std::vector<int>{1, 0, 15, 16, 600, 17, 64, 513},
                                 {130, 1, 129},
                                 {512, 512, 3},
                                 {7, 7, 7, 7, 7, 7, 7, 7, 7}}) {
            dw_case(turn++, 70, 136, rows, seed % 3);
            cuda_emu_reset();
        }
    }
}

/* Value heads', adapters' with B and with A, more columns than a block's. */
static void dw_shapes(void **)
{
    const struct {
        int N, K;
    } shape[] = {{1, 1}, {1, 300}, {200, 1}, {200, 4}, {8, 130}, {64, 65}, {65, 64}, {130, 150}};
    for (int seed = 0; seed < schedules(); seed++) {
        int turn = seed;
        schedule(seed);
        for (const auto &s : shape) {
            dw_case(turn++, s.N, s.K, {50, 20}, seed % 3);
            cuda_emu_reset();
        }
    }
}

/* Every cut of five sequences into calls has the bits of one call. */
static void micro_batches(void **)
{
    const std::vector<int> rows = {40, 530, 1, 77, 16};
    const int N = 70, K = 40, sequences = (int)rows.size();
    for (int seed = 0; seed < schedules(); seed++) {
        schedule(seed);
        {
            const sides s(ends_of(rows).back(), N, K);
            const auto before = floats((size_t)N * K, 1, 3);
            const auto want = reference_dw(before, s, 0, ends_of(rows), seed % 3);
            device<float> dw(before);
            char what[160];
            for (int cuts = 0; cuts < 1 << (sequences - 1); cuts++) {
                dw.put(before);
                int first = 0;
                std::vector<int> call;
                for (int i = 0; i < sequences; i++) {
                    call.push_back(rows[(size_t)i]);
                    if (i + 1 < sequences && !(cuts >> i & 1))
                        continue;
                    add_dw(families[cuts % 2], -1, dw, s, first, call, what, sizeof what);
                    first += ends_of(call).back();
                    call.clear();
                }
                same_bits(dw.get(), want, "micro-batches");
            }
        }
        cuda_emu_reset();
    }
}

/* Tensor cores that truncate pull each sum toward zero. Chunks bound how far: by less than a unit
 * in the last place for each of 32 steps. One chain over all rows has 4096 steps. */
static void long_sums(void **)
{
    const int M = 65536, N = full() ? 64 : 4, K = full() ? 128 : 4;
    cuda_emu_seed(0);
    cuda_emu_mma(emu::MMA_TRUNCATE);
    {
        const sides s(M, N, K, 1);
        const auto dy = rounded(s.dy), x = rounded(s.x);
        device<float> dw(std::vector<float>((size_t)N * K));
        char what[160];
        add_dw(GEMM_HOPPER, -1, dw, s, 0, {M}, what, sizeof what);
        const auto got = dw.get();
        double bias = 0, worst = 0, chain_bias = 0;
        for (int n = 0; n < N; n++)
            for (int k = 0; k < K; k++) {
                double sum = 0;
                float chain = 0;
                for (int m = 0; m < M; m++)
                    sum += (double)dy[(size_t)m * N + n] * (double)x[(size_t)m * K + k];
                for (int m = 0; m < M; m += 16)
                    chain = reference_step(chain, &dy[(size_t)m * N + n], N, &x[(size_t)m * K + k],
                                           K, 16, emu::MMA_TRUNCATE);
                const double off = ((double)got[(size_t)n * K + k] - sum) / fabs(sum);
                bias += off / (N * K);
                worst = fmax(worst, fabs(off));
                chain_bias += ((double)chain - sum) / fabs(sum) / (N * K);
            }
        print_message("dw over %d rows, truncating: bias %.3g of the sum, worst %.3g; in one chain "
                      "%.3g\n",
                      M, bias, worst, chain_bias);
        if (!(fabs(bias) < 32 * 0x1p-24) || !(worst < 32 * 0x1p-23))
            fail_msg("bias %g, worst %g of the sum", bias, worst);
    }
    cuda_emu_reset();
}

static void dw_refusals(void **)
{
    int rows = 1;
    assert_int_equal(gemm_chunks(NULL, 0, NULL, &rows), 0);
    assert_int_equal(rows, 0);
    gemm_dw g = {};
    g.N = g.K = 8;
    g.processors = 1;
    gemm_plan plan = gemm_dw_plan_of(&g);
    assert_int_equal(gemm_dw_workspace(&g, &plan), 0);
    assert_cuda(gemm_dw_run(NULL, &g, &plan, NULL));
    g.N = 0;
    assert_int_equal(gemm_dw_run(NULL, &g, &plan, NULL), cudaErrorInvalidValue);
    g.N = 8;
    plan.width = 96;
    assert_int_equal(gemm_dw_run(NULL, &g, &plan, NULL), cudaErrorInvalidValue);
}

TESTS(cmocka_unit_test(dx_chains), cmocka_unit_test(dx_shapes), cmocka_unit_test(dx_refusals),
      cmocka_unit_test(dw_chains), cmocka_unit_test(dw_shapes), cmocka_unit_test(micro_batches),
      cmocka_unit_test(long_sums), cmocka_unit_test(dw_refusals))
