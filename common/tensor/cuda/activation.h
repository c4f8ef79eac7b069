/* Units of the feed-forward network and what their slopes are made of: the chains of
 * cpu/{swiglu,gelu}_isa.c.
 *
 *     y = __fmul_rn(x, normal_share(x));                     -- gelu
 *     y = __fmul_rn(x, tanh_share(tanh_odds(x)));            -- its approximation */
#pragma once
#include "tensor/cuda/device.h"

__device__ __forceinline__ float sigmoid(float x)
{
    return __fdiv_rn(1.0f, __fadd_rn(1.0f, exact_exp(__fmul_rn(x, -1.0f))));
}

template <int N> __device__ __forceinline__ float polynomial(float x, const float (&coefficient)[N])
{
    float p = coefficient[0];
#pragma unroll
    for (int i = 1; i < N; i++)
        p = __fmaf_rn(p, x, coefficient[i]);
    return p;
}

/* Phi(x) = (1 + erf(s)) / 2, s = x / sqrt(2): see cpu/gelu_isa.c. */
__device__ __forceinline__ float normal_share(float x)
{
    const float near_zero[] = {7.853861353153693e-5f, -8.010193625184903e-4f,
                               5.188327685732524e-3f, -2.685381193529856e-2f,
                               1.128358514861418e-1f, -3.761262582423300e-1f,
                               1.128379165726710e+0f};
    const float far[] = {0.17087277f,  -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                         -0.18628806f, 0.09678418f,  0.37409196f, 1.00002368f,  -1.26551223f};
    const float s = __fmul_rn(x, 0.70710678f), square = __fmul_rn(s, s);
    const float minus = __fmul_rn(s, -1.0f), size = s > minus ? s : minus;
    if (size < 1.0f)
        return __fmaf_rn(__fmul_rn(s, 0.5f), polynomial(square, near_zero), 0.5f);
    const float t = __fdiv_rn(1.0f, __fmaf_rn(size, 0.5f, 1.0f));
    const float power = __fsub_rn(polynomial(t, far), square);
    const float tail = __fmul_rn(__fmul_rn(t, 0.5f), exact_exp(power));
    return x < 0.0f ? tail : __fsub_rn(1.0f, tail);
}

/* The density at x, by which Phi grows: e^(-x^2 / 2) / sqrt(2 pi). */
__device__ __forceinline__ float normal_density(float x)
{
    return __fmul_rn(exact_exp(__fmul_rn(__fmul_rn(x, x), -0.5f)), 0.39894228f);
}

/* (1 + tanh(u)) / 2 = sigmoid(2u), 2u = x (LINE + CUBE x^2). */
constexpr float TANH_LINE = 1.5957691216f; // 2 sqrt(2 / pi)
constexpr float TANH_CUBE = 0.0713548163f; // 0.044715 of that

/* e^-2u, which is (1 - share) / share. */
__device__ __forceinline__ float tanh_odds(float x)
{
    const float slope = __fmaf_rn(__fmul_rn(x, x), TANH_CUBE, TANH_LINE);
    return exact_exp(__fmul_rn(__fmul_rn(x, slope), -1.0f));
}

__device__ __forceinline__ float tanh_share(float odds)
{
    return __fdiv_rn(1.0f, __fadd_rn(1.0f, odds));
}

/* share (1 - share) d2u/dx */
__device__ __forceinline__ float tanh_density(float x, float odds, float share)
{
    const float slope = __fmaf_rn(__fmul_rn(x, x), 3 * TANH_CUBE, TANH_LINE);
    return __fmul_rn(__fmul_rn(__fmul_rn(odds, share), share), slope);
}
