/* The one table of ops, and how to get a device that has them.
 *
 *     SCOPED(backend) be = NULL;
 *     TRY(backend_open(NULL, &(struct backend_config){.threads = 2}, &be));
 *     TRY(be->ops->rmsnorm(be, y, r, x, weight, 1e-5f, N, C));
 *
 * Exactness: every op's output element is a fixed chain of operations on its own inputs. So its
 * bits do not depend on N, on the other rows of the call, on threads, or on the instruction set.
 * cpu/ states each order; the portable build of each source is the specification and the vector
 * builds equal it bit for bit.
 *
 * Accumulation: where a comment says "+=", the chain starts from the values there. So two calls
 * over consecutive rows equal one call over all of them bit for bit. Gradient accumulation
 * therefore equals the large batch.
 *
 * Memory belongs to its backend (tensor/buffer.h). An op's pointers are addresses there. Callers do
 * arithmetic on them, but only the backend reads and writes the memory behind them. Parameters that
 * a comment calls the host's are the caller's own memory, and are free again when the op returns;
 * so are structs. Float32 unless said otherwise.
 *
 * Owner: one thread at a time per backend.
 * To add an op: a row here, its name in ops_table.h, cpu/NAME_isa.c, opaque/, a parity case in
 * tests/parity. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "tensor/digest.h"
#include "tensor/numerics.h"
#include "tensor/row_terms.h"
#include "tensor/tensor.h"
#include "tensor/token_draw.h"
#include <stdbool.h>
#include <stddef.h>

struct backend;

/* A matrix of weights W (N,K): row-major in a buffer, for the optimizer; or packed, as the backend
 * multiplies by it; or both. */
struct weight;
struct weight_form {
    int N, K;
    bf16 *rows;   // row-major, in a buffer that outlives the weight; NULL: not held so
    bool packed;  // held as matmul reads it
    bool precise; // products take x as it is, where the backend rounds it to bf16 for others
};
enum { WEIGHT_ROWS = 32 }; // packed together

enum { PAGE_SLOTS = 3 }; // one is filled, one in use, one emptied

/* New values of single elements of weights: lists in the backend's memory, of a bounded length. */
struct weight_changes;

/* Elements [first, first + count) of a flat array. */
struct extent {
    size_t first, count; // first is a multiple of 32; count at most 2^32 - 1
};
enum { CHANGE_BYTES = 6 }; // of a listed change: its element as uint32_t, its value

/* Keys and values of many sequences: pages of KV_PAGE positions, all layers. Which sequence holds
 * which pages, and how far they are filled, the caller keeps (model/engine/pages.h). */
struct kv_pages;
enum { KV_PAGE = 64 };
enum kv_format { KV_F32, KV_BF16 }; // BF16: K and V must be rounded already (round_bf16)

/* One sequence's rows inside a call: rows first..first+count-1 are its positions
 * start..start+count-1.
 * With pages the call writes K and V there and attends over 0..; position p lies in
 * page[p / KV_PAGE]. A page that one segment writes is in no other segment of the call; a page that
 * is only read may be in many. A page number that does not exist is RANGE, and nothing is written.
 * Without pages (NULL) the segment attends over rows of the call: its own, and for start > 0 the
 * rows prefix..prefix+start-1, which are positions 0..start-1. Those rows begin the last earlier
 * segment with start 0: a prompt is followed by the completions that share it. */
struct segment {
    int first, count, start;
    struct kv_pages *kv;
    const int32_t *page; // borrowed during the call
    int prefix;          // without pages and start > 0: the row of position 0
};

struct attention_shape {
    int H, K, D; // heads, kv heads (H % K == 0), head size (even)
    int window;  // a position sees so many, itself the last of them; 0: all before it
};

/* The rows of a call by the sequences that they belong to: rows [end[i - 1], end[i]) are one's,
 * from 0 on. end is the host's, ascends, and its last is the number of rows. */
struct row_cuts {
    int count;
    const int *end;
};

/* AdamW's constants of one step (Loshchilov & Hutter 2019, decoupled decay). */
struct adamw_step {
    float lr, beta1, beta2, eps, weight_decay;
    float grad_scale; // clipping's factor: each g is multiplied by it first
    long step;        // 1, 2, ...; the bias corrections 1/(1 - beta^step) are computed in double
};

