/* Memory of the CPU backend: the process's own, so that an address is a pointer. */
#include "base/mem.h"
#include "tensor/cpu/cpu.h"
#include <string.h>
#include <unistd.h>

/* The kernel says what others leave, once the memory is used. */
size_t cpu_capacity(struct backend *be, size_t *ret_free)
{
    const size_t all = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    (void)be;
    if (ret_free)
        *ret_free = all;
    return all;
}

err_t cpu_memory(size_t bytes, void **ret)
{
    void *address = bytes <= cpu_capacity(NULL, NULL) ? mem_try_aligned(bytes) : NULL;
    if (!address)
        return err_new(ERR_EXHAUSTED, "no memory for %zu bytes of tensors; this machine has %zu",
                       bytes, cpu_capacity(NULL, NULL));
    *ret = address;
    return OK;
}

err_t cpu_memory_new(struct backend *be, size_t bytes, void **ret)
{
    (void)be;
    return cpu_memory(bytes, ret);
}

void cpu_memory_free(struct backend *be, void *address)
{
    (void)be;
    mem_free(address);
}

err_t cpu_copy(struct backend *be, void *to, const void *from, size_t bytes)
{
    (void)be;
    memcpy(to, from, bytes);
    return OK;
}

err_t cpu_put(struct backend *be, void *to, const void *from, size_t bytes)
{
    return cpu_copy(be, to, from, bytes);
}

err_t cpu_get(struct backend *be, void *to, const void *from, size_t bytes)
{
    return cpu_copy(be, to, from, bytes);
}

/* The host's memory is the backend's. A page is copied at once, and slots wait for nothing. */
err_t cpu_host_new(struct backend *be, size_t bytes, void **ret)
{
    return cpu_memory_new(be, bytes, ret);
}

void cpu_host_free(struct backend *be, void *address)
{
    cpu_memory_free(be, address);
}

err_t cpu_page_in(struct backend *be, int slot, void *to, const void *from, size_t bytes)
{
    (void)slot;
    return cpu_copy(be, to, from, bytes);
}

err_t cpu_page_wait(struct backend *be, int slot)
{
    (void)be, (void)slot;
    return OK;
}

err_t cpu_page_out(struct backend *be, int slot, void *to, const void *from, size_t bytes)
{
    (void)slot;
    return cpu_copy(be, to, from, bytes);
}

static void zero_range(struct cpu *cpu, const void *job, size_t begin, size_t end, int thread)
{
    (void)cpu, (void)thread;
    memset(*(char *const *)job + begin, 0, end - begin);
}

err_t cpu_zero(struct backend *be, void *data, size_t bytes)
{
    enum { PAGE = 4096, BYTES_A_MULTIPLY_ADD = 4 };
    char *at = data;
    cpu_split(cpu_of(be), bytes, PAGE, (double)bytes / BYTES_A_MULTIPLY_ADD, zero_range, &at);
    return OK;
}

struct picking {
    float *y;
    const float *x;
    const int32_t *row;
    size_t count, C;
};

static void gather_range(struct cpu *cpu, const void *job, size_t begin, size_t end, int thread)
{
    (void)cpu, (void)thread;
    const struct picking *p = job;
    for (size_t i = begin; i < end; i++)
        memcpy(p->y + i * p->C, p->x + (size_t)p->row[i] * p->C, p->C * sizeof *p->y);
}

err_t cpu_gather(struct backend *be, float *y, const float *x, const int32_t *row, int count, int C)
{
    const struct picking job = {y, x, row, (size_t)count, (size_t)C};
    cpu_split(cpu_of(be), job.count, 1, (double)count * C, gather_range, &job);
    return OK;
}

/* Columns [begin, end) of every row, as rows may repeat. */
static void scatter_range(struct cpu *cpu, const void *job, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct picking *p = job;
    for (size_t i = 0; i < p->count; i++)
        cpu->kernels->add(p->y + (size_t)p->row[i] * p->C + begin, p->x + i * p->C + begin,
                          end - begin);
}

err_t cpu_scatter_add(struct backend *be, float *y, const float *x, const int32_t *row, int count,
                      int C)
{
    enum { LINE = 64 };
    const struct picking job = {y, x, row, (size_t)count, (size_t)C};
    cpu_split(cpu_of(be), job.C, LINE, (double)count * C, scatter_range, &job);
    return OK;
}
