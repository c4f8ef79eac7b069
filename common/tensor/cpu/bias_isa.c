/* A bias: one vector added to every row. */
#include "tensor/cpu/isa.h"

void ISA_NAME(bias)(float *y, const bf16 *bias, int N, int C)
{
    for (int n = 0; n < N; n++, y += C)
        for (int i = 0; i < C; i += 16)
            v16_store_some(
                y + i, v16_add(v16_load_some(y + i, C - i), v16_load_bf16_some(bias + i, C - i)),
                C - i);
}

/* dbias[c] = sum over rows ascending of dy, from what is there. */
void ISA_NAME(bias_backward)(float *dbias, const float *dy, int N, int C, int c0, int c1)
{
    for (int i = c0; i < c1; i += 16) {
        v16 sum = v16_load_some(dbias + i, c1 - i);
        for (int n = 0; n < N; n++)
            sum = v16_add(sum, v16_load_some(dy + (size_t)n * C + i, c1 - i));
        v16_store_some(dbias + i, sum, c1 - i);
    }
}
