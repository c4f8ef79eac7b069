/* Cases for both families of products, and gemm.h's order as plain loops.
 *
 *     static void chains(void **) { products_of(GEMM_MMA).chains(); } */
#pragma once
#include "tensor/cuda/gemm.h"
#include "test.h"

struct matrix {
    int N, K;
    std::vector<bf16> w;
    device<unsigned char> packed;
    matrix(int N_, int K_, float size, uint64_t seed)
        : N(N_), K(K_), w(bf16s((size_t)N_ * K_, size, seed)), packed(packed_bytes(N_, K_))
    {
        device<bf16> rows(w);
        assert_cuda(pack_weight(NULL, packed, (const uint16_t *)rows.at, N, K, 0, N));
        cudaDeviceSynchronize();
    }
};

/* A step of the tensor cores over pieces of x. */
static inline float chunk_sum(const float *w, const float *x, int K, int order)
{
    float sum = 0;
    for (int k = 0; k < K; k += 16)
        sum = reference_step(sum, w + k, 1, x + k, 1, K - k < 16 ? K - k : 16, order);
    return sum;
}

static inline std::vector<float> rounded(std::vector<float> x)
{
    for (float &v : x)
        v = __bfloat162float(__float2bfloat16_rn(v));
    return x;
}

/* y (M,N) as gemm.h says; y as before if accumulate. */
static inline std::vector<float> reference_product(std::vector<float> y,
                                                   const std::vector<float> &x, const matrix &m,
                                                   int M, bool accumulate, bool precise, int order)
{
    const int N = m.N, K = m.K;
    const auto w = widen(m.w);
    std::vector<float> piece[3] = {rounded(x), {}, {}}, rest = x;
    for (int p = 1; p < 3; p++) {
        for (size_t i = 0; i < x.size(); i++)
            rest[i] -= piece[p - 1][i];
        piece[p] = rounded(rest);
    }
    for (int t = 0; t < M; t++)
        for (int n = 0; n < N; n++) {
            float &at = y[(size_t)t * N + n];
            for (int s = 0; s < K; s += 2048) {
                float span = 0;
                for (int c = s; c < K && c < s + 2048; c += 512) {
                    float part[3];
                    for (int p = 0; p < (precise ? 3 : 1); p++)
                        part[p] = chunk_sum(&w[(size_t)n * K + c], &piece[p][(size_t)t * K + c],
                                            K - c < 512 ? K - c : 512, order);
                    const float sum = precise ? (part[2] + part[1]) + part[0] : part[0];
                    span = c == s ? sum : span + sum;
                }
                at = s || accumulate ? at + span : span;
            }
        }
    return y;
}

/* M rows of a matrix (rows,C), in the order i * 37 % rows: many rows, and the references of few. */
static inline std::vector<float> repeated(const std::vector<float> &v, int rows, int C, int M)
{
    std::vector<float> out;
    for (int i = 0; i < M; i++)
        out.insert(out.end(), v.begin() + i * 37 % rows * C, v.begin() + (i * 37 % rows + 1) * C);
    return out;
}

struct products_of {
    gemm_family family;
    explicit products_of(gemm_family f) : family(f)
    {
    }

    gemm call(const float *x, int M, int K, bool accumulate, bool precise,
              std::vector<gemm_product> products) const
    {
        gemm g = {};
        g.x = x;
        g.M = M;
        g.K = K;
        g.count = (int)products.size();
        for (int i = 0; i < g.count; i++)
            g.product[i] = products[(size_t)i];
        g.accumulate = accumulate;
        g.precise = precise;
        g.family = family;
        g.processors = 132;
        return g;
    }

    static void run(const gemm &g, const gemm_plan &plan)
    {
        device<unsigned char> work(gemm_workspace(&g, &plan));
        assert_cuda(gemm_run(NULL, &g, &plan, work));
        cudaDeviceSynchronize();
    }

