/* Products of the backward: the documented chains bit for bit; calls over consecutive rows are one
 * call over all. */
#include "test.h"

static void backward(int seed)
{
    const int N = 136, K = 200, M = 96;
    const auto dy = bf16s((size_t)M * N, 1, 1), w = bf16s((size_t)N * K, 1, 2),
               x = bf16s((size_t)M * K, 1, 3);
    const auto fdy = widen(dy), fw = widen(w), fx = widen(x);
    const auto dw0 = floats((size_t)N * K, 1, 4);
    const int order = seed % 3;
    schedule(seed);
    std::vector<float> want_dx((size_t)M * K), want_dw = dw0;
    for (int m = 0; m < M; m++)
        for (int k = 0; k < K; k++)
            for (int n = 0; n < N; n += 16)
                want_dx[(size_t)m * K + k] =
                    reference_step(want_dx[(size_t)m * K + k], &fw[(size_t)n * K + k], K,
                                   &fdy[(size_t)m * N + n], 1, N - n < 16 ? N - n : 16, order);
    for (int n = 0; n < N; n++)
        for (int k = 0; k < K; k++)
            for (int m = 0; m < M; m += 16)
                want_dw[(size_t)n * K + k] =
                    reference_step(want_dw[(size_t)n * K + k], &fdy[(size_t)m * N + n], N,
                                   &fx[(size_t)m * K + k], K, 16, order);
    device<bf16> ddy(dy), dw_(w), dx_(x);
    device<float> dx((size_t)M * K), dw(dw0), dw2(dw0);
    assert_cuda(matmul_dx(NULL, dx, ddy, dw_, M, N, K, false));
    assert_cuda(matmul_dw(NULL, dw, ddy, dx_, M, N, K));
    same_bits(dx.get(), want_dx, "matmul_dx");
    same_bits(dw.get(), want_dw, "matmul_dw");
    assert_cuda(matmul_dw(NULL, dw2, ddy, dx_, 48, N, K));
    assert_cuda(matmul_dw(NULL, dw2, ddy + 48 * N, dx_ + 48 * K, 48, N, K));
    same_bits(dw2.get(), want_dw, "matmul_dw in two calls");
}

static void backward_of_schedules(void **)
{
    for (int seed = 0; seed < schedules(); seed++) {
        backward(seed);
        cuda_emu_reset();
    }
}

TESTS(cmocka_unit_test(backward_of_schedules))
