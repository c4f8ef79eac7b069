/* Weights: packed for the products, read back, looked up as a table. */
#include "tensor/cpu/weight.h"
#include "base/mem.h"
#include "tensor/forms_check.h"
#include <string.h>

struct weight_block {
    bf16 *memory;
    int weights; // that lie in it
};

static size_t panel_elements(const struct weight_form *form)
{
    return form->packed ? (size_t)panels_of(form->N) * (size_t)form->K * PANEL : 0;
}

err_t cpu_weights_new(struct backend *be, const struct weight_form *form, int count,
                      struct weight **ret)
{
    (void)be;
    size_t elements = 0;
    TRY(weight_forms_check(form, count));
    for (int i = 0; i < count; i++)
        elements += panel_elements(&form[i]);
    if (!count)
        return OK;
    void *memory = NULL;
    TRY(cpu_memory(elements * sizeof(bf16), &memory));
    struct weight_block *block = mem_new(sizeof *block);
    *block = (struct weight_block){memory, count};
    bf16 *at = block->memory;
    for (int i = 0; i < count; i++) {
        const struct weight weight = {.N = form[i].N,
                                      .K = form[i].K,
                                      .rows = form[i].rows,
                                      .panels = form[i].packed ? at : NULL,
                                      .block = block};
        ret[i] = mem_copy(&weight, sizeof weight);
        at += panel_elements(&form[i]);
    }
    return OK;
}

struct pack_job {
    bf16 *panels;
    const bf16 *w;
    int rows, K;
};

static void pack_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct pack_job *job = data;
    cpu->kernels->pack_weight(job->panels, job->w, job->rows, job->K, (int)begin, (int)end);
}

static void pack(struct cpu *cpu, struct weight *weight, const bf16 *w, int row, int rows)
{
    const struct pack_job job = {weight->panels + (size_t)row * (size_t)weight->K, w, rows,
                                 weight->K};
    cpu_split(cpu, (size_t)panels_of(rows), 1, (double)rows * weight->K, pack_range, &job);
}

err_t cpu_weight_put(struct backend *be, struct weight *weight, const bf16 *w, int row, int rows)
{
    if (row < 0 || rows < 0 || rows > weight->N - row || row % PANEL ||
        (rows % PANEL && row + rows != weight->N))
        return err_new(ERR_RANGE, "weight of %d rows: %d rows from %d on cannot be packed alone",
                       weight->N, rows, row);
    const size_t K = (size_t)weight->K;
    if (weight->rows)
        memcpy(weight->rows + (size_t)row * K, w, (size_t)rows * K * sizeof *w);
    if (weight->panels)
        pack(cpu_of(be), weight, w, row, rows);
    return OK;
}

err_t cpu_weight_repack(struct backend *be, struct weight *weight)
{
    if (!weight->rows || !weight->panels)
        return err_new(ERR_INVALID,
                       "weight of %d x %d: only what is held in both forms is packed "
                       "again",
                       weight->N, weight->K);
    pack(cpu_of(be), weight, weight->rows, 0, weight->N);
    return OK;
}

/* Out of the panels. */
static void unpack(const struct weight *weight, size_t first, size_t count, bf16 *ret)
{
    const size_t K = (size_t)weight->K;
    while (count) {
        const size_t n = first / K, k = first % K;
        if (k == 0 && n % PANEL == 0 && count >= PANEL * K) { // a panel, in its own order
            const bf16 *panel = weight->panels + n * K;
            for (size_t i = 0; i < K; i++)
                for (size_t j = 0; j < PANEL; j++)
                    ret[(j % 2 * 16 + j / 2) * K + i] = panel[i * PANEL + j];
            ret += PANEL * K, first += PANEL * K, count -= PANEL * K;
            continue;
        }
        const bf16 *from = weight_place(weight, n) + k * PANEL;
        const size_t some = count < K - k ? count : K - k;
        for (size_t i = 0; i < some; i++)
            ret[i] = from[i * PANEL];
        ret += some, first += some, count -= some;
    }
}

err_t cpu_weight_get(struct backend *be, const struct weight *weight, size_t first, size_t count,
                     bf16 *ret)
{
    (void)be;
    if (weight->rows)
        memcpy(ret, weight->rows + first, count * sizeof *ret);
    else
        unpack(weight, first, count, ret);
    return OK;
}

struct embed_job {
    float *y;
    const struct weight *table;
    const int32_t *token;
};

static void embed_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct embed_job *job = data;
    const struct weight *table = job->table;
    const size_t K = (size_t)table->K;
    if (table->rows)
        cpu->kernels->embed(job->y + begin * K, table->rows, job->token + begin, (int)(end - begin),
                            table->K);
    for (size_t n = begin; n < end && !table->rows; n++) {
        const bf16 *from = weight_place(table, (size_t)job->token[n]);
        for (size_t k = 0; k < K; k++)
            job->y[n * K + k] = bf16_to_float(from[k * PANEL]);
    }
}

err_t cpu_embed(struct backend *be, float *y, const struct weight *table, const int32_t *token,
                int N)
{
    enum { ROW_COST = 1, PACKED_COST = 4 };
    const struct embed_job job = {y, table, token};
    const double work = (double)N * table->K * (table->rows ? ROW_COST : PACKED_COST);
    cpu_split(cpu_of(be), (size_t)N, 1, work, embed_range, &job);
    return OK;
}

void cpu_weight_free(struct backend *be, struct weight *weight)
{
    (void)be;
    if (!weight)
        return;
    struct weight_block *block = weight->block;
    if (--block->weights == 0) {
        mem_free(block->memory);
        mem_free(block);
    }
    mem_free(weight);
}
