/* Log-probability of a token: a block for each row, the true maximum first, then the sum of exponentials. Thread t takes indices
 * t, t + 512, ... ascending, then the block's tree: an order fixed by V. */
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/device.h"

enum { THREADS = 512 };

__global__ void __launch_bounds__(THREADS)
token_logp_kernel(float *logp, float *entropy, const float *logits, const int32_t *token, float inverse_temperature, int V)
{
    SHARED(float[3][THREADS / 32], scratch);
    logits += (size_t)blockIdx.x * V;
    float max = MINUS_INFINITY;
    for (int v = threadIdx.x; v < V; v += THREADS)
        max = fmaxf(max, __fmul_rn(logits[v], inverse_temperature));
    max = block_max<THREADS>(max, scratch[0]);
    float sum = 0.0f, moment = 0.0f;
    for (int v = threadIdx.x; v < V; v += THREADS) {
        const float x = __fsub_rn(__fmul_rn(logits[v], inverse_temperature), max), e = exact_exp(x);
        sum = __fadd_rn(sum, e);
        moment = __fmaf_rn(e, fmaxf(-87.0f, x), moment);
    }
    sum = block_sum<THREADS>(sum, scratch[1]);
    moment = block_sum<THREADS>(moment, scratch[2]);
    if (threadIdx.x)
        return;
    const double log_sum = exact_log(sum);
    const float x = __fmul_rn(logits[token[blockIdx.x]], inverse_temperature);
    logp[blockIdx.x] = (float)((double)x - (double)max - log_sum);
    if (entropy)
        entropy[blockIdx.x] = (float)(log_sum - (double)moment / (double)sum);
}

cudaError_t token_logp(cudaStream_t stream, float *logp, float *entropy, const float *logits, const int32_t *token,
                       float inverse_temperature, int N, int V)
{
    return launch(token_logp_kernel, dim3(N), dim3(THREADS), 0, stream, logp, entropy, logits, token, inverse_temperature, V);
}
