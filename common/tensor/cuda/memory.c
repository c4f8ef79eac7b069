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
    return staging_put(&cuda_of(be)->staging, to, from, bytes);
}

err_t cuda_copy(struct backend *be, void *to, const void *from, size_t bytes)
{
    struct cuda *cuda = cuda_of(be);
    if (bytes)
        TRY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda->stream));
    return OK;
}

err_t cuda_zero(struct backend *be, void *data, size_t bytes)
{
    struct cuda *cuda = cuda_of(be);
    if (bytes)
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
    return staging_stage(&cuda->staging, host, bytes, ret);
}

err_t cuda_sync(struct backend *be)
{
    struct cuda *cuda = cuda_of(be);
    TRY_CUDA(cudaStreamSynchronize(cuda->stream));
    return paging_sync(&cuda->paging);
}
