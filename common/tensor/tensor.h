/* Shapes and numbers every op shares. Tensors are plain pointers with their shape in the call;
 * row-major.
 *
 * Letters of a model: C channels (hidden size) · V vocabulary · L layers · H heads · K kv heads
 * D head size · F feed-forward width. Letters of data: B batch · T time · N rows (tokens of all
 * sequences, concatenated). */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Tokens first..first+count-1 of a vocabulary. */
struct token_range {
    int32_t first, count;
};

/* Whether one of the ranges, which are in ascending order, has the token. */
static inline bool token_ranges_have(const struct token_range *range, int ranges, int32_t token)
{
    int low = 0, high = ranges; // those from `high` on begin behind it
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (range[middle].first <= token)
            low = middle + 1;
        else
            high = middle;
    }
    return low && token - range[low - 1].first < range[low - 1].count;
}

/* bf16: the upper half of a float32. */
typedef uint16_t bf16;

static inline float bf16_to_float(bf16 value)
{
    uint32_t bits = (uint32_t)value << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Nearest, ties to even; a NaN stays a (quiet) NaN. */
static inline bf16 bf16_from_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (bf16)(bits >> 16 | 0x40);
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
