/* Sixteen float lanes, one definition per instruction set, the same bits from each: the vocabulary
 * of every *_isa.c.
 *
 *     v16 sum = v16_set1(0);
 *     for (int i = 0; i < n; i += 16)
 *         sum = v16_fma(v16_load_some(x + i, n - i), v16_load_some(y + i, n - i), sum);
 *     return v16_sum(sum);                     -- the fixed tree
 *
 * lanes_portable.h is the specification: plain loops. _some(p, n) touches only the first n lanes'
 * memory (n <= 0: none; n >= 16: all); the others load as +0. Every operation rounds once, to
 * nearest even; nothing is flushed to zero. */
#pragma once
#include "tensor/tensor.h"

#define ISA_JOIN_(name, isa) name##_##isa
#define ISA_JOIN(name, isa)  ISA_JOIN_(name, isa)
/* matmul_kernels -> matmul_kernels_avx2: what a *_isa.c exports. */
#define ISA_NAME(name) ISA_JOIN(name, ISA)

/* Loops over accumulators in registers must be unrolled entirely; the portable build keeps none
 * there, and is left to the compiler. */
#if defined(ISA_portable)
#define UNROLL
#define INLINE static inline
#else
#define UNROLL _Pragma("GCC unroll 32")
#define INLINE static inline __attribute__((always_inline))
#endif

#if defined(ISA_avx512)
#include "tensor/cpu/lanes_avx512.h"
#elif defined(ISA_avx2)
#include "tensor/cpu/lanes_avx2.h"
#else
#include "tensor/cpu/lanes_portable.h"
#endif
