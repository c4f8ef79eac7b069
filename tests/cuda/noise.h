/* Inputs that C and tests/golden/cuda_errors.py make alike, and a backend's memory with them.
 *
 *     SCOPED_MEM bf16 *x = noise(1, count, 2, 0);
 *     SCOPED_VALUE(buffer) there = floats_there(be, x, count); */
#pragma once
#include "base/mem.h"
#include "tensor/buffer.h"
#include "testing/testing.h"

static inline uint64_t noise_hash(uint64_t stream, uint64_t i)
{
    uint64_t h = ((stream << 32) + i) * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u;
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9u;
    h = (h ^ h >> 27) * 0x94D049BB133111EBu;
    return h ^ h >> 31;
}

/* shift + scale times the sum of four uniform numbers, of which the variance is 1/3. */
static inline double noise_at(uint64_t stream, uint64_t i, double scale, double shift)
{
    const uint64_t h = noise_hash(stream, i);
    const double total =
        (double)((h & 0xffff) + (h >> 16 & 0xffff) + (h >> 32 & 0xffff) + (h >> 48));
    return shift + scale * ((total - 131070) / 65536);
}

static inline bf16 *noise(uint64_t stream, size_t count, double scale, double shift)
{
    bf16 *ret = mem_array(count, sizeof *ret);
    for (size_t i = 0; i < count; i++)
        ret[i] = bf16_from_float((float)noise_at(stream, i, scale, shift));
    return ret;
}

static inline struct buffer bytes_there(struct backend *be, const void *values, size_t bytes)
{
    struct buffer ret = {0};
    assert_ok(buffer_alloc(be, bytes, &ret));
    assert_ok(buffer_put(&ret, 0, values, bytes));
    return ret;
}

/* values NULL: zeros. */
static inline struct buffer floats_there(struct backend *be, const bf16 *values, size_t count)
{
    SCOPED_MEM float *wide = mem_array(count, sizeof *wide);
    for (size_t i = 0; values && i < count; i++)
        wide[i] = bf16_to_float(values[i]);
    return bytes_there(be, wide, count * sizeof *wide);
}

/* The same numbers before they are rounded to bf16. */
static inline struct buffer noise_there(struct backend *be, uint64_t stream, size_t count,
                                        double scale, double shift)
{
    SCOPED_MEM float *wide = mem_array(count, sizeof *wide);
    for (size_t i = 0; i < count; i++)
        wide[i] = (float)noise_at(stream, i, scale, shift);
    return bytes_there(be, wide, count * sizeof *wide);
}
