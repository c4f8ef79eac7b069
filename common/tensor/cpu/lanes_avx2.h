/* Sixteen lanes in two AVX2 registers, with FMA. Meanings: lanes_portable.h. Included by lanes.h
 * only. */
#pragma once
#include <immintrin.h>
#include <string.h>

struct v16 {
    __m256 low, high;
};
typedef struct v16 v16;

#define V16_BOTH(low, high) ((v16){(low), (high)})

/* All ones in the first n of eight lanes. */
INLINE __m256i v8_mask(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE v16 v16_set1(float x)
{
    return V16_BOTH(_mm256_set1_ps(x), _mm256_set1_ps(x));
}
INLINE v16 v16_load(const float *p)
{
    return V16_BOTH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}
INLINE v16 v16_load_some(const float *p, int n)
{
    return V16_BOTH(_mm256_maskload_ps(p, v8_mask(n)), _mm256_maskload_ps(p + 8, v8_mask(n - 8)));
}
INLINE void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}
INLINE void v16_store_some(float *p, v16 x, int n)
{
    if (n >= 16) { // a masked store is many times slower
        v16_store(p, x);
        return;
    }
    _mm256_maskstore_ps(p, v8_mask(n), x.low);
    _mm256_maskstore_ps(p + 8, v8_mask(n - 8), x.high);
}
INLINE v16 v16_first(v16 x, int n, v16 rest)
{
    return V16_BOTH(_mm256_blendv_ps(rest.low, x.low, _mm256_castsi256_ps(v8_mask(n))),
                    _mm256_blendv_ps(rest.high, x.high, _mm256_castsi256_ps(v8_mask(n - 8))));
}

INLINE v16 v16_add(v16 a, v16 b)
{
    return V16_BOTH(_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high));
}
INLINE v16 v16_sub(v16 a, v16 b)
{
    return V16_BOTH(_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high));
}
INLINE v16 v16_mul(v16 a, v16 b)
{
    return V16_BOTH(_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high));
}
INLINE v16 v16_div(v16 a, v16 b)
{
    return V16_BOTH(_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high));
}
INLINE v16 v16_sqrt(v16 a)
{
    return V16_BOTH(_mm256_sqrt_ps(a.low), _mm256_sqrt_ps(a.high));
}
INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return V16_BOTH(_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high));
}
INLINE v16 v16_max(v16 a, v16 b)
{
    return V16_BOTH(_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high));
}
INLINE v16 v16_min(v16 a, v16 b)
{
    return V16_BOTH(_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high));
}
INLINE v16 v16_if_less(v16 a, v16 b, v16 x, v16 y)
{
    return V16_BOTH(_mm256_blendv_ps(y.low, x.low, _mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ)),
                    _mm256_blendv_ps(y.high, x.high, _mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ)));
}
INLINE __m256 v8_pow2(__m256 shifted)
{
    __m256i n = _mm256_add_epi32(_mm256_castps_si256(shifted), _mm256_set1_epi32(127 - 0x4b400000));
    return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
INLINE v16 v16_pow2(v16 shifted)
{
    return V16_BOTH(v8_pow2(shifted.low), v8_pow2(shifted.high));
}

INLINE float v16_sum(v16 x)
{
    __m256 a = _mm256_add_ps(x.low, x.high);
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INLINE float v16_max_lane(v16 x)
{
    __m256 a = _mm256_max_ps(x.low, x.high);
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

INLINE __m256 v8_from_bf16(__m128i half)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
INLINE v16 v16_load_bf16(const bf16 *p)
{
    return V16_BOTH(v8_from_bf16(_mm_loadu_si128((const __m128i *)p)),
                    v8_from_bf16(_mm_loadu_si128((const __m128i *)(p + 8))));
}
INLINE v16 v16_load_bf16_some(const bf16 *p, int n)
{
    if (n >= 16)
        return v16_load_bf16(p);
    bf16 padded[16] = {0};
    for (int i = 0; i < n; i++)
        padded[i] = p[i];
    return v16_load_bf16(padded);
}
INLINE unsigned v16_update_bf16(bf16 *p, v16 x, int n, bf16 *old)
{
    float lane[16];
    v16_store(lane, x);
    unsigned changed = 0;
    for (int i = 0; i < 16 && i < n; i++) {
        bf16 value = bf16_from_float(lane[i]);
        changed |= (unsigned)(value != p[i]) << i;
        old[i] = p[i];
        p[i] = value;
    }
    return changed;
}
/* Column j in the lower 16 bits of word j, column j + 16 in the upper. */
INLINE v16 v16_panel_bf16(const bf16 *row, int half)
{
    const __m256i keep = _mm256_set1_epi32((int)0xffff0000);
    const __m128i shift = _mm_cvtsi32_si128(half ? 0 : 16);
    __m256i low = _mm256_loadu_si256((const __m256i *)row);
    __m256i high = _mm256_loadu_si256((const __m256i *)(row + 16));
    low = _mm256_and_si256(_mm256_sll_epi32(low, shift), keep);
    high = _mm256_and_si256(_mm256_sll_epi32(high, shift), keep);
    return V16_BOTH(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high));
}
INLINE __m256 v8_pair(const bf16 *low, const bf16 *high)
{
    __m256i l = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)low));
    __m256i h = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)high));
    return _mm256_castsi256_ps(_mm256_or_si256(l, _mm256_slli_epi32(h, 16)));
}
INLINE v16 v16_pair_bf16(const bf16 *low, const bf16 *high)
{
    return V16_BOTH(v8_pair(low, high), v8_pair(low + 8, high + 8));
}

INLINE void v16_transpose(v16 rows[16])
{
    float in[16][16], out[16][16];
    memcpy(in, rows, sizeof in);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++)
            memcpy(&out[i][j], &in[j][i], sizeof(float));
    memcpy(rows, out, sizeof out);
}

/* At most 12 accumulators of 16 registers. */
enum { TILE_ROWS = 6, TILE_VECTORS = 1, LOOSE_ROWS = 3 };
#define TILE_EACH(X)  X(1) X(2) X(3) X(4) X(5) X(6)
#define TILE_LOOSE(X) X(1, 4) X(2, 2) X(3, 2)
