/* Sixteen lanes as plain loops: the specification of the other two. Included by lanes.h only. */
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

struct v16 {
    float lane[16];
};
typedef struct v16 v16;

#define V16_EACH(expression)                                                                       \
    v16 ret;                                                                                       \
    for (int i = 0; i < 16; i++)                                                                   \
        ret.lane[i] = (expression);                                                                \
    return ret

INLINE v16 v16_set1(float x)
{
    V16_EACH(x);
}
INLINE v16 v16_load(const float *p)
{
    v16 ret;
    memcpy(&ret, p, sizeof ret);
    return ret;
}
INLINE v16 v16_load_some(const float *p, int n)
{
    V16_EACH(i < n ? p[i] : 0.0f);
}
INLINE void v16_store(float *p, v16 x)
{
    memcpy(p, &x, sizeof x);
}
INLINE void v16_store_some(float *p, v16 x, int n)
{
    for (int i = 0; i < 16 && i < n; i++)
        p[i] = x.lane[i];
}
/* The first n lanes of x, the others of rest. */
INLINE v16 v16_first(v16 x, int n, v16 rest)
{
    V16_EACH(i < n ? x.lane[i] : rest.lane[i]);
}

INLINE v16 v16_add(v16 a, v16 b)
{
    V16_EACH(a.lane[i] + b.lane[i]);
}
INLINE v16 v16_sub(v16 a, v16 b)
{
    V16_EACH(a.lane[i] - b.lane[i]);
}
INLINE v16 v16_mul(v16 a, v16 b)
{
    V16_EACH(a.lane[i] * b.lane[i]);
}
INLINE v16 v16_div(v16 a, v16 b)
{
    V16_EACH(a.lane[i] / b.lane[i]);
}
INLINE v16 v16_sqrt(v16 a)
{
    V16_EACH(sqrtf(a.lane[i]));
}
/* a * b + c, rounded once. */
INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    V16_EACH(fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
/* a > b ? a : b, so b where either is NaN. */
INLINE v16 v16_max(v16 a, v16 b)
{
    V16_EACH(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
/* a < b ? a : b, so b where either is NaN. */
INLINE v16 v16_min(v16 a, v16 b)
{
    V16_EACH(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
/* a < b ? x : y */
INLINE v16 v16_if_less(v16 a, v16 b, v16 x, v16 y)
{
    V16_EACH(a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i]);
}
/* 2^n from n + 1.5 * 2^23 (the sum whose low bits are the integer n), -126 <= n <= 127. */
INLINE v16 v16_pow2(v16 shifted)
{
    v16 ret;
    for (int i = 0; i < 16; i++) {
        uint32_t bits;
        memcpy(&bits, &shifted.lane[i], sizeof bits);
        bits = (bits - 0x4b400000u + 127u) << 23;
        memcpy(&ret.lane[i], &bits, sizeof bits);
    }
    return ret;
}

/* Lanes i and i+8, then i and i+4, i+2, i+1. */
INLINE float v16_sum(v16 x)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            x.lane[i] = x.lane[i] + x.lane[i + half];
    return x.lane[0];
}
INLINE float v16_max_lane(v16 x)
{
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++)
            x.lane[i] = x.lane[i] > x.lane[i + half] ? x.lane[i] : x.lane[i + half];
    return x.lane[0];
}

INLINE v16 v16_load_bf16_some(const bf16 *p, int n)
{
    V16_EACH(i < n ? bf16_to_float(p[i]) : 0.0f);
}
/* Writes the first n lanes rounded to bf16; old (16) gets what was there. Bit i of the result: lane
 * i is another value now. */
INLINE unsigned v16_update_bf16(bf16 *p, v16 x, int n, bf16 *old)
{
    unsigned changed = 0;
    for (int i = 0; i < 16 && i < n; i++) {
        bf16 value = bf16_from_float(x.lane[i]);
        changed |= (unsigned)(value != p[i]) << i;
        old[i] = p[i];
        p[i] = value;
    }
    return changed;
}
/* Half 0 or 1 of one row of a bf16 panel: 32 columns, column j beside column j + 16. */
INLINE v16 v16_panel_bf16(const bf16 *row, int half)
{
    V16_EACH(bf16_to_float(row[2 * i + half]));
}
/* Two rows of 16 bf16 as one row of a panel. */
INLINE v16 v16_pair_bf16(const bf16 *low, const bf16 *high)
{
    v16 ret;
    for (int i = 0; i < 16; i++) {
        bf16 pair[2] = {low[i], high[i]};
        memcpy(&ret.lane[i], pair, sizeof pair);
    }
    return ret;
}

/* Row i, lane j <-> row j, lane i. Moves bits, whatever they mean. */
INLINE void v16_transpose(v16 rows[16])
{
    v16 in[16];
    memcpy(in, rows, sizeof in);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            memcpy(&rows[i].lane[j], &in[j].lane[i], sizeof(float));
}

/* The tile of outputs that the matrix products keep in registers: at most so many rows of
 * TILE_VECTORS vectors; with LOOSE_ROWS rows or fewer, more vectors: TILE_LOOSE(rows, vectors). */
enum { TILE_ROWS = 4, TILE_VECTORS = 2, LOOSE_ROWS = 2 };
#define TILE_EACH(X)  X(1) X(2) X(3) X(4)
#define TILE_LOOSE(X) X(1, 4) X(2, 2)
