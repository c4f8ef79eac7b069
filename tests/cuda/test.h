/* For tests of kernels: cmocka, random data, comparison of bits, references in plain C.
 *
 *     static void sums(void **)
 *     {
 *         for (int seed = 0; seed < schedules(); seed++) {
 *             schedule(seed);                        -- order of threads, rounding of mma
 *             device<float> x(floats(1000, 1, 1)), y(1000);
 *             assert_cuda(add(NULL, y, x, 1000));
 *             same_bits(y.get(), want, "add");
 *         }
 *     }
 *     TESTS(cmocka_unit_test(sums)) */
#pragma once
#include "../cuda_emu/cuda_emu.h"
#include "tensor/cuda/ptx.h"
#include <functional>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* cmocka needs those before it, and knows no C++. */
extern "C" {
#include <cmocka.h>
}

#define TESTS(...)                                                                                 \
    int main()                                                                                     \
    {                                                                                              \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        const char *pattern = getenv("RLHFD_EMU_TEST");                                            \
        cmocka_set_test_filter(pattern ? pattern : "*");                                           \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }

/* More seeds and sizes: ./dev test emu. */
static inline bool full()
{
    const char *words = getenv("RLHFD_EMU");
    return words && !strcmp(words, "full");
}

/* How many schedules a test tries. The checked build finds what it finds in any of them. */
static inline int schedules()
{
    return full() ? emu::checked ? 3 : 9 : emu::checked ? 1 : 3;
}

static inline void schedule(int seed)
{
    cuda_emu_seed((uint64_t)seed);
    cuda_emu_mma(seed % 3);
}

#define assert_cuda(call) cuda_ok((call), #call, __FILE__, __LINE__)
static inline void cuda_ok(cudaError_t error, const char *call, const char *file, int line)
{
    if (error != cudaSuccess) {
        print_error("%s: %s\n", call, cudaGetErrorString(error));
        _fail(file, line);
    }
}

static inline double seconds()
{
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline float noise(uint64_t *state) // about normal, of size 1
{
    double s = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        s += (double)(*state >> 40) / (1 << 24) - 0.5;
    }
    return (float)(s * 1.7);
}
static inline std::vector<float> floats(size_t n, float size, uint64_t seed)
{
    std::vector<float> v(n);
    for (float &x : v)
        x = size * noise(&seed);
    return v;
}
static inline std::vector<bf16> bf16s(size_t n, float size, uint64_t seed)
{
    std::vector<bf16> v(n);
    for (bf16 &x : v)
        x = __float2bfloat16_rn(size * noise(&seed));
    return v;
}

template <class T>
static inline void same_bits(const std::vector<T> &a, const std::vector<T> &b, const char *what)
{
    size_t differ = 0, first = 0;
    for (size_t i = 0; i < a.size() && i < b.size(); i++)
        if (memcmp(&a[i], &b[i], sizeof(T)) && !differ++)
            first = i;
    if (a.size() != b.size())
        fail_msg("%s: %zu values, not %zu", what, a.size(), b.size());
    if (differ)
        fail_msg("%s: %zu of %zu values differ, the first at %zu", what, differ, a.size(), first);
}

static inline void near(const std::vector<float> &a, const std::vector<double> &b, double absolute,
                        const char *what)
{
    double worst = 0;
    for (size_t i = 0; i < a.size(); i++)
        worst = fabs(a[i] - b[i]) <= worst ? worst : fabs(a[i] - b[i]);
    if (!(worst <= absolute))
        fail_msg("%s: off by %g, allowed %g", what, worst, absolute);
}

static inline std::vector<float> widen(const std::vector<bf16> &v)
{
    std::vector<float> f(v.size());
    for (size_t i = 0; i < v.size(); i++)
        f[i] = __bfloat162float(v[i]);
    return f;
}

/* Plain C (reference.cpp). */
float reference_step(float c, const float *a, ptrdiff_t a_step, const float *b, ptrdiff_t b_step,
                     int k, int order);
float reference_exp(float x);
double reference_log(double x);
float reference_tree(float *warp_values); // of 32, as warp_sum

/* `run` in a process of its own ends with a message of the emulator that has `part` in it. */
void assert_found(const char *part, const std::function<void()> &run);