/* The effect of steps on the bf16 values, in the backend's memory: each call adds its own. So the
 * host waits for a device once, after many calls (tensor/adamw.h). */
struct adamw_total {
    uint64_t changed;   // values
    uint64_t high, low; // the digest's change, a sum modulo 2^128
};

/* One of several products of one input. */
enum { PRODUCTS_MAX = 4 };
struct product {
    float *y;
    const struct weight *w;
};

struct backend_ops {
    const char *name; // the kind

    /* ---- memory; see buffer.h, which most callers use */
    /* Zeroed. EXHAUSTED: the device has not so much. */
    err_t (*memory_new)(struct backend *, size_t bytes, void **ret);
    void (*memory_free)(struct backend *, void *address);
    /* put copies from the host's memory, get to it. get: any thread, while nobody writes there. */
    err_t (*put)(struct backend *, void *to, const void *from, size_t bytes);
    err_t (*get)(struct backend *, void *to, const void *from, size_t bytes);
    err_t (*copy)(struct backend *, void *to, const void *from, size_t bytes);
    err_t (*zero)(struct backend *, void *data, size_t bytes);
    /* Bytes that the device has in all; *ret_free, unless NULL: those that nobody has taken. */
    size_t (*capacity)(struct backend *, size_t *ret_free);

    /* ---- the host's memory, for what the device has no room for; buffer.h has it, too */
    /* Zeroed, and the caller's to read and write while no copy is under way (sync). EXHAUSTED. */
    err_t (*host_new)(struct backend *, size_t bytes, void **ret);
    void (*host_free)(struct backend *, void *address);
    /* Copies between such memory and the backend's, beside the ops and in both directions at once.
     * slot, below PAGE_SLOTS: a page_in begins when all that page_out took from its slot before is
     * there. page_wait: ops called from here on see what page_in brought to the slot. page_out
     * copies what ops called before left. */
    err_t (*page_in)(struct backend *, int slot, void *to, const void *from, size_t bytes);
    err_t (*page_wait)(struct backend *, int slot);
    err_t (*page_out)(struct backend *, int slot, void *to, const void *from, size_t bytes);

    /* Rows of C elements; row (count) is the host's. y[i] = x[row[i]]. */
    err_t (*gather)(struct backend *, float *y, const float *x, const int32_t *row, int count,
                    int C);
    /* y[row[i]] += x[i], i ascending. */
    err_t (*scatter_add)(struct backend *, float *y, const float *x, const int32_t *row, int count,
                         int C);

    /* ---- weights */
    /* `count` matrices. Packed weights are zero, in one block of memory, which goes with the last
     * of them. INVALID: a shape, or neither form; EXHAUSTED. */
    err_t (*weights_new)(struct backend *, const struct weight_form *form, int count,
                         struct weight **ret);
    /* Rows [row, row + rows) become w (rows,K), the host's, in each form. row is a multiple of
     * WEIGHT_ROWS, and so is rows unless they are the last: else RANGE. */
    err_t (*weight_put)(struct backend *, struct weight *, const bf16 *w, int row, int rows);
    /* The row-major form was changed: the packed one follows. INVALID: there are not both. */
    err_t (*weight_repack)(struct backend *, struct weight *);
    /* Elements [first, first + count) of W row-major, exactly, to the host. Any thread, while
     * nobody changes them. */
    err_t (*weight_get)(struct backend *, const struct weight *, size_t first, size_t count,
                        bf16 *ret);
    void (*weight_free)(struct backend *, struct weight *);

