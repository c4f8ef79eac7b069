/* The backward of what goes element by element: the chains of cpu/{swiglu,gelu}_isa.c. */
#include "tensor/cuda/activation.h"
#include "tensor/cuda/each.h"
#include "tensor/cuda/rows_backward.h"

/* du = dy g s; dg = dy u s (1 + g (1 - s)), s = sigmoid(g). */
struct gating_slope {
    __device__ float2 operator()(float dy, float gate, float up) const
    {
        const float s = sigmoid(gate);
        const float slope = __fmul_rn(s, __fmaf_rn(gate, __fsub_rn(1.0f, s), 1.0f));
        return make_float2(__fmul_rn(__fmul_rn(dy, up), slope), __fmul_rn(dy, __fmul_rn(gate, s)));
    }
};

cudaError_t rows_swiglu_backward(cudaStream_t stream, float *dgate, float *dup, const float *dy,
                                 const float *gate, const float *up, size_t count)
{
    return each_pair(stream, dgate, dup, dy, gate, up, gating_slope(), count);
}

/* dx = dy (share + x density) */
struct gelu_slope {
    __device__ float operator()(float dy, float x) const
    {
        return __fmul_rn(dy, __fmaf_rn(x, normal_density(x), normal_share(x)));
    }
};
struct gelu_slope_by_tanh {
    __device__ float operator()(float dy, float x) const
    {
        const float odds = tanh_odds(x), share = tanh_share(odds);
        return __fmul_rn(dy, __fmaf_rn(x, tanh_density(x, odds, share), share));
    }
};

cudaError_t rows_gelu_backward(cudaStream_t stream, float *dx, const float *dy, const float *x,
                               size_t count, int by_tanh)
{
    return by_tanh ? each(stream, dx, dy, x, gelu_slope_by_tanh(), count)
                   : each(stream, dx, dy, x, gelu_slope(), count);
}
