/* What the tests share: random data, comparison of bits, references in plain C. */
#pragma once
#include "../cuda_emu/cuda_emu.h"
#include "tensor/cuda/kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

extern int failures;
template <class T> static inline void same_bits(const std::vector<T> &a, const std::vector<T> &b, const char *what)
{
    size_t differ = 0, first = 0;
    for (size_t i = 0; i < a.size(); i++)
        if (memcmp(&a[i], &b[i], sizeof(T)) && !differ++)
            first = i;
    if (a.size() != b.size() || differ) {
        printf("FAILED %s: %zu of %zu values differ, the first at %zu\n", what, differ, a.size(), first);
        failures++;
    }
}
static inline void near(const std::vector<float> &a, const std::vector<double> &b, double absolute, const char *what)
{
    double worst = 0;
    for (size_t i = 0; i < a.size(); i++)
        worst = fabs(a[i] - b[i]) <= worst ? worst : fabs(a[i] - b[i]);
    if (!(worst <= absolute)) {
        printf("FAILED %s: off by %g, allowed %g\n", what, worst, absolute);
        failures++;
    }
}
static inline std::vector<float> widen(const std::vector<bf16> &v)
{
    std::vector<float> f(v.size());
    for (size_t i = 0; i < v.size(); i++)
        f[i] = __bfloat162float(v[i]);
    return f;
}

/* Plain C (reference.cpp). */
float reference_step(float c, const float *a, ptrdiff_t a_step, const float *b, ptrdiff_t b_step, int k, int order);
float reference_exp(float x);
double reference_log(float x);
float reference_tree(float *warp_values); // of 32, as warp_sum
