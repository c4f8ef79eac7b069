/* Sixteen lanes in one AVX-512 register (F, BW, VL, DQ). Meanings: lanes_portable.h. Included by
 * lanes.h only. */
#pragma once
#include <immintrin.h>

typedef __m512 v16;

INLINE __mmask16 v16_mask(int n)
{
    return n >= 16 ? 0xffff : n <= 0 ? 0 : (__mmask16)((1u << n) - 1);
}

INLINE v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}
INLINE v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE v16 v16_load_some(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(v16_mask(n), p);
}
INLINE void v16_store(float *p, v16 x)
{
    _mm512_storeu_ps(p, x);
}
INLINE void v16_store_some(float *p, v16 x, int n)
{
    _mm512_mask_storeu_ps(p, v16_mask(n), x);
}
INLINE v16 v16_first(v16 x, int n, v16 rest)
{
    return _mm512_mask_blend_ps(v16_mask(n), rest, x);
}

INLINE v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}
INLINE v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}
INLINE v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}
INLINE v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}
INLINE v16 v16_sqrt(v16 a)
{
    return _mm512_sqrt_ps(a);
}
INLINE v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}
INLINE v16 v16_min(v16 a, v16 b)
{
    return _mm512_min_ps(a, b);
}
INLINE v16 v16_if_less(v16 a, v16 b, v16 x, v16 y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
INLINE v16 v16_pow2(v16 shifted)
{
    __m512i n = _mm512_add_epi32(_mm512_castps_si512(shifted), _mm512_set1_epi32(127 - 0x4b400000));
    return _mm512_castsi512_ps(_mm512_slli_epi32(n, 23));
}

INLINE float v16_sum(v16 x)
{
    __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
INLINE float v16_max_lane(v16 x)
{
    __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    b = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(b, _mm_movehdup_ps(b)));
}

INLINE v16 v16_load_bf16_some(const bf16 *p, int n)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(v16_mask(n), p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
INLINE unsigned v16_update_bf16(bf16 *p, v16 x, int n, bf16 *old)
{
    const __m512i bits = _mm512_castps_si512(x), upper = _mm512_srli_epi32(bits, 16);
    __m512i value = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    value = _mm512_add_epi32(value, _mm512_and_si512(upper, _mm512_set1_epi32(1)));
    value = _mm512_srli_epi32(value, 16);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    value = _mm512_mask_or_epi32(value, nan, upper, _mm512_set1_epi32(0x40));
    __m256i now = _mm512_cvtepi32_epi16(value);
    __mmask16 mask = v16_mask(n);
    __m256i was = _mm256_maskz_loadu_epi16(mask, p);
    _mm256_mask_storeu_epi16(p, mask, now);
    _mm256_storeu_si256((__m256i *)old, was);
    return _mm256_mask_cmpneq_epi16_mask(mask, was, now);
}
INLINE v16 v16_panel_bf16(const bf16 *row, int half)
{
    __m512i pair = _mm512_loadu_si512(row);
    __m512i bits = half ? _mm512_and_si512(pair, _mm512_set1_epi32((int)0xffff0000))
                        : _mm512_slli_epi32(pair, 16);
    return _mm512_castsi512_ps(bits);
}
INLINE v16 v16_pair_bf16(const bf16 *low, const bf16 *high)
{
    __m512i l = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)low));
    __m512i h = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)high));
    return _mm512_castsi512_ps(_mm512_or_si512(l, _mm512_slli_epi32(h, 16)));
}

/* Pairs, then fours, then 128-bit quarters. */
INLINE void v16_transpose(v16 r[16])
{
    __m512 t[16];
    UNROLL for (int i = 0; i < 16; i += 2)
    {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    UNROLL for (int i = 0; i < 16; i += 4)
    {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    UNROLL for (int i = 0; i < 4; i++)
    {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    UNROLL for (int i = 0; i < 4; i++)
    {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* At most 28 accumulators of 32 registers. */
enum { TILE_ROWS = 14, TILE_VECTORS = 2, LOOSE_ROWS = 7 };
#define TILE_EACH(X)  X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14)
#define TILE_LOOSE(X) X(1, 8) X(2, 8) X(3, 8) X(4, 6) X(5, 4) X(6, 4) X(7, 4)
