/* Weights into panels: 32 rows of W become 32 columns, column j beside column j + 16. */
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
