/* Token embedding: rows of a bf16 table, and their gradient. */
#include "tensor/cpu/isa.h"

void ISA_NAME(embed)(float *y, const bf16 *table, const int32_t *token, int N, int C)
{
    for (int n = 0; n < N; n++, y += C) {
        const bf16 *row = table + (size_t)token[n] * (size_t)C;
        for (int i = 0; i < C; i += 16)
            v16_store_some(y + i, v16_load_bf16_some(row + i, C - i), C - i);
    }
}

/* dtable[token[n]] += dy[n], n ascending. */
void ISA_NAME(embed_backward)(float *dtable, const float *dy, const int32_t *token, int N, int C,
                              int c0, int c1)
{
    for (int n = 0; n < N; n++, dy += C) {
        float *row = dtable + (size_t)token[n] * (size_t)C;
        for (int i = c0; i < c1; i += 16) {
            const int left = c1 - i;
            v16_store_some(
                row + i, v16_add(v16_load_some(row + i, left), v16_load_some(dy + i, left)), left);
        }
    }
}
