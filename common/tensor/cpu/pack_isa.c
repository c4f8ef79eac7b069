/* Rows become columns of panels: weights (column j beside column j + 16), keys and values. */
#include "tensor/cpu/isa.h"

/* Sixteen k of a whole panel: word j of row k is W[j][k] below W[j+16][k]. */
static void pack_square(bf16 *to, const bf16 *w, int K)
{
    v16 square[16];
    for (int j = 0; j < 16; j++)
        square[j] = v16_pair_bf16(w + (size_t)j * K, w + (size_t)(j + 16) * K);
    v16_transpose(square);
    memcpy(to, square, sizeof square);
}

void ISA_NAME(pack_weight)(bf16 *panels, const bf16 *w, int N, int K, int panel0, int panel1)
{
    for (int p = panel0; p < panel1; p++) {
        const bf16 *rows = w + (size_t)p * PANEL * K;
        bf16 *panel = panels + (size_t)p * PANEL * K;
        const int left = N - p * PANEL;
        int k = 0;
        for (; left >= PANEL && k + 16 <= K; k += 16)
            pack_square(panel + (size_t)k * PANEL, rows + k, K);
        for (; k < K; k++)
            for (int j = 0; j < PANEL; j++) {
                const int n = j % 2 * 16 + j / 2;
                panel[(size_t)k * PANEL + j] = n < left ? rows[(size_t)n * K + k] : 0;
            }
    }
}

/* Up to sixteen rows at a column that is a multiple of 16. Columns past the last become zero:
 * nothing is there yet. */
static void pack_sixteen(float *column, const float *x, size_t stride, int D, int rows)
{
    for (int d = 0; d < D; d += 16) {
        v16 square[16];
        for (int j = 0; j < 16; j++)
            square[j] = j < rows ? v16_load_some(x + j * stride + d, D - d) : v16_set1(0.0f);
        v16_transpose(square);
        for (int j = 0; j < 16 && d + j < D; j++)
            v16_store(column + (size_t)(d + j) * PANEL, square[j]);
    }
}

void ISA_NAME(pack_columns)(float *panels, const float *x, size_t stride, int D, int start,
                            int count)
{
    for (int i = 0; i < count;) {
        const int at = start + i;
        float *column = panels + (size_t)(at / PANEL) * D * PANEL + at % PANEL;
        if (at % 16 == 0 && count - i > 1) {
            pack_sixteen(column, x + i * stride, stride, D, count - i);
            i += 16;
            continue;
        }
        for (int d = 0; d < D; d++)
            column[(size_t)d * PANEL] = x[i * stride + d];
        i++;
    }
}

void ISA_NAME(pack_columns_bf16)(bf16 *panels, const float *x, size_t stride, int D, int start,
                                 int count)
{
    for (int i = 0; i < count; i++) {
        const int at = start + i, j = at % PANEL;
        bf16 *column = panels + (size_t)(at / PANEL) * D * PANEL + j % 16 * 2 + j / 16;
        for (int d = 0; d < D; d++)
            column[(size_t)d * PANEL] = bf16_from_float(x[i * stride + d]);
    }
}
