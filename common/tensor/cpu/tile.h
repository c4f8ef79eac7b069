/* The tile of outputs kept in registers: a few rows by a few vectors of 16 columns, along a stretch
 * of the chain. */
#pragma once
#include "tensor/cpu/isa.h"

enum a_layout {
    A_LOOSE,   // A(i,k) at a[i * a_row + k]
    A_ROWS,    // packed: a[i * A_STRIDE + k]
    A_COLUMNS, // packed: a[k * TILE_ROWS + i]
};

struct tile {
    int K;
    const float *a;
    ptrdiff_t a_row;   // A_LOOSE only
    const void *b;     // the first panel, at its row of the chain where the stretch begins
    ptrdiff_t b_panel; // elements from one panel to the next, where a tile spans several
    ptrdiff_t b_row;   // B_ROWS_BF16: elements from one step of the chain to the next
    const char *ahead; // A_ROWS, B_PANELS_BF16: memory that is wanted next, 64 bytes for each step
    int half;          // TILE_VECTORS == 1: which 16 columns of the panel
    float *c;
    ptrdiff_t c_row;
    const float *c_ahead; // packed A: the outputs that come next
    int columns;          // how many exist, from c on; the rest is not touched
    bool accumulate;
};

/* One panel's 32 columns by rows <= TILE_ROWS; A packed, B_PANELS_*. */
void ISA_NAME(tile)(const struct tile *, int rows, enum a_layout layout, enum b_kind kind);
