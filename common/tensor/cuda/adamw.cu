/* AdamW over fp32 masters: the chain of cpu/adamw_isa.c, element by element, so the same bits. */
#include "tensor/cuda/device.h"
#include "tensor/cuda/kernels.h"

enum { THREADS = 256 };

__global__ void __launch_bounds__(THREADS)
    adamw_kernel(float *master, bf16 *w, float *m, float *v, const float *grad, size_t count,
                 adamw_constants c, unsigned long long *changed)
{
    unsigned mine = 0;
    const size_t i = blockIdx.x * (size_t)THREADS + threadIdx.x;
    if (i < count) {
        const float g = __fmul_rn(grad[i], c.grad_scale);
        const float m1 = __fmaf_rn(c.beta1, m[i], __fmul_rn(c.one_minus_beta1, g));
        const float v1 = __fmaf_rn(c.beta2, v[i], __fmul_rn(c.one_minus_beta2, __fmul_rn(g, g)));
        const float down = __fadd_rn(__fsqrt_rn(__fmul_rn(v1, c.v_scale)), c.eps);
        const float p = __fmaf_rn(-c.rate, __fdiv_rn(m1, down), __fmul_rn(master[i], c.keep));
        const bf16 rounded = __float2bfloat16_rn(p);
        mine = __bfloat16_as_ushort(rounded) != __bfloat16_as_ushort(w[i]);
        m[i] = m1;
        v[i] = v1;
        master[i] = p;
        w[i] = rounded;
    }
    mine = __reduce_add_sync(0xffffffffu, mine);
    if (threadIdx.x % 32 == 0 && mine)
        atomicAdd(changed, (unsigned long long)mine); // integers: their order does not show
}

cudaError_t adamw(cudaStream_t stream, float *master, bf16 *w, float *m, float *v,
                  const float *grad, size_t count, adamw_constants c, unsigned long long *changed)
{
    return launch(adamw_kernel, dim3((unsigned)((count + THREADS - 1) / THREADS)), dim3(THREADS), 0,
                  stream, master, w, m, v, grad, count, c, changed);
}
