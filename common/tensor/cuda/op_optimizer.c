/* The ops of the optimizer. */
#include "tensor/adamw.h"
#include "tensor/cuda/cuda.h"
#include "tensor/cuda/optimizer.h"

_Static_assert(sizeof(struct optimizer_total) == sizeof(struct adamw_total), "the same words");

err_t cuda_square_sum(struct backend *be, const float *x, size_t count, double *ret)
{
    struct cuda *cuda = cuda_of(be);
    const void *here = NULL;
    void *work = NULL;
    TRY(cuda_workspace(cuda, optimizer_square_bytes(count), &work));
    TRY_CUDA(optimizer_square_sum(cuda->stream, x, count, work));
    TRY(cuda_fetch(cuda, work, sizeof *ret, &here));
    *ret = *(const double *)here;
    return OK;
}

err_t cuda_adamw(struct backend *be, float *master, bf16 *w, float *m, float *v, const float *grad,
                 size_t first, size_t count, const struct adamw_step *step, uint32_t *marks,
                 struct adamw_total *total)
{
    const struct optimizer_arrays arrays = {master, w, m, v, grad};
    struct adamw_constants constants;
    TRY(adamw_constants_of(step, &constants));
    TRY_CUDA(optimizer_adamw(cuda_of(be)->stream, &arrays, first, count, &constants, marks,
                             (struct optimizer_total *)total));
    return OK;
}
