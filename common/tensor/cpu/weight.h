/* The inside of struct weight, for the files of its ops alone. */
#pragma once
#include "tensor/cpu/cpu.h"

_Static_assert((int)WEIGHT_ROWS == (int)PANEL, "rows are packed a panel at a time");

struct weight_block; // the memory that many share

struct weight {
    int N, K;
    bf16 *rows;   // (N,K), borrowed; NULL: not held so
    bf16 *panels; // [ceil(N/32)][K][32], column j beside column j + 16; in block. NULL: not held so
    struct weight_block *block;
};

static inline int panels_of(int N)
{
    return (N + PANEL - 1) / PANEL;
}

/* W[n][0] among the panels; W[n][k] lies PANEL * k further. */
static inline bf16 *weight_place(const struct weight *weight, size_t n)
{
    const size_t j = n % PANEL;
    return weight->panels + n / PANEL * PANEL * (size_t)weight->K + j % 16 * 2 + j / 16;
}
