/* The one table of ops, and how to get a device that has them.
 *
 *     SCOPED(backend) be = NULL;
 *     TRY(backend_cpu_new(&(struct cpu_config){.threads = 2}, &be));
 *     TRY(be->ops->rmsnorm(be, y, r, x, weight, 1e-5f, N, C));
 *
 * Exactness: every op's output element is a fixed chain of operations on its own inputs, so its
 * bits depend neither on N, nor on which other rows are in the call, nor on threads, nor on the
 * instruction set. cpu/ states each order; the portable build of each source is the specification
 * and the vector builds equal it bit for bit.
 *
 * Accumulation: where a comment says "+=", the chain starts from what is there, so two calls over
 * consecutive rows equal one call over all of them bit for bit. Gradient accumulation therefore
 * equals the large batch.
 *
 * Owner: one thread at a time per backend. Pointers are in the backend's memory; float32 unless
 * said otherwise.
 * To add an op: a row here, cpu/NAME_isa.c, a parity case in tests/parity. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "tensor/digest.h"
#include "tensor/numerics.h"
#include "tensor/tensor.h"
#include <stddef.h>

struct backend;

/* A matrix of weights W (N,K) in the form that the backend multiplies by: y = x W^T. Made by
 * ops->weight_pack. */
struct weight;
struct weight_shape {
    int N, K;
};
enum { WEIGHT_ROWS = 32 }; // packed together

/* Keys and values of many sequences: pages of KV_PAGE positions, all layers. Which sequence holds
 * which pages, and how far they are filled, the caller keeps (model/engine/pages.h). */
struct kv_pages;
enum { KV_PAGE = 64 };
enum kv_format { KV_F32, KV_BF16 }; // BF16: K and V must be rounded already (round_bf16)

/* One sequence's rows inside a call: rows first..first+count-1 are its positions
 * start..start+count-1. With pages the call writes their K and V there and attends over 0..; position
 * p lies in page[p / KV_PAGE]. A page that one segment writes is in no other segment of the call; one
 * that is only read may be in many. A page number that does not exist is RANGE, and then nothing is
 * written. Without pages (NULL) it attends over rows of the call: its own, and before them, if start
 * is not 0, the `start` rows from row `prefix` on, which are positions 0..start-1. They begin the last
 * segment before it that starts at 0: a prompt is followed by the completions that share it. */
struct segment {
    int first, count, start;
    struct kv_pages *kv;
    const int32_t *page; // borrowed during the call
    int prefix;          // without pages and start > 0: the row of position 0
};

struct attention_shape {
    int H, K, D; // heads, kv heads (H % K == 0), head size (even)
};

/* AdamW's constants of one step (Loshchilov & Hutter 2019, decoupled decay). */
struct adamw_step {
    float lr, beta1, beta2, eps, weight_decay;
    float grad_scale; // from clipping: g is multiplied by it first
    long step;        // 1, 2, ...: for the bias corrections 1/(1 - beta^step), computed in double
};

/* What a step did to the bf16 values. */
struct adamw_changes {
    size_t count;         // values that the step changed
    struct digest digest; // weights_digest_add(digest before, this) is the digest after
};

/* One of several products of one input. */
enum { PRODUCTS_MAX = 4 };
struct product {
    float *y;
    const struct weight *w;
};

struct backend_ops {
    const char *name;

    /* ---- weights */
    /* `count` matrices of zeros in one block of memory, which goes with the last of them. INVALID: a
     * shape. */
    err_t (*weights_new)(struct backend *, const struct weight_shape *shape, int count,
                         struct weight **ret);
    /* Rows [row, row + rows) become w (rows,K), bf16 row-major. Copies. row is a multiple of
     * WEIGHT_ROWS, and so is rows unless they are the last: else RANGE. */
    err_t (*weight_pack)(struct backend *, struct weight *, const bf16 *w, int row, int rows);
    /* Back again, exactly: elements [first, first + count) of W row-major. Any thread, while nobody
     * packs. */
    void (*weight_read)(const struct weight *, size_t first, size_t count, bf16 *ret);
    void (*weight_free)(struct backend *, struct weight *);

