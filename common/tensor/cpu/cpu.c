/* What the ops stand on: scratch of each thread, and work in chunks. No op is named here; open.c
 * has their table. */
#include "tensor/cpu/cpu.h"
#include "base/mem.h"

void cpu_reserve(struct cpu *cpu, size_t count)
{
    for (int i = 0; i < pool_threads(cpu->pool); i++) {
        struct cpu_scratch *scratch = &cpu->scratch[i];
        if (scratch->count >= count)
            continue;
        mem_free(scratch->data);
        scratch->data = mem_aligned(count * sizeof(float));
        scratch->count = count;
    }
}

int cpu_chunks(const struct cpu *cpu, double work)
{
    const int threads = pool_threads(cpu->pool);
    if (threads == 1 || work < CPU_SMALL || (work < CPU_WAKING && pool_asleep(cpu->pool)))
        return 1;
    return 4 * threads;
}

struct split {
    struct cpu *cpu;
    cpu_range *range;
    const void *job;
    size_t count, grain;
    int chunks;
};

static size_t chunk_begin(const struct split *split, int chunk)
{
    const size_t grains = (split->count + split->grain - 1) / split->grain;
    const size_t begin = grains * (size_t)chunk / (size_t)split->chunks * split->grain;
    return begin < split->count ? begin : split->count;
}

static void split_chunk(void *job, int chunk, int thread)
{
    const struct split *split = job;
    const size_t begin = chunk_begin(split, chunk), end = chunk_begin(split, chunk + 1);
    if (begin < end)
        split->range(split->cpu, split->job, begin, end, thread);
}

void cpu_split(struct cpu *cpu, size_t count, size_t grain, double work, cpu_range *range,
               const void *job)
{
    struct split split = {cpu, range, job, count, grain, cpu_chunks(cpu, work)};
    pool_run(cpu->pool, split.chunks, split_chunk, &split);
}

err_t cpu_step_begin(struct backend *be)
{
    (void)be;
    return OK;
}

err_t cpu_step_end(struct backend *be)
{
    (void)be;
    return OK;
}

err_t cpu_sync(struct backend *be)
{
    (void)be;
    return OK;
}

void cpu_free(struct backend *be)
{
    struct cpu *cpu = cpu_of(be);
    for (int i = 0; i < pool_threads(cpu->pool); i++)
        mem_free(cpu->scratch[i].data);
    mem_free(cpu->scratch);
    pool_free(cpu->pool);
    mem_free(cpu);
}
