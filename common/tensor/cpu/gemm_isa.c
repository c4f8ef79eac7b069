/* Matrix products: one fma chain per output, over k ascending. */
#include "tensor/cpu/isa.h"

/* Row k of B, columns n..n+15 (fewer at the edge, zero beyond). */
INLINE v16 b_row(const struct gemm *g, int k, int n)
{
    const size_t panel = (size_t)(n / PANEL) * (size_t)g->b_stride + (size_t)k * PANEL;
    const size_t row = (size_t)k * (size_t)g->b_stride + (size_t)n;
    switch (g->kind) {
    case B_PANELS_BF16:
        return v16_panel_bf16((const bf16 *)g->b + panel, n / 16 % 2);
    case B_PANELS_F32:
        return v16_load((const float *)g->b + panel + n % PANEL);
    case B_ROWS_BF16:
        return v16_load_bf16_some((const bf16 *)g->b + row, g->N - n);
    case B_ROWS_F32:
        return v16_load_some((const float *)g->b + row, g->N - n);
    }
    __builtin_unreachable();
}

void ISA_NAME(gemm)(const struct gemm *g, int row0, int row1, int panel0, int panel1,
                    float *scratch)
{
    (void)scratch;
    const int end = panel1 * PANEL < g->N ? panel1 * PANEL : g->N;
    for (int m = row0; m < row1; m++) {
        const float *a = g->a + m * g->a_row;
        float *c = g->c + m * g->c_row;
        for (int n = panel0 * PANEL; n < end; n += 16) {
            v16 sum = g->accumulate ? v16_load_some(c + n, g->N - n) : v16_set1(0.0f);
            for (int k = 0; k < g->K; k++)
                sum = v16_fma(v16_set1(a[k * g->a_k]), b_row(g, k, n), sum);
            v16_store_some(c + n, sum, g->N - n);
        }
    }
}

void ISA_NAME(pack_weight)(bf16 *panels, const bf16 *w, int N, int K, int panel0, int panel1)
{
    for (int p = panel0; p < panel1; p++)
        for (int k = 0; k < K; k++) {
            bf16 *row = panels + ((size_t)p * K + k) * PANEL;
            for (int j = 0; j < PANEL; j++) {
                const int n = p * PANEL + j % 2 * 16 + j / 2;
                row[j] = n < N ? w[(size_t)n * K + k] : 0;
            }
        }
}