    /* y[m,n] (+)= sum_k x[m,k] W[n,k]; one fma chain over k ascending from +0 (or from y if
     * accumulate). x (M,K), y (M,N). */
    err_t (*matmul)(struct backend *, float *y, const float *x, const struct weight *w, int M,
                    int accumulate);
    /* For each of the products y = x W^T, the bits of matmul: one pass over x. INVALID: no product,
     * more than PRODUCTS_MAX, or weights of several widths. */
    err_t (*matmuls)(struct backend *, const struct product *products, int count, const float *x,
                     int M);
    /* dx[m,k] (+)= sum_n dy[m,n] W[n,k]; chain over n ascending. w (N,K) bf16 row-major. */
    err_t (*matmul_dx)(struct backend *, float *dx, const float *dy, const bf16 *w, int M, int N,
                       int K, int accumulate);
    /* dw[n,k] += sum_m dy[m,n] x[m,k]; chain over m ascending, from dw. */
    err_t (*matmul_dw)(struct backend *, float *dw, const float *dy, const float *x, int M, int N,
                       int K);

    /* ---- pieces of a decoder layer */
    /* y[n] = table[token[n]]; table (V,C) bf16. */
    err_t (*embed)(struct backend *, float *y, const bf16 *table, const int32_t *token, int N,
                   int C);
    /* The same from a table that is packed. */
    err_t (*embed_weight)(struct backend *, float *y, const struct weight *table,
                          const int32_t *token, int N);
    /* dtable[token[n]] += dy[n], n ascending. */
    err_t (*embed_backward)(struct backend *, float *dtable, const float *dy, const int32_t *token,
                            int N, int C);

    /* y = x * r * weight, r[n] = 1/sqrt(mean(x[n]^2) + eps) (Zhang & Sennrich 2019). r (N) is kept
     * for the backward. */
    err_t (*rmsnorm)(struct backend *, float *y, float *r, const float *x, const bf16 *weight,
                     float eps, int N, int C);
    /* dx += ...; dweight += ... (rows ascending). */
    err_t (*rmsnorm_backward)(struct backend *, float *dx, float *dweight, const float *dy,
                              const float *x, const float *r, const bf16 *weight, int N, int C);

    /* y[n] += bias; bias (C). */
    err_t (*bias)(struct backend *, float *y, const bf16 *bias, int N, int C);
    /* dbias += dy[n], rows ascending. */
    err_t (*bias_backward)(struct backend *, float *dbias, const float *dy, int N, int C);

    /* In place on x (N, heads, D), the rotate-half convention of Hugging Face (Su 2021): pairs (d,
     * d + D/2). table (positions, D/2) cos then sin from rope_table(); inverse != 0 rotates back
     * (the backward). */
    err_t (*rope)(struct backend *, float *x, const int32_t *position, const float *cos,
                  const float *sin, int N, int heads, int D, int inverse);

    /* y = silu(gate) * up (Shazeer 2020). Here and in add, a result may be the same memory as a
     * source. */
    err_t (*swiglu)(struct backend *, float *y, const float *gate, const float *up, size_t count);
    err_t (*swiglu_backward)(struct backend *, float *dgate, float *dup, const float *dy,
                             const float *gate, const float *up, size_t count);

    /* Causal attention, softmax(q k / sqrt(D)) v, per segment. RANGE: see struct segment. q,o
     * (N,H,D); k,v (N,K,D) already rotated. lse (N,H): log-sum-exp of each row, kept for the
     * backward; may be NULL. layer selects the pages' layer. */
    err_t (*attention)(struct backend *, float *o, float *lse, const float *q, const float *k,
                       const float *v, const struct segment *segments, int count,
                       const struct attention_shape *shape, int layer);
    /* dq, dk, dv are overwritten. Segments without pages. A row's dk and dv: its own segment's
     * queries first, then those of the segments that share it, in their order. */
    err_t (*attention_backward)(struct backend *, float *dq, float *dk, float *dv, const float *d_o,
                                const float *q, const float *k, const float *v, const float *o,
                                const float *lse, const struct segment *segments, int count,
                                const struct attention_shape *shape);

