/* Weights and the three matrix products of a linear layer. */
#include "base/mem.h"
#include "tensor/cpu/cpu.h"

struct weight {
    int N, K;
    bf16 *panels; // [ceil(N/32)][K][32], column j beside column j + 16
};

static int panels_of(int N)
{
    return (N + PANEL - 1) / PANEL;
}

err_t cpu_weight_new(struct backend *be, int N, int K, struct weight **ret)
{
    (void)be;
    if (N < 1 || K < 1)
        return err_new(ERR_INVALID, "weight of %d x %d: both must be positive", N, K);
    struct weight *weight = mem_new(sizeof *weight);
    *weight = (struct weight){.N = N, .K = K};
    weight->panels = mem_aligned((size_t)panels_of(N) * (size_t)K * PANEL * sizeof(bf16));
    *ret = weight;
    return OK;
}

struct pack_job {
    struct weight *weight;
    const bf16 *w;
};

static void pack_range(struct cpu *cpu, const void *data, size_t begin, size_t end, int thread)
{
    (void)thread;
    const struct pack_job *job = data;
    cpu->kernels->pack_weight(job->weight->panels, job->w, job->weight->N, job->weight->K,
                              (int)begin, (int)end);
}

err_t cpu_weight_pack(struct backend *be, struct weight *weight, const bf16 *w)
{
    const struct pack_job job = {weight, w};
    const double work = (double)weight->N * weight->K;
    cpu_split(cpu_of(be), (size_t)panels_of(weight->N), 1, work, pack_range, &job);
    return OK;
}

void cpu_weight_free(struct backend *be, struct weight *weight)
{
    (void)be;
    if (weight)
        mem_free(weight->panels);
    mem_free(weight);
}

/* The outputs are cut into a grid of row blocks and panel ranges; a chunk is one cell. */
struct grid {
    struct cpu *cpu;
    const struct gemm *gemm;
    int rows, panels; // how many cells down and across
    int all;          // panels of the product
};

static int cut(int count, int piece, int pieces)
{
    return (int)((long)count * piece / pieces);
}

static void grid_cell(void *data, int chunk, int thread)
{
    const struct grid *grid = data;
    const struct gemm *g = grid->gemm;
    const int down = chunk / grid->panels, across = chunk % grid->panels, panels = grid->all;
    const int row0 = cut(g->M, down, grid->rows), row1 = cut(g->M, down + 1, grid->rows);
    const int panel0 = cut(panels, across, grid->panels),
              panel1 = cut(panels, across + 1, grid->panels);
    if (row0 < row1 && panel0 < panel1)
        grid->cpu->kernels->gemm(g, row0, row1, panel0, panel1, grid->cpu->scratch[thread].data);
}

void cpu_gemm(struct cpu *cpu, const struct gemm *gemm)
{
    double work = 0;
    int panels = 0;
    for (const struct gemm *g = gemm; g; g = g->also) {
        work += (double)g->M * g->N * g->K;
        panels += panels_of(g->N);
    }
    const int chunks = cpu_chunks(cpu, work);
    struct grid grid = {cpu, gemm, 1, 1, panels};
    if (chunks > 1 && (panels >= chunks || gemm->M < 2 * PANEL))
        grid.panels = panels < chunks ? panels : chunks;
    else if (chunks > 1)
        grid.rows = gemm->M / PANEL < chunks ? gemm->M / PANEL : chunks;
    pool_run(cpu->pool, grid.rows * grid.panels, grid_cell, &grid);
}

static struct gemm forward_of(float *y, const float *x, const struct weight *w, int M,
                              int accumulate)
{
    return (struct gemm){.M = M,
                         .N = w->N,
                         .K = w->K,
                         .a = x,
                         .a_row = w->K,
                         .a_k = 1,
                         .kind = B_PANELS_BF16,
                         .b = w->panels,
                         .b_stride = (ptrdiff_t)w->K * PANEL,
                         .c = y,
                         .c_row = w->N,
                         .accumulate = accumulate != 0};
}

err_t cpu_matmul(struct backend *be, float *y, const float *x, const struct weight *w, int M,
                 int accumulate)
{
    const struct gemm gemm = forward_of(y, x, w, M, accumulate);
    cpu_gemm(cpu_of(be), &gemm);
    return OK;
}

err_t cpu_matmuls(struct backend *be, const struct product *products, int count, const float *x,
                  int M)
{
    struct gemm gemm[PRODUCTS_MAX];
    if (count < 1 || count > PRODUCTS_MAX)
        return err_new(ERR_INVALID, "%d products of one input: 1 to %d", count, PRODUCTS_MAX);
    for (int i = 0; i < count; i++) {
        if (products[i].w->K != products[0].w->K)
            return err_new(ERR_INVALID, "products of one input: weights of %d and %d columns",
                           products[0].w->K, products[i].w->K);
        gemm[i] = forward_of(products[i].y, x, products[i].w, M, 0);
        gemm[i].also = i + 1 < count ? &gemm[i + 1] : NULL;
    }
    cpu_gemm(cpu_of(be), gemm);
    return OK;
}

err_t cpu_matmul_dx(struct backend *be, float *dx, const float *dy, const bf16 *w, int M, int N,
                    int K, int accumulate)
{
    cpu_gemm(cpu_of(be), &(struct gemm){.M = M,
                                        .N = K,
                                        .K = N,
                                        .a = dy,
                                        .a_row = N,
                                        .a_k = 1,
                                        .kind = B_ROWS_BF16,
                                        .b = w,
                                        .b_stride = K,
                                        .c = dx,
                                        .c_row = K,
                                        .accumulate = accumulate != 0});
    return OK;
}

err_t cpu_matmul_dw(struct backend *be, float *dw, const float *dy, const float *x, int M, int N,
                    int K)
{
    cpu_gemm(cpu_of(be), &(struct gemm){.M = N,
                                        .N = K,
                                        .K = M,
                                        .a = dy,
                                        .a_row = 1,
                                        .a_k = N,
                                        .kind = B_ROWS_F32,
                                        .b = x,
                                        .b_stride = K,
                                        .c = dw,
                                        .c_row = K,
                                        .accumulate = true});
    return OK;
}
