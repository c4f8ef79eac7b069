/* The table that each instruction set's build of the *_isa.c files fills: kernels over a range of
 * rows, columns or elements, on the calling thread. The other files of cpu/ split work into ranges
 * and hand out memory.
 *
 * Ranges never cut a reduction, so the split does not show in the bits. */
#pragma once
#include "tensor/adamw_constants.h"
#include "tensor/backend.h"
#include "tensor/digest_hash.h"
#include <stdbool.h>
#include <stddef.h>

enum {
    PANEL = 32, // columns of a packed panel
    /* Steps of the chain worked on at a time. So a panel's block stays in the L1 cache. */
    CHAIN_BLOCK = 256,
    /* Rows of A packed at a time, a multiple of every TILE_ROWS. So they stay in the L2 cache. */
    ROW_BLOCK = 420,
    A_STRIDE = CHAIN_BLOCK + 16, // distance of packed rows; not a multiple of 4 KiB
};

/* C[m,n] (+)= sum_k A(m,k) B(k,n), one fma chain over k ascending from C, or from +0. */
enum b_kind {
    B_PANELS_BF16, // panel p at b + p * b_stride: [k][32], column j beside column j + 16
    B_PANELS_F32,  // panel p at b + p * b_stride: [k][32]
    B_ROWS_BF16,   // B(k,n) at b[k * b_stride + n]
    B_ROWS_F32,
};
struct gemm {
    int M, N, K;
    const float *a; // A(m,k) at a[m * a_row + k * a_k]; one of the two is 1
    ptrdiff_t a_row, a_k;
    enum b_kind kind;
    const void *b;
    ptrdiff_t b_stride; // distance in elements
    float *c;           // C[m,n] at c[m * c_row + n]
    ptrdiff_t c_row;
    bool accumulate;
    /* More columns of the same product: M, K, A and kind are equal, its panels are counted on from
     * these. A is packed once for all. NULL: none. */
    const struct gemm *also;
};
/* Scratch of a gemm call: packed rows of A, then one packed block of a panel of B. Floats. */
enum { GEMM_SCRATCH = ROW_BLOCK * A_STRIDE + CHAIN_BLOCK * PANEL };

/* The logarithm of a row's sum of exp(x) is max + log_sum. */
struct row_norm {
    float max;
    double log_sum;
};
/* log softmax of the row's element x. */
static inline float row_logp(const struct row_norm *norm, float x)
{
    return (float)((double)x - norm->max - norm->log_sum);
}

/* One segment and some kv heads of an attention call. Positions are absolute; the call's rows hold
 * start..start+count-1. */
struct attention_unit {
    const struct attention_shape *shape;
    int head, heads;    // the first kv head, and how many
    int start, count;   // positions of the call's rows
    const float *q;     // (count,H,D) and so on: the segment's first row, all heads
    const float *k, *v; // (count,K,D)
    float *o, *lse;     // lse may be NULL
    /* Without pages: keys [position/32][D][32], with room for start + count rounded up to 32. If
     * start > 0, positions 0..start-1 are in prefix_k and prefix_v (start,K,D), and values (start +
     * count,D) takes them all. Without start, v is read in place. */
    float *key_panels, *values;
    const float *prefix_k, *prefix_v;
    /* With pages: the first head's keys in page i begin at kv + page[i] * page_stride, in elements.
     * Keys are panels [KV_PAGE/32][D][32] (bf16: B_PANELS_BF16), a head after another. Values
     * [KV_PAGE][D] lie to_values behind their keys. */
    const int32_t *page;
    void *kv;
    ptrdiff_t page_stride, to_values;
    enum kv_format format;
};
/* Overwrites dq, dk, dv of its rows; adds to those of the prefix (start,K,D), if it has one. */
struct attention_gradient {
    const struct attention_shape *shape;
    int head, start, count;
    const float *q, *k, *v, *o, *lse, *d_o;
    float *dq, *dk, *dv;
    const float *prefix_k, *prefix_v;
    float *prefix_dk, *prefix_dv;
};
/* Floats of scratch that a unit needs, for `positions` = start + count. */
size_t attention_scratch(int positions, const struct attention_shape *shape);
size_t attention_gradient_scratch(int positions, const struct attention_shape *shape);

/* The bf16 values that changed: their number, and the sum of hash(index, now) - hash(index, old)
 * modulo 2^128. */
struct adamw_sum {
    size_t changed;
    u128 digest;
};