    /* INVALID: shape, or a number that is not positive. */
    err_t (*kv_new)(struct backend *, int layers, const struct attention_shape *shape,
                    enum kv_format format, int pages, struct kv_pages **ret);
    /* Page dst becomes what page src is, in all layers. RANGE: no such page. */
    err_t (*kv_copy)(struct backend *, struct kv_pages *, int32_t dst, int32_t src);
    void (*kv_free)(struct backend *, struct kv_pages *);

    /* y += x */
    err_t (*add)(struct backend *, float *y, const float *x, size_t count);
    /* x becomes the nearest bf16, ties to even; still float32. */
    err_t (*round_bf16)(struct backend *, float *x, size_t count);

    /* ---- the vocabulary row. logits (N,V); inverse_temperature multiplies them first. RANGE: a
     * token outside [0,V) */
    /* logp[n] = log softmax(logits[n] * inverse_temperature)[token[n]]; entropy (N) of that row,
     * may be NULL. */
    err_t (*token_logp)(struct backend *, float *logp, float *entropy, const float *logits,
                        const int32_t *token, float inverse_temperature, int N, int V);
    /* In place, logits become d loss/d logits for d loss/d logp = dlogp: dlogp[n] * ([v = token] -
     * softmax) * inverse_temperature; a row with dlogp 0 becomes zeros. */
    err_t (*token_logp_backward)(struct backend *, float *logits, const float *dlogp,
                                 const int32_t *token, float inverse_temperature, int N, int V);
    /* probability[n,v] = softmax(logits[n] * inverse_temperature) exactly as token_logp sums it:
     * sampling reads it. logits and probability may be the same memory. */
    err_t (*softmax)(struct backend *, float *probability, const float *logits,
                     float inverse_temperature, int N, int V);

    /* ---- the optimizer */
    /* Sum of squares in double, in an order fixed by count alone. */
    err_t (*square_sum)(struct backend *, const float *x, size_t count, double *ret);
    /* One AdamW step over fp32 masters; w is rounded to nearest even from them. w[0] is element
     * `first` of the flat array that weights_digest hashes. The digest's change is a sum of integers
     * modulo 2^128, exact in any order. INVALID: the step's number. */
    err_t (*adamw)(struct backend *, float *master, bf16 *w, float *m, float *v, const float *grad,
                   size_t first, size_t count, const struct adamw_step *step,
                   struct adamw_changes *ret);
    err_t (*zero)(struct backend *, void *data, size_t bytes);

    err_t (*sync)(struct backend *);
    void (*free)(struct backend *);
};

struct backend {
    const struct backend_ops *ops;
    /* Set by who opens the backend. */
    struct numerics forward, training;
};

/* One matrix (N,K). */
static inline err_t weight_new(struct backend *be, int N, int K, struct weight **ret)
{
    const struct weight_shape shape = {N, K};
    return be->ops->weights_new(be, &shape, 1, ret);
}

enum cpu_isa { CPU_ISA_BEST, CPU_ISA_PORTABLE, CPU_ISA_AVX2, CPU_ISA_AVX512 };
struct cpu_config {
    int threads; // >= 1, the caller's thread included
    /* BEST: what RLHFD_ISA=portable|avx2|avx512 says, else the best here. Others: tests. */
    enum cpu_isa isa;
    /* Cores that its own threads are bound to (base/cpus.h); NULL or empty: any. The caller binds
     * its own. */
    const char *cpus;
};
/* INVALID: threads, cpus, RLHFD_ISA; UNIMPLEMENTED: this machine lacks that ISA; PRECONDITION: the
 * calling thread's floating-point mode is not the standard one (denormals flushed, other rounding),
 * so nothing would be exact. */
err_t backend_cpu_new(const struct cpu_config *config, struct backend **ret);

static inline void backend_free(struct backend *be)
{
    if (be)
        be->ops->free(be);
}
DEFINE_SCOPED(backend)

/* cos and sin (positions, D/2) of position * theta^(-2i/D), by our own arithmetic: the same bits on
 * every machine. */
void rope_table(float *cos, float *sin, int positions, int D, double theta);
