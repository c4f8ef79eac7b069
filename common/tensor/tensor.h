/* Shapes and numbers every op shares. Tensors are plain pointers with their shape in the call;
 * row-major.
 *
 * Letters of a model: C channels (hidden size) · V vocabulary · L layers · H heads · K kv heads
 * D head size · F feed-forward width. Letters of data: B batch · T time · N rows (tokens of all
 * sequences, concatenated). */
#pragma once
#include <stdint.h>
#include <string.h>

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