    /* By every third plan from `turn` on, or by all of them: the bits of `want`. */
    void plans(int turn, const matrix &m, const std::vector<float> &x,
               const std::vector<float> &before, const std::vector<float> &want, int M,
               bool accumulate, bool precise, const char *name) const
    {
        device<float> dx(x), y(before);
        const gemm g = call(dx, M, m.K, accumulate, precise, {{y, m.packed, m.N}});
        gemm_plan plan;
        for (int i = 0; gemm_plan_number(&g, i, &plan); i++) {
            if (i % 3 != turn % 3 && !full())
                continue;
            char what[160];
            snprintf(
                what, sizeof what,
                "%s: M %d N %d K %d accumulate %d precise %d, %d tiles of 64 by %d, K of a block %d",
                name, M, m.N, m.K, accumulate, precise, plan.tiles, plan.width, plan.unit);
            y.put(before);
            run(g, plan);
            same_bits(y.get(), want, what);
        }
    }

    /* Odd shapes and all sizes of a batch: a row has its bits in any batch, split or not. */
    void chains(bool precise, int N, int K, const std::vector<int> &batches) const
    {
        const int rows = 31;
        for (int seed = 0; seed < schedules(); seed++) {
            schedule(seed);
            {
                const matrix m(N, K, 1, 2);
                const auto x = floats((size_t)rows * K, 1, 1),
                           before = floats((size_t)rows * N, 1, 3);
                const auto added = reference_product(before, x, m, rows, true, precise, seed % 3);
                const auto plain = reference_product(before, x, m, rows, false, precise, seed % 3);
                int turn = seed;
                for (int M : batches) {
                    const bool accumulate = turn % 2;
                    plans(turn++, m, repeated(x, rows, K, M), repeated(before, rows, N, M),
                          repeated(accumulate ? added : plain, rows, N, M), M, accumulate, precise,
                          "chains");
                }
            }
            cuda_emu_reset();
        }
    }

    /* LoRA's, a value head's, a small model's, a vocabulary's; many spans; many tokens. */
    void shapes() const
    {
        const struct {
            int M, N, K;
        } shape[] = {{1, 1, 1},    {3, 1, 600},  {9, 4, 64},   {5, 8, 65},     {20, 64, 4},
                     {70, 16, 16}, {2, 4097, 9}, {3, 9, 4700}, {2100, 70, 16}, {12, 129, 520}};
        for (int seed = 0; seed < schedules(); seed++) {
            schedule(seed);
            int turn = seed;
            for (const auto &s : shape) {
                const matrix m(s.N, s.K, 1, 5);
                const auto x = floats((size_t)s.M * s.K, 1, 4),
                           before = floats((size_t)s.M * s.N, 1, 6);
                for (int precise = 0; precise < 2; precise++)
                    plans(turn++, m, x, before,
                          reference_product(before, x, m, s.M, true, precise, seed % 3), s.M, true,
                          precise, "shapes");
            }
            cuda_emu_reset();
        }
    }

    /* Products of one x in one launch are each alone. */
    void several() const
    {
        const int K = 1100;
        for (int seed = 0; seed < schedules(); seed++) {
            schedule(seed);
            for (int M : {1, 40, 150}) {
                const matrix a(70, K, 1, 1), b(8, K, 1, 2), c(1, K, 1, 3), d(130, K, 1, 4);
                const matrix *const all[] = {&a, &b, &c, &d};
                const auto x = floats((size_t)M * K, 1, 5);
                device<float> dx(x), ya((size_t)M * a.N), yb((size_t)M * b.N), yc((size_t)M * c.N),
                    yd((size_t)M * d.N);
                device<float> *const y[] = {&ya, &yb, &yc, &yd};
                const gemm g = call(dx, M, K, false, false,
                                    {{ya, a.packed, a.N},
                                     {yb, b.packed, b.N},
                                     {yc, c.packed, c.N},
                                     {yd, d.packed, d.N}});
                gemm_plan plan;
                std::vector<float> alone[4];
                for (int p = 0; p < 4; p++) {
                    const gemm one =
                        call(dx, M, K, false, false, {{*y[p], all[p]->packed, all[p]->N}});
                    run(one, gemm_plan_of(&one));
                    alone[p] = y[p]->get();
                }
                for (int i = 0; gemm_plan_number(&g, i, &plan); i++) {
                    if (i % 3 != seed % 3 && !full())
                        continue;
                    for (int p = 0; p < 4; p++)
                        cudaMemset(y[p]->at, 0xff, y[p]->count * sizeof(float));
                    run(g, plan);
                    for (int p = 0; p < 4; p++)
                        same_bits(y[p]->get(), alone[p], "several");
                }
            }
            cuda_emu_reset();
        }
    }