    /* Room for `most` changes. INVALID: none; EXHAUSTED. */
    err_t (*changes_new)(struct backend *, size_t most, struct weight_changes **ret);
    /* W[first + index[i]], row-major, is to be value[i]. index and value (count) are the host's,
     * and come beside the ops under way: W stays as it is, and nothing waits for a device. An
     * element is added once at most. RANGE: an element outside W; EXHAUSTED: more than `most` in
     * all. Nothing was added then. */
    err_t (*changes_add)(struct backend *, struct weight_changes *, struct weight *, size_t first,
                         const uint32_t *index, const bf16 *value, size_t count);
    /* All that was added comes into force, in each form of the weights. None is left. */
    err_t (*changes_apply)(struct backend *, struct weight_changes *);
    void (*changes_free)(struct backend *, struct weight_changes *);
    /* Lists the elements of the flat array w whose mark is set: bit i % 32 of word i / 32 is
     * element i's. `list` becomes the elements as uint32_t, each counted from its extent's first,
     * and behind all of them their values. They ascend, extent by extent; extents ascend, too.
     * extent (extents) and ret_count (extents), how many each has, are the host's. Waits for the
     * device. EXHAUSTED: they are more than `most`, and nothing was listed; ret_count is right. */
    err_t (*changes_list)(struct backend *, const bf16 *w, const uint32_t *marks,
                          const struct extent *extent, int extents, size_t most, void *list,
                          uint32_t *ret_count);
    /* W[index[i]], row-major, becomes value[i] in each form. index and value (count) are not the
     * host's: another library may have brought them. An element is there once at most. Elements
     * outside W are left out. */
    err_t (*weight_change)(struct backend *, struct weight *, const uint32_t *index,
                           const bf16 *value, size_t count);

    /* y[m,n] (+)= sum_k x[m,k] W[n,k]; one fma chain over k ascending from +0 (or from y if
     * accumulate). x (M,K), y (M,N). */
    err_t (*matmul)(struct backend *, float *y, const float *x, const struct weight *w, int M,
                    int accumulate);
    /* For each of the products y = x W^T, the bits of matmul: one pass over x. INVALID: no product,
     * more than PRODUCTS_MAX, or weights of several widths. */
    err_t (*matmuls)(struct backend *, const struct product *products, int count, const float *x,
                     int M);
    /* dx[m,k] (+)= sum_n dy[m,n] W[n,k]; chain over n ascending. INVALID: w is not held in the form
     * that the backend reads here, row-major on the CPU and packed on CUDA. */
    err_t (*matmul_dx)(struct backend *, float *dx, const float *dy, const struct weight *w, int M,
                       int accumulate);
    /* dw[n,k] += sum_m dy[m,n] x[m,k]; chain over m ascending, from dw. A backend may sum each
     * sequence's rows by themselves, and add such sums to dw in order. Two calls equal one there,
     * too, if they are cut between sequences. cuts NULL: all rows are one sequence's. */
    err_t (*matmul_dw)(struct backend *, float *dw, const float *dy, const float *x, int M, int N,
                       int K, const struct row_cuts *cuts);

    /* ---- pieces of a decoder layer */
    /* y[n] = row token[n] of the table (V,C), from either form. */
    err_t (*embed)(struct backend *, float *y, const struct weight *table, const int32_t *token,
                   int N);
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

    /* y = (x - mean) * r * weight, r[n] = 1/sqrt(mean((x[n] - mean)^2) + eps) (Ba 2016). stats
     * (N,2), a row's mean and its r, are kept for the backward. */
    err_t (*layernorm)(struct backend *, float *y, float *stats, const float *x, const bf16 *weight,
                       float eps, int N, int C);
    /* dx += ...; dweight += ... (rows ascending). */
    err_t (*layernorm_backward)(struct backend *, float *dx, float *dweight, const float *dy,
                                const float *x, const float *stats, const bf16 *weight, int N,
                                int C);

    /* y[n] += bias; bias (C). */
    err_t (*bias)(struct backend *, float *y, const bf16 *bias, int N, int C);
    /* dbias += dy[n], rows ascending. */
    err_t (*bias_backward)(struct backend *, float *dbias, const float *dy, int N, int C);

    /* In place on the first R elements of each head of x (N, heads, D), the rotate-half convention
     * of Hugging Face (Su 2021): pairs (d, d + R/2). table (positions, R/2) cos then sin from
     * rope_table() (tensor/rope.h); inverse != 0 turns by the transpose (the backward). INVALID: R
     * is odd, or not from 2 to D. */
    err_t (*rope)(struct backend *, float *x, const int32_t *position, const float *cos,
                  const float *sin, int N, int heads, int D, int R, int inverse);

