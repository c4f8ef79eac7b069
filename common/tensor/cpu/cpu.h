/* The CPU backend's inside: the kernels chosen, the pool, each thread's scratch; and how work is
 * split.
 *
 *     struct rows job = {...};
 *     cpu_split(cpu_of(be), N, 1, (double)N * C, rows_range, &job);
 *                               -- rows_range(cpu, &job, begin, end, thread) for ranges of 0..N
 *
 * Owner: the thread that owns the backend. */
#pragma once
#include "tensor/backend.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/pool.h"

struct cpu {
    struct backend base; // first: a struct backend * of ours is a struct cpu *
    const struct cpu_kernels *kernels;
    struct pool *pool;
    struct cpu_scratch {
        float *data;
        size_t count;
    } * scratch; // one for each thread; only grows
};

static inline struct cpu *cpu_of(struct backend *be)
{
    return (struct cpu *)be;
}

/* Work, in multiply-adds or what takes as long (tens of them a nanosecond), below which a job is not
 * worth handing to threads that spin; and to sleepers, who take a system call and tens of
 * microseconds to come. */
enum { CPU_SMALL = 150000, CPU_WAKING = 1000000 };

/* Gives every thread `count` floats of scratch. Before a job, never inside. */
void cpu_reserve(struct cpu *cpu, size_t count);

/* How many chunks a job of this much work is cut into: 1 if small. */
int cpu_chunks(const struct cpu *cpu, double work);

/* Runs range over [0, count) in chunks of multiples of `grain`. */
typedef void cpu_range(struct cpu *cpu, const void *job, size_t begin, size_t end, int thread);
void cpu_split(struct cpu *cpu, size_t count, size_t grain, double work, cpu_range *range,
               const void *job);

/* A matrix product over the pool. */
void cpu_gemm(struct cpu *cpu, const struct gemm *gemm);

/* The ops, by the file that has them. */
err_t cpu_weights_new(struct backend *, const struct weight_shape *shape, int count,
                      struct weight **ret);
err_t cpu_weight_pack(struct backend *, struct weight *, const bf16 *w, int row, int rows);
void cpu_weight_read(const struct weight *, size_t first, size_t count, bf16 *ret);
void cpu_weight_free(struct backend *, struct weight *);
err_t cpu_matmul(struct backend *, float *y, const float *x, const struct weight *w, int M,
                 int accumulate);
err_t cpu_matmuls(struct backend *, const struct product *products, int count, const float *x,
                  int M);
err_t cpu_matmul_dx(struct backend *, float *dx, const float *dy, const bf16 *w, int M, int N,
                    int K, int accumulate);
err_t cpu_matmul_dw(struct backend *, float *dw, const float *dy, const float *x, int M, int N,
                    int K);

err_t cpu_attention(struct backend *, float *o, float *lse, const float *q, const float *k,
                    const float *v, const struct segment *segments, int count,
                    const struct attention_shape *shape, int layer);
err_t cpu_attention_backward(struct backend *, float *dq, float *dk, float *dv, const float *d_o,
                             const float *q, const float *k, const float *v, const float *o,
                             const float *lse, const struct segment *segments, int count,
                             const struct attention_shape *shape);
err_t cpu_kv_new(struct backend *, int layers, const struct attention_shape *shape,
                 enum kv_format format, int pages, struct kv_pages **ret);
err_t cpu_kv_copy(struct backend *, struct kv_pages *, int32_t dst, int32_t src);
void cpu_kv_free(struct backend *, struct kv_pages *);

err_t cpu_embed_weight(struct backend *, float *y, const struct weight *table, const int32_t *token,
                       int N);
err_t cpu_embed(struct backend *, float *y, const bf16 *table, const int32_t *token, int N, int C);
err_t cpu_embed_backward(struct backend *, float *dtable, const float *dy, const int32_t *token,
                         int N, int C);
err_t cpu_rmsnorm(struct backend *, float *y, float *r, const float *x, const bf16 *weight,
                  float eps, int N, int C);
err_t cpu_rmsnorm_backward(struct backend *, float *dx, float *dweight, const float *dy,
                           const float *x, const float *r, const bf16 *weight, int N, int C);
err_t cpu_bias(struct backend *, float *y, const bf16 *bias, int N, int C);
err_t cpu_bias_backward(struct backend *, float *dbias, const float *dy, int N, int C);
err_t cpu_rope(struct backend *, float *x, const int32_t *position, const float *cos,
               const float *sin, int N, int heads, int D, int inverse);
err_t cpu_swiglu(struct backend *, float *y, const float *gate, const float *up, size_t count);
err_t cpu_swiglu_backward(struct backend *, float *dgate, float *dup, const float *dy,
                          const float *gate, const float *up, size_t count);
err_t cpu_add(struct backend *, float *y, const float *x, size_t count);
err_t cpu_round_bf16(struct backend *, float *x, size_t count);

err_t cpu_token_logp(struct backend *, float *logp, float *entropy, const float *logits,
                     const int32_t *token, float inverse_temperature, int N, int V);
err_t cpu_token_logp_backward(struct backend *, float *logits, const float *dlogp,
                              const int32_t *token, float inverse_temperature, int N, int V);
err_t cpu_softmax(struct backend *, float *probability, const float *logits,
                  float inverse_temperature, int N, int V);

err_t cpu_square_sum(struct backend *, const float *x, size_t count, double *ret);
err_t cpu_adamw(struct backend *, float *master, bf16 *w, float *m, float *v, const float *grad,
                size_t first, size_t count, const struct adamw_step *step,
                struct adamw_changes *ret);