    /* A precise product is as near to the sum in double as one in float32 would be. */
    void precision() const
    {
        const int N = 40, K = 4096, M = 4;
        for (int seed = 0; seed < 3; seed++) {
            schedule(seed);
            {
                const matrix m(N, K, 1, 7);
                const auto x = floats((size_t)M * K, 1, 8), w = widen(m.w);
                device<float> dx(x), y((size_t)M * N);
                const gemm g = call(dx, M, K, false, true, {{y, m.packed, N}});
                run(g, gemm_plan_of(&g));
                const auto got = y.get();
                double worst = 0;
                for (int t = 0; t < M; t++)
                    for (int n = 0; n < N; n++) {
                        double sum = 0, size = 0;
                        for (int k = 0; k < K; k++) {
                            const double p =
                                (double)x[(size_t)t * K + k] * (double)w[(size_t)n * K + k];
                            sum += p;
                            size += p * p;
                        }
                        worst =
                            fmax(worst, fabs((double)got[(size_t)t * N + n] - sum) / sqrt(size));
                    }
                if (!(worst <= 2e-6))
                    fail_msg("a precise product is off by %g of its size, allowed 2e-6", worst);
                if (full())
                    print_message("precise, rounding %d: %g of its size\n", seed % 3, worst);
            }
            cuda_emu_reset();
        }
    }

    /* Impossible calls are refused; a call without rows does nothing. */
    void refusals() const
    {
        const matrix m(8, 64, 1, 1);
        device<float> x(64), y(8);
        gemm g = call(x, 1, 64, false, false, {{y, m.packed, 8}});
        const gemm_plan plan = gemm_plan_of(&g);
        device<unsigned char> work(gemm_workspace(&g, &plan));
        const auto refused = [&](const gemm &bad, gemm_plan p) {
            assert_int_equal(gemm_run(NULL, &bad, &p, work), cudaErrorInvalidValue);
        };
        gemm bad = g;
        bad.count = 0;
        refused(bad, plan);
        bad.count = GEMM_PRODUCTS + 1;
        refused(bad, plan);
        bad = g;
        bad.K = 0;
        refused(bad, plan);
        bad = g;
        bad.product[0].N = -1;
        refused(bad, plan);
        refused(g, {plan.width * 2, plan.tiles, plan.unit});
        refused(g, {plan.width, 3, plan.unit});
        gemm many = call(x, 200, 14336, false, false, {{y, m.packed, 4096}}); // split for few rows
        const size_t most = gemm_workspace_most(&many);
        size_t last = 0;
        bool less = false;
        for (many.M = 1; many.M <= 200; many.M++) {
            const gemm_plan own = gemm_plan_of(&many);
            const size_t bytes = gemm_workspace(&many, &own);
            assert_true(bytes <= most);
            less |= bytes < last;
            last = bytes;
        }
        assert_true(less);
        g.M = 0;
        assert_int_equal(gemm_workspace(&g, &plan), 0);
        assert_int_equal(gemm_workspace_most(&g), 0);
        assert_cuda(gemm_run(NULL, &g, &plan, NULL));
    }
};
