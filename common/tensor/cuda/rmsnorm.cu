/* Root mean square norm with the residual's sum in the same pass. A block for each row; thread t sums pieces of 8 t, t + 128,
 * ... ascending, then the block's tree: an order fixed by C. */
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/device.h"

enum { THREADS = 128 };

__global__ void __launch_bounds__(THREADS)
rmsnorm_kernel(bf16 *y, float *r, float *x, const float *add, const bf16 *weight, float eps, int C)
{
    SHARED(float[THREADS / 32], sums);
    x += (size_t)blockIdx.x * C;
    y += (size_t)blockIdx.x * C;
    float sum = 0.0f;
    for (int i = threadIdx.x * 8; i < C; i += THREADS * 8)
#pragma unroll
        for (int half = i; half < i + 8; half += 4) {
            float4 v = *(const float4 *)(x + half);
            if (add) {
                const float4 a = *(const float4 *)(add + (size_t)blockIdx.x * C + half);
                v = make_float4(__fadd_rn(v.x, a.x), __fadd_rn(v.y, a.y), __fadd_rn(v.z, a.z), __fadd_rn(v.w, a.w));
                *(float4 *)(x + half) = v;
            }
            sum = __fmaf_rn(v.x, v.x, sum);
            sum = __fmaf_rn(v.y, v.y, sum);
            sum = __fmaf_rn(v.z, v.z, sum);
            sum = __fmaf_rn(v.w, v.w, sum);
        }
    sum = block_sum<THREADS>(sum, sums);
    const float scale = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(__fdiv_rn(sum, (float)C), eps)));
    if (r && threadIdx.x == 0)
        r[blockIdx.x] = scale;
    for (int i = threadIdx.x * 8; i < C; i += THREADS * 8) {
        bf16 out[8];
#pragma unroll
        for (int e = 0; e < 8; e++)
            out[e] = __float2bfloat16_rn(__fmul_rn(__fmul_rn(x[i + e], scale), __bfloat162float(weight[i + e])));
        uint32_t words[4];
#pragma unroll
        for (int e = 0; e < 4; e++)
            words[e] = (uint32_t)__bfloat16_as_ushort(out[2 * e]) | (uint32_t)__bfloat16_as_ushort(out[2 * e + 1]) << 16;
        *(uint4 *)(y + i) = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

cudaError_t rmsnorm(cudaStream_t stream, bf16 *y, float *r, float *x, const float *add, const bf16 *weight, float eps, int N, int C)
{
    if (C % 8)
        return cudaErrorInvalidValue;
    return launch(rmsnorm_kernel, dim3(N), dim3(THREADS), 0, stream, y, r, x, add, weight, eps, C);
}