    /* y = silu(gate) * up (Shazeer 2020). Here and in add, a result may be the same memory as a
     * source. */
    err_t (*swiglu)(struct backend *, float *y, const float *gate, const float *up, size_t count);
    err_t (*swiglu_backward)(struct backend *, float *dgate, float *dup, const float *dy,
                             const float *gate, const float *up, size_t count);

    /* y = x * Phi(x), Phi the normal distribution's (Hendrycks & Gimpel 2016); by_tanh != 0: its
     * approximation, 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). The backward overwrites dx,
     * which may be dy. */
    err_t (*gelu)(struct backend *, float *y, const float *x, size_t count, int by_tanh);
    err_t (*gelu_backward)(struct backend *, float *dx, const float *dy, const float *x,
                           size_t count, int by_tanh);

    /* Causal attention, softmax(q k / sqrt(D)) v, per segment. A position sees those before it, of
     * them the last that the shape's window has. RANGE: see struct segment. q,o
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
    /* x *= factor */
    err_t (*scale)(struct backend *, float *x, float factor, size_t count);
    /* x becomes the nearest bf16, ties to even; still float32. */
    err_t (*round_bf16)(struct backend *, float *x, size_t count);

    /* ---- the vocabulary row. logits (N,V); inverse_temperature multiplies them first. token,
     * logp, entropy and dlogp (N) are the host's. RANGE: a token outside [0,V) */
    /* logp[n] = log softmax(logits[n] * inverse_temperature)[token[n]]; entropy of that row,
     * may be NULL. */
    err_t (*token_logp)(struct backend *, float *logp, float *entropy, const float *logits,
                        const int32_t *token, float inverse_temperature, int N, int V);
    /* In place, logits become d loss/d logits for d loss/d logp = dlogp: dlogp[n] * ([v = token] -
     * softmax) * inverse_temperature; a row with dlogp 0 becomes zeros. */
    err_t (*token_logp_backward)(struct backend *, float *logits, const float *dlogp,
                                 const int32_t *token, float inverse_temperature, int N, int V);
    /* Terms of whole rows (tensor/row_terms.h). reference (N,V); NULL: none, and its terms are 0.
     * RANGE: a token outside [0,V). */
    err_t (*row_terms)(struct backend *, const float *logits, const float *reference,
                       const struct row_call *call, const struct row_values *ret);
    /* In place, logits become d loss/d logits for d loss/d term = slopes, and d loss/d logp of the
     * tokens. A row whose slopes are all 0 becomes zeros. */
    err_t (*row_terms_backward)(struct backend *, float *logits, const float *reference,
                                const struct row_call *call, const struct row_slopes *slopes);
    /* In place, the logits of these tokens become -infinity in every row. Then no draw takes them,
     * and token_logp, the entropy and token_logp_backward are those of a softmax over the others.
     * range (ranges) is the host's. RANGE: tokens outside [0,V); nothing was changed. */
    err_t (*token_mask)(struct backend *, float *logits, const struct token_range *range,
                        int ranges, int N, int V);
    /* One token for each request (tensor/token_draw.h): all draws of a step are one call. request
     * (count) and ret are the host's. RANGE: a row outside [0,N), or a penalised token outside
     * [0,V); nothing was drawn. */
    err_t (*token_draw)(struct backend *, const float *logits, int N, int V,
                        const struct token_request *request, int count, struct token_draw *ret);

    /* ---- the optimizer */
    /* weights_digest of w, whose first element is `first` of the flat array. */
    err_t (*digest)(struct backend *, const bf16 *w, size_t first, size_t count,
                    struct digest *ret);
    /* Sum of squares in double, in an order fixed by count alone. */
    err_t (*square_sum)(struct backend *, const float *x, size_t count, double *ret);
    /* One AdamW step over fp32 masters; w is rounded to nearest even from them. w[0] is element
     * `first` of the flat array that weights_digest hashes. *total grows by the changes,
     * exactly in any order. marks: bit i % 32 of word i / 32 is set where w[i]
     * changed, others stay; NULL: they are not wanted. INVALID: the step's number. */
    err_t (*adamw)(struct backend *, float *master, bf16 *w, float *m, float *v, const float *grad,
                   size_t first, size_t count, const struct adamw_step *step, uint32_t *marks,
                   struct adamw_total *total);

