/* Results of the owner's ops for the host. */
#include "tensor/cuda/cuda.h"

enum { RESULTS_LEAST = 64 << 10 };

err_t cuda_fetch(struct cuda *cuda, const void *from, size_t bytes, const void **ret)
{
    struct cuda_results *r = &cuda->results;
    TRY(steps_end(cuda));
    if (!r->done)
        TRY_CUDA(cudaEventCreateWithFlags(&r->done, cudaEventDisableTiming));
    if (bytes > r->bytes) {
        void *pinned = NULL;
        const size_t larger = bytes > RESULTS_LEAST ? 2 * bytes : RESULTS_LEAST;
        TRY_CUDA(cudaMallocHost(&pinned, larger));
        if (r->pinned)
            cudaFreeHost(r->pinned);
        r->pinned = pinned;
        r->bytes = larger;
    }
    TRY_CUDA(cudaMemcpyAsync(r->pinned, from, bytes, cudaMemcpyDeviceToHost, cuda->stream));
    TRY_CUDA(cudaEventRecord(r->done, cuda->stream));
    TRY_CUDA(cudaEventSynchronize(r->done));
    *ret = r->pinned;
    return OK;
}

void results_done(struct cuda_results *results)
{
    if (results->pinned)
        cudaFreeHost(results->pinned);
    if (results->done)
        cudaEventDestroy(results->done);
}
