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
#include "tensor/ops_table.h"

struct cpu {
    struct backend base; // first: a struct backend * of ours is a struct cpu *
    const struct cpu_kernels *kernels;
    struct pool *pool;
    struct cpu_scratch {
        float *data;
        size_t count;
    } * scratch; // one for each thread; never shrinks
};

static inline struct cpu *cpu_of(struct backend *be)
{
    return (struct cpu *)be;
}

/* The least work that is worth handing to threads, in multiply-adds (tens of them a nanosecond).
 * Less is enough for threads that spin than for those that sleep: to wake takes a system call and
 * tens of microseconds. */
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

/* Zeroed, 64-byte aligned, freed with mem_free. EXHAUSTED: more than the machine has. */
err_t cpu_memory(size_t bytes, void **ret);

/* Every op as cpu_NAME, with the signature of struct backend_ops. */
#define CPU_OP(op) __typeof__(*((struct backend_ops *)0)->op) cpu_##op;
BACKEND_OPS(CPU_OP)
