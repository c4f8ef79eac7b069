/* Products: matmul, matmuls of one input in one launch, and matmul_dx (gemm.h has the order);
 * matmul_dw (gemm_backward.h). */
#include "base/mem.h"
#include "tensor/cuda/gemm_backward.h"
#include "tensor/cuda/weight.h"
#include <limits.h>

_Static_assert((int)GEMM_PRODUCTS == (int)PRODUCTS_MAX, "one launch for all products of an input");

static enum gemm_family family_of(const struct cuda *cuda)
{
    return cuda->sm == 90 ? GEMM_HOPPER : GEMM_MMA;
}

static err_t run_gemm(struct cuda *cuda, const struct gemm *g)
{
    const struct gemm_plan plan = gemm_plan_of(g);
    void *workspace = NULL;
    TRY(cuda_workspace(cuda, gemm_workspace(g, &plan), &workspace));
    TRY_CUDA(gemm_run(cuda->stream, g, &plan, workspace));
    return OK;
}

static err_t run(struct cuda *cuda, const struct product *products, int count, const float *x,
                 int M, int accumulate)
{
    struct gemm g = {.x = x,
                     .M = M,
                     .K = products[0].w->K,
                     .count = count,
                     .accumulate = accumulate != 0,
                     .precise = products[0].w->precise,
                     .family = family_of(cuda),
                     .processors = cuda->multiprocessors};
    for (int i = 0; i < count; i++)
        g.product[i] =
            (struct gemm_product){products[i].y, products[i].w->packed, products[i].w->N};
    return run_gemm(cuda, &g);
}

static err_t check_packed(const struct weight *w)
{
    return w->packed ? OK
                     : err_new(ERR_INVALID, "weight of %d x %d: it is not packed, as products need",
                               w->N, w->K);
}

err_t cuda_matmul(struct backend *be, float *y, const float *x, const struct weight *w, int M,
                  int accumulate)
{
    TRY(check_packed(w));
    return run(cuda_in_step(be), &(struct product){y, w}, 1, x, M, accumulate);
}

err_t cuda_matmuls(struct backend *be, const struct product *products, int count, const float *x,
                   int M)
{
    struct cuda *cuda = cuda_in_step(be);
    if (count < 1 || count > PRODUCTS_MAX)
        return err_new(ERR_INVALID, "%d products of one input: 1 to %d", count, PRODUCTS_MAX);
    for (int i = 0; i < count; i++) {
        TRY(check_packed(products[i].w));
        if (products[i].w->K != products[0].w->K)
            return err_new(ERR_INVALID, "products of one input: weights of %d and %d columns",
                           products[0].w->K, products[i].w->K);
    }
    /* Neighbours that take x in the same form share a launch. */
    for (int begin = 0, end; begin < count; begin = end) {
        end = begin + 1;
        while (end < count && products[end].w->precise == products[begin].w->precise)
            end++;
        TRY(run(cuda, products + begin, end - begin, x, M, 0));
    }
    return OK;
}

err_t cuda_matmul_dx(struct backend *be, float *dx, const float *dy, const struct weight *w, int M,
                     int accumulate)
{
    struct cuda *cuda = cuda_of(be);
    TRY(check_packed(w));
    const struct gemm g = {.x = dy,
                           .M = M,
                           .K = w->N,
                           .count = 1,
                           .product = {{dx, w->packed, w->K}},
                           .accumulate = accumulate != 0,
                           .across = true,
                           .family = family_of(cuda),
                           .processors = cuda->multiprocessors};
    return run_gemm(cuda, &g);
}

static err_t check_cuts(const struct row_cuts *cuts, int M)
{
    int last = 0;
    for (int i = 0; i < cuts->count; last = cuts->end[i++])
        if (cuts->end[i] < last)
            return err_new(ERR_INVALID, "rows of a product: sequence %d ends at %d, before %d", i,
                           cuts->end[i], last);
    if (last != M)
        return err_new(ERR_INVALID, "rows of a product: %d, and the last sequence ends at %d", M,
                       last);
    const long padding = (GEMM_CORE - 1) * ((long)M / GEMM_CHUNK + cuts->count);
    if (M + padding > INT_MAX)
        return err_new(ERR_INVALID, "rows of a product: %d of %d sequences are too many", M,
                       cuts->count);
    return OK;
}

/* With the chunks where the device reads them. */
static err_t run_dw(struct cuda *cuda, struct gemm_dw *g, const struct row_cuts *cuts)
{
    const void *there = NULL;
    void *workspace = NULL;
    g->chunks = gemm_chunks(cuts->end, cuts->count, NULL, &g->rows);
    SCOPED_MEM struct gemm_chunk *chunk = mem_array((size_t)g->chunks, sizeof *chunk);
    gemm_chunks(cuts->end, cuts->count, chunk, &g->rows);
    TRY(cuda_stage(cuda, chunk, (size_t)g->chunks * sizeof *chunk, &there));
    g->chunk = there;
    const struct gemm_plan plan = gemm_dw_plan_of(g);
    TRY(cuda_workspace(cuda, gemm_dw_workspace(g, &plan), &workspace));
    TRY_CUDA(gemm_dw_run(cuda->stream, g, &plan, workspace));
    return OK;
}

err_t cuda_matmul_dw(struct backend *be, float *dw, const float *dy, const float *x, int M, int N,
                     int K, const struct row_cuts *cuts)
{
    struct cuda *cuda = cuda_of(be);
    const struct row_cuts one = {1, &M};
    struct gemm_dw g = {.dw = dw,
                        .dy = dy,
                        .x = x,
                        .N = N,
                        .K = K,
                        .family = family_of(cuda),
                        .processors = cuda->multiprocessors};
    if (!M)
        return OK;
    TRY(check_cuts(cuts ? cuts : &one, M));
    return run_dw(cuda, &g, cuts ? cuts : &one);
}
