/* The three matrix products of a linear layer. */
#include "tensor/cpu/weight.h"

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

/* What a grid costs beside its multiply-adds, in units of an element of packed rows read once: each
 * cell packs its rows of A again for its panels, and reads, or packs, its panels of B again for its
 * rows. */
static double packing(const struct gemm *g, double columns, int rows, int panels)
{
    enum { ROWS_OF_A = 1, COLUMNS_OF_A = 4, PANELS_OF_B = 1, ROWS_OF_B = 2 };
    const bool panelled = g->kind == B_PANELS_BF16 || g->kind == B_PANELS_F32;
    const double a = (double)g->M * g->K * (g->a_k == 1 ? ROWS_OF_A : COLUMNS_OF_A);
    const double b = columns * g->K * (panelled ? PANELS_OF_B : ROWS_OF_B);
    return a * panels + b * rows;
}

/* Few rows: panels alone, so that weights are read once. */
static void cut_grid(struct grid *grid, int chunks)
{
    enum { ROWS_LEAST = 2 * PANEL }; // of a cell: a tile's worth several times
    const double columns = (double)grid->all * PANEL;
    double least = 0;
    for (int rows = 1; rows <= chunks; rows *= 2) {
        const int left = chunks / rows, panels = grid->all < left ? grid->all : left;
        if (rows > 1 && grid->gemm->M / rows < ROWS_LEAST)
            break;
        /* Cells that are missing are worse than any packing. */
        const double cost =
            packing(grid->gemm, columns, rows, panels) * (rows * panels < chunks ? 1e3 : 1);
        if (rows > 1 && cost >= least)
            continue;
        least = cost;
        grid->rows = rows;
        grid->panels = panels;
    }
}

void cpu_gemm(struct cpu *cpu, const struct gemm *gemm)
{
    double work = 0;
    struct grid grid = {.cpu = cpu, .gemm = gemm, .rows = 1, .panels = 1};
    for (const struct gemm *g = gemm; g; g = g->also) {
        work += (double)g->M * g->N * g->K;
        grid.all += panels_of(g->N);
    }
    cut_grid(&grid, cpu_chunks(cpu, work));
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

err_t cpu_matmul_dx(struct backend *be, float *dx, const float *dy, const struct weight *w, int M,
                    int accumulate)
{
    if (!w->rows)
        return err_new(ERR_INVALID, "weight of %d x %d: it is packed alone, which has no gradient",
                       w->N, w->K);
    cpu_gemm(cpu_of(be), &(struct gemm){.M = M,
                                        .N = w->K,
                                        .K = w->N,
                                        .a = dy,
                                        .a_row = w->N,
                                        .a_k = 1,
                                        .kind = B_ROWS_BF16,
                                        .b = w->rows,
                                        .b_stride = w->K,
                                        .c = dx,
                                        .c_row = w->K,
                                        .accumulate = accumulate != 0});
    return OK;
}

err_t cpu_matmul_dw(struct backend *be, float *dw, const float *dy, const float *x, int M, int N,
                    int K, const struct row_cuts *cuts)
{
    (void)cuts;
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