    /* Between the two, ops may wait for each other: a backend that gives its device work sees a
     * whole step of decoding before the first of it is done. Memory is the same as without, and an
     * op that returns values waits for them, which ends the step. Values that other threads read
     * are there behind step_end. */
    err_t (*step_begin)(struct backend *);
    err_t (*step_end)(struct backend *);

    /* Waits for all that was begun. */
    err_t (*sync)(struct backend *);
    void (*free)(struct backend *);
};

struct backend {
    const struct backend_ops *ops;
    /* The opener of the kind sets these (tensor/numerics.h). */
    struct numerics forward, training;
    bool rounds;     // products take x rounded to bf16, unless their weight is precise
    bool round_head; // as the config has it
    bool apart;      // its memory is not the host's: what is large goes there beside the ops
    bool cuda;       // its addresses are those of CUDA's runtime: NCCL may read and write there
    /* Of steps that were given to the device as a whole; the owner reads them. */
    struct backend_steps {
        uint64_t steps, by_graph; // by_graph: by one call
        uint64_t launches;        // in the steps: kernels, copies, fills
        uint64_t made, changed;   // graphs made anew; made of others
        char plain[160];          // why there are no graphs; empty: there may be some
    } steps;
};

enum cpu_isa { CPU_ISA_BEST, CPU_ISA_PORTABLE, CPU_ISA_AVX2, CPU_ISA_AVX512 };
enum backend_wanted {
    BACKEND_NAMED, // by RLHFD_BACKEND, else the CPU
    BACKEND_AUTO,  // RLHFD_BACKEND if it is set; else CUDA where it can do all, else the CPU
    BACKEND_CPU,
    BACKEND_CUDA, // the module "cuda", or another that RLHFD_BACKEND names
};
struct backend_config {
    int threads; // >= 1, the caller's thread included
    /* BEST: the value of RLHFD_ISA=portable|avx2|avx512, else the best here. Others: tests. */
    enum cpu_isa isa;
    /* Cores that its own threads are bound to (base/cpus.h); NULL or empty: any. The caller binds
     * its own. */
    const char *cpus;
    int device;                 // of a kind that has several: its number, from 0 on
    enum backend_wanted wanted; // where no kind is given
    bool trains;                // AUTO, CUDA: a backend that lacks an op of training is refused.
    bool round_head;            // The model's vocabulary head is not precise (struct weight_form).
    /* Called once a backend is open that `wanted` chose. id is its forward id. why says in one line
     * why AUTO took the CPU, and is NULL otherwise. NULL: no call is made. */
    void (*told)(const char *id, const char *why);
};

/* The one way in. kind: "cpu"; "opaque", the same with memory that nobody else can touch
 * (opaque/opaque.h); another word, for the module librlhfd_KIND.so beside the running program; or a
 * module's path. NULL: as config->wanted has it. INVALID: threads, cpus, device, RLHFD_ISA, or a
 * kind that is no word. UNIMPLEMENTED: this machine lacks the instruction set, or the module an op
 * that is needed. NOT_FOUND: there is no such module, or no device that it can use. PRECONDITION:
 * the module cannot be loaded, or is of another version. PRECONDITION, too: the calling thread's
 * floating-point mode is not the standard one (denormals flushed, other rounding), so nothing would
 * be exact. */
err_t backend_open(const char *kind, const struct backend_config *config, struct backend **ret);

/* The same refusals without a look at devices: nothing is opened. */
err_t backend_check(const char *kind, const struct backend_config *config);

/* A module exports one of these under this name. */
#define BACKEND_MODULE "rlhfd_backend_module"
enum { BACKEND_ABI = 12 }; // raised with every change of this file's structs
struct backend_module {
    int abi; // BACKEND_ABI of the build that it belongs to
    err_t (*open)(const struct backend_config *config, struct backend **ret);
    /* Names of the ops that it lacks, a blank between; NULL: it has all. */
    const char *(*missing)(void);
};

static inline void backend_free(struct backend *be)
{
    if (be)
        be->ops->free(be);
}
DEFINE_SCOPED(backend)
