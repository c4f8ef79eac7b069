#include "tensor/cuda/staging.h"
#include "tensor/cuda/cuda.h"
#include <string.h>

enum { ALIGN = 256 };

/* A ring of this part's size in place of the one before, whose copies are done. */
static err_t make_ring(struct cuda_staging *s, size_t part)
{
    void *pinned = NULL, *device = NULL;
    TRY(device_memory(part * STAGING_ARRAYS, &device));
    const cudaError_t error = cudaMallocHost(&pinned, part * STAGING_ARRAYS);
    if (error != cudaSuccess) {
        cudaFree(device);
        return cuda_error(error, __func__);
    }
    if (s->pinned) {
        cudaFreeHost(s->pinned);
        s->retired[s->growths++] = s->device;
    }
    s->pinned = pinned;
    s->device = device;
    s->part = part;
    s->at = 0;
    s->used = 0;
    return OK;
}

err_t staging_open(cudaStream_t stream, struct cuda_staging *ret)
{
    ret->stream = stream;
    for (int i = 0; i < STAGING_ARRAYS; i++)
        TRY_CUDA(cudaEventCreateWithFlags(&ret->done[i], cudaEventDisableTiming));
    return make_ring(ret, STAGING_PART);
}

/* Room for `bytes`, at most a part: where in the ring. Events that were never recorded are done. */
static err_t take(struct cuda_staging *s, size_t bytes, size_t *ret)
{
    const size_t rounded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (rounded > s->part - s->used) {
        TRY_CUDA(cudaEventRecord(s->done[s->at], s->stream));
        s->at = (s->at + 1) % STAGING_ARRAYS;
        s->used = 0;
        TRY_CUDA(cudaEventSynchronize(s->done[s->at]));
    }
    *ret = (size_t)s->at * s->part + s->used;
    s->used += rounded;
    return OK;
}

err_t staging_put(struct cuda_staging *s, void *to, const void *from, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        const size_t some = bytes - done < STAGING_PART ? bytes - done : STAGING_PART;
        size_t at = 0;
        TRY(take(s, some, &at));
        memcpy(s->pinned + at, (const char *)from + done, some);
        TRY_CUDA(cudaMemcpyAsync((char *)to + done, s->pinned + at, some, cudaMemcpyHostToDevice,
                                 s->stream));
        done += some;
    }
    return OK;
}

static err_t grow(struct cuda_staging *s, size_t bytes)
{
    size_t part = s->part;
    while (part < bytes)
        part *= 2;
    if (part > (size_t)STAGING_PART << STAGING_GROWTHS)
        return err_new(ERR_EXHAUSTED, "an op's array of %zu bytes of the host: at most %zu", bytes,
                       (size_t)STAGING_PART << STAGING_GROWTHS);
    TRY_CUDA(cudaStreamSynchronize(s->stream));
    return make_ring(s, part);
}

err_t staging_stage(struct cuda_staging *s, const void *from, size_t bytes, const void **ret)
{
    size_t at = 0;
    if (bytes > s->part)
        TRY(grow(s, bytes));
    TRY(take(s, bytes, &at));
    if (bytes) {
        memcpy(s->pinned + at, from, bytes);
        TRY_CUDA(cudaMemcpyAsync(s->device + at, s->pinned + at, bytes, cudaMemcpyHostToDevice,
                                 s->stream));
    }
    *ret = s->device + at;
    return OK;
}

void staging_done(struct cuda_staging *s)
{
    for (int i = 0; i < STAGING_ARRAYS; i++)
        if (s->done[i])
            cudaEventDestroy(s->done[i]);
    for (int i = 0; i < s->growths; i++)
        cudaFree(s->retired[i]);
    cudaFree(s->device);
    if (s->pinned)
        cudaFreeHost(s->pinned);
    *s = (struct cuda_staging){0};
}
