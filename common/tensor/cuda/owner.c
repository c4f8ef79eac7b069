/* The beginning of every op: its device becomes the thread's, and a step that was collected
 * ends. */
#include "tensor/cuda/cuda.h"

static _Thread_local bool overlap = true; // of the device that the thread's ops are on

bool launches_early(void)
{
    return overlap;
}

struct cuda *cuda_in_step(struct backend *be)
{
    struct cuda *cuda = (struct cuda *)be;
    static _Thread_local int current = -1;
    if (current != cuda->device && cudaSetDevice(cuda->device) == cudaSuccess)
        current = cuda->device;
    overlap = cuda->early;
    return cuda;
}

struct cuda *cuda_of(struct backend *be)
{
    struct cuda *cuda = cuda_in_step(be);
    const err_t e = steps_end(cuda);
    if (err_failed(e) && !err_failed(cuda->steps.failed))
        cuda->steps.failed = e;
    else
        err_free(e);
    return cuda;
}
