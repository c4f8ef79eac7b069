/* The forward's products: matmul, and matmuls of one input in one launch (gemm.h has the order). */
#include "tensor/cuda/gemm.h"
#include "tensor/cuda/weight.h"

_Static_assert((int)GEMM_PRODUCTS == (int)PRODUCTS_MAX, "one launch for all products of an input");

static err_t run(struct cuda *cuda, const struct product *products, int count, const float *x,
                 int M, int accumulate)
{
    struct gemm g = {.x = x,
                     .M = M,
                     .K = products[0].w->K,
                     .count = count,
                     .accumulate = accumulate != 0,
                     .precise = products[0].w->precise,
                     .family = cuda->sm == 90 ? GEMM_HOPPER : GEMM_MMA,
                     .processors = cuda->multiprocessors};
    for (int i = 0; i < count; i++)
        g.product[i] =
            (struct gemm_product){products[i].y, products[i].w->packed, products[i].w->N};
    const struct gemm_plan plan = gemm_plan_of(&g);
    void *workspace = NULL;
    TRY(cuda_workspace(cuda, gemm_workspace(&g, &plan), &workspace));
    TRY_CUDA(gemm_run(cuda->stream, &g, &plan, workspace));
    return OK;
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
    return run(cuda_of(be), &(struct product){y, w}, 1, x, M, accumulate);
}

err_t cuda_matmuls(struct backend *be, const struct product *products, int count, const float *x,
                   int M)
{
    struct cuda *cuda = cuda_of(be);
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
