/* What works element by element: embedding, the gate. */
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/device.h"

enum { THREADS = 128 };

__global__ void embed_kernel(float *y, const bf16 *table, const int32_t *token, int C)
{
    const size_t row = token[blockIdx.x];
    for (int c = threadIdx.x; c < C; c += THREADS)
        y[(size_t)blockIdx.x * C + c] = __bfloat162float(table[row * C + c]);
}

cudaError_t embed(cudaStream_t stream, float *y, const bf16 *table, const int32_t *token, int N, int C)
{
    return launch(embed_kernel, dim3(N), dim3(THREADS), 0, stream, y, table, token, C);
}

__global__ void swiglu_kernel(bf16 *y, const float *gate_up, int C)
{
    const float *gate = gate_up + (size_t)blockIdx.x * 2 * C, *up = gate + C;
    for (int c = threadIdx.x; c < C; c += THREADS) {
        const float g = gate[c], silu = __fdiv_rn(g, __fadd_rn(1.0f, exact_exp(-g)));
        y[(size_t)blockIdx.x * C + c] = __float2bfloat16_rn(__fmul_rn(silu, up[c]));
    }
}

cudaError_t swiglu(cudaStream_t stream, bf16 *y, const float *gate_up, int N, int C)
{
    return launch(swiglu_kernel, dim3(N), dim3(THREADS), 0, stream, y, gate_up, C);
}
