/* Reads for any thread, on a stream of their own: what the owner enqueues meanwhile goes on. */
#include "tensor/cuda/cuda.h"
#include <string.h>

enum { HALF = 1 << 20 }; // of the pinned memory

err_t reader_open(struct cuda_reader *r)
{
    void *pinned = NULL;
    TRY_CUDA(cudaStreamCreateWithFlags(&r->stream, cudaStreamNonBlocking));
    TRY_CUDA(cudaEventCreateWithFlags(&r->written, cudaEventDisableTiming));
    for (int i = 0; i < 2; i++)
        TRY_CUDA(cudaEventCreateWithFlags(&r->copied[i], cudaEventDisableTiming));
    TRY_CUDA(cudaMallocHost(&pinned, 2 * HALF));
    r->pinned = pinned;
    return OK;
}

void reader_done(struct cuda_reader *r)
{
    cudaFree(r->unpacked);
    if (r->pinned)
        cudaFreeHost(r->pinned);
    for (int i = 0; i < 2; i++)
        if (r->copied[i])
            cudaEventDestroy(r->copied[i]);
    if (r->written)
        cudaEventDestroy(r->written);
    if (r->stream)
        cudaStreamDestroy(r->stream);
}

static size_t piece(size_t left)
{
    return left < HALF ? left : HALF;
}

/* Piece by piece: one is copied out while the next comes. */
err_t reader_copy(struct cuda_reader *r, void *to_, const void *from_, size_t bytes)
{
    char *to = to_;
    const char *from = from_;
    size_t begun = 0;
    for (size_t done = 0; done < bytes; done += piece(bytes - done)) {
        for (; begun < bytes && begun - done < 2 * HALF; begun += piece(bytes - begun)) {
            const size_t half = begun / HALF % 2;
            TRY_CUDA(cudaMemcpyAsync(r->pinned + half * HALF, from + begun, piece(bytes - begun),
                                     cudaMemcpyDeviceToHost, r->stream));
            TRY_CUDA(cudaEventRecord(r->copied[half], r->stream));
        }
        TRY_CUDA(cudaEventSynchronize(r->copied[done / HALF % 2]));
        memcpy(to + done, r->pinned + done / HALF % 2 * HALF, piece(bytes - done));
    }
    return OK;
}

err_t reader_begin(struct cuda *cuda)
{
    TRY_CUDA(cudaEventRecord(cuda->reader.written, cuda->stream));
    TRY_CUDA(cudaStreamWaitEvent(cuda->reader.stream, cuda->reader.written, 0));
    return OK;
}

static err_t read_ordered(struct cuda *cuda, void *to, const void *from, size_t bytes)
{
    TRY(reader_begin(cuda));
    return reader_copy(&cuda->reader, to, from, bytes);
}

err_t cuda_get(struct backend *be, void *to, const void *from, size_t bytes)
{
    struct cuda *cuda = cuda_of(be);
    pthread_mutex_lock(&cuda->reader.lock);
    const err_t e = read_ordered(cuda, to, from, bytes);
    pthread_mutex_unlock(&cuda->reader.lock);
    return e;
}
