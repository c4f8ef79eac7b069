/* Memory of the device: made, filled, copied; scratch. reader.c reads it. */
#include "tensor/cuda/cuda.h"

err_t cuda_memory_new(struct backend *be, size_t bytes, void **ret)
{
    void *memory = NULL;
    cuda_of(be);
    TRY(device_memory(bytes, &memory));
    const err_t e = cuda_zero(be, memory, bytes);
    if (err_failed(e)) {
        cudaFree(memory);
        return e;
    }
    *ret = memory;
    return OK;
}

void cuda_memory_free(struct backend *be, void *address)
{
    cuda_of(be);
    cudaFree(address);
}

err_t cuda_put(struct backend *be, void *to, const void *from, size_t bytes)
{
    struct cuda *cuda = cuda_in_step(be);
    const void *there = NULL;
    if (!steps_collects(cuda))
        return staging_put(&cuda->staging, to, from, bytes);
    TRY(cuda_stage(cuda, from, bytes, &there));
    return cuda_copy(be, to, there, bytes);
}

err_t cuda_copy(struct backend *be, void *to, const void *from, size_t bytes)
{
    struct cuda *cuda = cuda_in_step(be);
    if (steps_collects(cuda))
        steps_copy(cuda, to, from, bytes);
    else if (bytes)
        TRY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda->stream));
    return OK;
}

err_t cuda_zero(struct backend *be, void *data, size_t bytes)
{
    struct cuda *cuda = cuda_in_step(be);
    if (steps_collects(cuda))
        steps_zero(cuda, data, bytes);
    else if (bytes)
        TRY_CUDA(cudaMemsetAsync(data, 0, bytes, cuda->stream));
    return OK;
}

size_t cuda_capacity(struct backend *be, size_t *ret_free)
{
    size_t free_bytes = 0, all = 0;
    cuda_of(be);
    if (cudaMemGetInfo(&free_bytes, &all) != cudaSuccess)
        free_bytes = all = 0;
    if (ret_free)
        *ret_free = free_bytes;
    return all;
}

err_t cuda_workspace(struct cuda *cuda, size_t bytes, void **ret)
{
    if (bytes > cuda->workspace_bytes) {
        TRY(steps_end(cuda)); // its launches have the old one
        TRY_CUDA(cudaStreamSynchronize(cuda->stream));
        cudaFree(cuda->workspace);
        cuda->workspace = NULL;
        cuda->workspace_bytes = 0;
        TRY(device_memory(bytes, &cuda->workspace));
        cuda->workspace_bytes = bytes;
    }
    *ret = cuda->workspace;
    return OK;
}

err_t cuda_stage(struct cuda *cuda, const void *host, size_t bytes, const void **ret)
{
    bool full = true;
    if (steps_collects(cuda))
        TRY(steps_stage(cuda, host, bytes, ret, &full));
    return full ? staging_stage(&cuda->staging, host, bytes, ret) : OK;
}

err_t cuda_step_begin(struct backend *be)
{
    return steps_begin(cuda_of(be));
}

err_t cuda_step_end(struct backend *be)
{
    return steps_end(cuda_in_step(be));
}

err_t cuda_sync(struct backend *be)
{
    struct cuda *cuda = cuda_of(be);
    const err_t failed = cuda->steps.failed;
    cuda->steps.failed = OK;
    TRY(failed);
    TRY_CUDA(cudaStreamSynchronize(cuda->stream));
    return paging_sync(&cuda->paging);
}
