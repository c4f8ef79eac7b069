/* What works element by element: embedding, rotation and the pages' new rows, the gate. */
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

/* A block for each row; a thread for each pair (d, d + D/2) of each head, and of the values. */
__global__ void rope_append_kernel(bf16 *q, const float *qkv, const float *cos, const float *sin, const int32_t *sequence,
                                   const int32_t *position, kv_view kv, int H, int K, int D)
{
    const int n = blockIdx.x, p = position[n], half = D / 2;
    const size_t page = kv.table[sequence[n] * kv.pages + p / KV_PAGE];
    const float *row = qkv + (size_t)n * (H + 2 * K) * D;
    for (int i = threadIdx.x; i < (H + 2 * K) * half; i += THREADS) {
        const int head = i / half, d = i % half;
        float x = row[head * D + d], y = row[head * D + d + half];
        if (head < H + K) {
            const float c = cos[p * half + d], s = sin[p * half + d];
            const float turned = __fmaf_rn(x, c, -__fmul_rn(y, s));
            y = __fmaf_rn(y, c, __fmul_rn(x, s));
            x = turned;
        }
        bf16 *to = head < H       ? q + ((size_t)n * H + head) * D
                   : head < H + K ? kv.k + ((page * K + head - H) * KV_PAGE + p % KV_PAGE) * D
                                  : kv.v + ((page * K + head - H - K) * KV_PAGE + p % KV_PAGE) * D;
        to[d] = __float2bfloat16_rn(x);
        to[d + half] = __float2bfloat16_rn(y);
    }
}

cudaError_t rope_append(cudaStream_t stream, bf16 *q, const float *qkv, const float *cos, const float *sin, const int32_t *sequence,
                        const int32_t *position, kv_view kv, int N, attention_shape a)
{
    return launch(rope_append_kernel, dim3(N), dim3(THREADS), 0, stream, q, qkv, cos, sin, sequence, position, kv, a.H, a.K, a.D);
}
