/* wgmma out of shared memory, nothing else: two groups of four warps a block, a block on each
 * multiprocessor. */
#include "gpu/peaks.h"
#include "tensor/cuda/hopper.h"

enum { GROUPS = 2, THREADS = GROUPS * 128, OUT = 64, TOK = 128, ROW = 128, STEPS = 4, REPEAT = 4 };

static __global__ void __launch_bounds__(THREADS, 1) wgmma_loop(float *out, int times)
{
    SHARED_DYNAMIC(tile);
    const int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
    float sum[TOK / 8][4];
    for (int i = threadIdx.x; i < (GROUPS * OUT + TOK) * ROW / 2; i += THREADS)
        ((bf16 *)tile)[i] = __float2bfloat16_rn((float)(i * 7919 % 255 - 127) * 0x1p-12f);
#pragma unroll
    for (int j = 0; j < TOK / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            sum[j][e] = 0;
    proxy_fence();
    __syncthreads();
    for (int i = 0; i < times; i++) {
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < STEPS * REPEAT; step++)
            wgmma<TOK>(sum, side(tile + group * OUT * ROW, step % STEPS * 32),
                       side(tile + GROUPS * OUT * ROW, step % STEPS * 32), true);
        wgmma_commit();
        wgmma_wait<0>();
    }
    float all = 0;
#pragma unroll
    for (int j = 0; j < TOK / 8; j++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            all += sum[j][e];
    out[blockIdx.x * THREADS + threadIdx.x] = all;
}

double peak_wgmma_operations(int blocks, int times)
{
    return 2.0 * blocks * times * GROUPS * STEPS * REPEAT * OUT * TOK * 16;
}

cudaError_t peak_wgmma(cudaStream_t stream, float *out, int blocks, int times)
{
    return launch(wgmma_loop, dim3(blocks), dim3(THREADS), (GROUPS * OUT + TOK) * ROW, stream, out,
                  times);
}
