/* Digests, sums of squares and AdamW, split over the pool. */
#include "base/mem.h"
#include "tensor/adamw.h"
#include "tensor/cpu/cpu.h"

enum { SUM_BLOCK = 16384, UPDATE_GRAIN = 64, UPDATE_COST = 16 };
_Static_assert(UPDATE_GRAIN % 32 == 0, "no two threads set marks in one word");

struct sum_job {
    const float *x;
    size_t count;
    double *sums; // one for each block
};

static void sum_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct sum_job *job = data;
    for (size_t block = begin; block < end; block++) {
        const size_t at = block * SUM_BLOCK, left = job->count - at;
        job->sums[block] =
            cpu->kernels->square_sum(job->x + at, left < SUM_BLOCK ? left : SUM_BLOCK);
    }
}

/* Blocks of a fixed size, then their sums ascending: the order follows from count alone. */
err_t cpu_square_sum(struct backend *be, const float *x, size_t count, double *ret)
{
    const size_t blocks = (count + SUM_BLOCK - 1) / SUM_BLOCK;
    SCOPED_MEM double *sums = mem_array(blocks, sizeof *sums);
    const struct sum_job job = {x, count, sums};
    cpu_split(cpu_of(be), blocks, 1, (double)count, sum_range, &job);
    double sum = 0;
    for (size_t block = 0; block < blocks; block++)
        sum += sums[block];
    *ret = sum;
    return OK;
}

struct digest_job {
    const bf16 *w;
    size_t first;
    struct digest *sum; // (threads)
};

static void digest_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)cpu;
    const struct digest_job *job = data;
    const struct digest part = weights_digest(job->w + begin, job->first + begin, end - begin);
    job->sum[thread] = weights_digest_add(job->sum[thread], part);
}

err_t cpu_digest(struct backend *be, const bf16 *w, size_t first, size_t count, struct digest *ret)
{
    const int threads = pool_threads(cpu_of(be)->pool);
    SCOPED_MEM struct digest *sum = mem_array((size_t)threads, sizeof *sum);
    const struct digest_job job = {w, first, sum};
    cpu_split(cpu_of(be), count, UPDATE_GRAIN, (double)count * UPDATE_COST, digest_range, &job);
    for (int i = 1; i < threads; i++)
        sum[0] = weights_digest_add(sum[0], sum[i]);
    *ret = sum[0];
    return OK;
}

struct update_job {
    float *master;
    bf16 *w;
    float *m, *v;
    const float *grad;
    struct adamw_constants constants;
    size_t first;
    uint32_t *marks;       // NULL: not wanted
    struct adamw_sum *sum; // (threads)
};

static void update_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    const struct update_job *job = data;
    cpu->kernels->adamw(job->master + begin, job->w + begin, job->m + begin, job->v + begin,
                        job->grad + begin, job->first + begin, end - begin, &job->constants,
                        job->marks ? job->marks + begin / 32 : NULL, &job->sum[thread]);
}

err_t cpu_adamw(struct backend *be, float *master, bf16 *w, float *m, float *v, const float *grad,
                size_t first, size_t count, const struct adamw_step *step, uint32_t *marks,
                struct adamw_total *total)
{
    const int threads = pool_threads(cpu_of(be)->pool);
    struct update_job job = {master, w, m, v, grad, .first = first, .marks = marks};
    TRY(adamw_constants_of(step, &job.constants));
    SCOPED_MEM struct adamw_sum *sum = mem_array((size_t)threads, sizeof *sum);
    job.sum = sum;
    cpu_split(cpu_of(be), count, UPDATE_GRAIN, (double)count * UPDATE_COST, update_range, &job);
    u128 digest = (u128)total->high << 64 | total->low;
    for (int i = 0; i < threads; i++) {
        total->changed += sum[i].changed;
        digest += sum[i].digest;
    }
    total->high = (uint64_t)(digest >> 64);
    total->low = (uint64_t)digest;
    return OK;
}