struct cpu_kernels {
    const char *name;
    /* Rows row0..row1-1 and panels (32 columns) panel0..panel1-1 of C and its `also`. */
    void (*gemm)(const struct gemm *, int row0, int row1, int panel0, int panel1, float *scratch);
    /* Panels panel0..panel1-1 of W (N,K) row-major, as B_PANELS_BF16 with b_stride = K * 32. */
    void (*pack_weight)(bf16 *panels, const bf16 *w, int N, int K, int panel0, int panel1);

    void (*attention)(const struct attention_unit *, float *scratch);
    void (*attention_backward)(const struct attention_gradient *, float *scratch);

    void (*embed)(float *y, const bf16 *table, const int32_t *token, int N, int C);
    /* Columns c0..c1-1 of every row. */
    void (*embed_backward)(float *dtable, const float *dy, const int32_t *token, int N, int C,
                           int c0, int c1);
    void (*rmsnorm)(float *y, float *r, const float *x, const bf16 *weight, float eps, int N,
                    int C);
    void (*rmsnorm_dx)(float *dx, const float *dy, const float *x, const float *r,
                       const bf16 *weight, int N, int C);
    void (*rmsnorm_dweight)(float *dweight, const float *dy, const float *x, const float *r, int N,
                            int C, int c0, int c1);
    void (*layernorm)(float *y, float *stats, const float *x, const bf16 *weight, float eps, int N,
                      int C);
    void (*layernorm_dx)(float *dx, const float *dy, const float *x, const float *stats,
                         const bf16 *weight, int N, int C);
    void (*layernorm_dweight)(float *dweight, const float *dy, const float *x, const float *stats,
                              int N, int C, int c0, int c1);
    void (*bias)(float *y, const bf16 *bias, int N, int C);
    void (*bias_backward)(float *dbias, const float *dy, int N, int C, int c0, int c1);
    void (*rope)(float *x, const int32_t *position, const float *cos, const float *sin, int N,
                 int heads, int D, int R, int inverse);
    void (*swiglu)(float *y, const float *gate, const float *up, size_t count);
    void (*swiglu_backward)(float *dgate, float *dup, const float *dy, const float *gate,
                            const float *up, size_t count);
    void (*gelu)(float *y, const float *x, size_t count, int by_tanh);
    void (*gelu_backward)(float *dx, const float *dy, const float *x, size_t count, int by_tanh);
    void (*add)(float *y, const float *x, size_t count);

    void (*token_logp)(float *logp, float *entropy, const float *logits, const int32_t *token,
                       float inverse_temperature, int N, int V);
    void (*token_logp_backward)(float *logits, const float *dlogp, const int32_t *token,
                                float inverse_temperature, int N, int V);
    /* One row. probability and logits may be the same memory. */
    struct row_norm (*softmax)(float *probability, const float *logits, float inverse_temperature,
                               int V);

    /* Rows from..to-1 of the call. */
    void (*row_terms)(const float *logits, const float *reference, const struct row_call *call,
                      const struct row_values *ret, int from, int to);
    void (*row_terms_backward)(float *logits, const float *reference, const struct row_call *call,
                               const struct row_slopes *slopes, int from, int to);

    double (*square_sum)(const float *x, size_t count);
    /* w[0] is element `first` of the flat array. Adds to *sum. */
    void (*adamw)(float *master, bf16 *w, float *m, float *v, const float *grad, size_t first,
                  size_t count, const struct adamw_constants *, uint32_t *marks,
                  struct adamw_sum *sum);
};

/* Their names, in that order: isa.h declares and kernels_isa.c lists them by it. */
// clang-format off
#define CPU_KERNELS(KERNEL) \
    KERNEL(gemm) KERNEL(pack_weight) KERNEL(attention) KERNEL(attention_backward) \
    KERNEL(embed) KERNEL(embed_backward) KERNEL(rmsnorm) KERNEL(rmsnorm_dx) \
    KERNEL(rmsnorm_dweight) KERNEL(layernorm) KERNEL(layernorm_dx) KERNEL(layernorm_dweight) \
    KERNEL(bias) KERNEL(bias_backward) KERNEL(rope) KERNEL(swiglu) KERNEL(swiglu_backward) \
    KERNEL(gelu) KERNEL(gelu_backward) KERNEL(add) \
    KERNEL(token_logp) KERNEL(token_logp_backward) KERNEL(softmax) KERNEL(row_terms) \
    KERNEL(row_terms_backward) KERNEL(square_sum) KERNEL(adamw)
// clang-format on

extern const struct cpu_kernels cpu_kernels_portable, cpu_kernels_avx2, cpu_kernels_avx512;
