/* Pages between the host's pinned memory and the device, on a stream for each direction: the two
 * copy engines work beside each other and beside the owner's ops. */
#include "tensor/cuda/cuda.h"
#include <assert.h>
#include <string.h>

err_t cuda_host_new(struct backend *be, size_t bytes, void **ret)
{
    void *memory = NULL;
    cuda_of(be);
    const cudaError_t error = cudaMallocHost(&memory, bytes ? bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError(); // not one that stays: the next call would report it
        return err_new(ERR_EXHAUSTED, "no memory of the host for %zu bytes that stay in place",
                       bytes);
    }
    TRY_CUDA(error);
    memset(memory, 0, bytes);
    *ret = memory;
    return OK;
}

void cuda_host_free(struct backend *be, void *address)
{
    cuda_of(be);
    cudaFreeHost(address);
}

static err_t open_streams(struct cuda_paging *p)
{
    TRY_CUDA(cudaStreamCreateWithFlags(&p->in, cudaStreamNonBlocking));
    TRY_CUDA(cudaStreamCreateWithFlags(&p->out, cudaStreamNonBlocking));
    for (int i = 0; i < PAGE_SLOTS; i++) {
        TRY_CUDA(cudaEventCreateWithFlags(&p->slot[i].filled, cudaEventDisableTiming));
        TRY_CUDA(cudaEventCreateWithFlags(&p->slot[i].used, cudaEventDisableTiming));
        TRY_CUDA(cudaEventCreateWithFlags(&p->slot[i].emptied, cudaEventDisableTiming));
    }
    p->open = true;
    return OK;
}

static err_t take_slot(struct cuda *cuda, int slot, struct cuda_page_slot **ret)
{
    struct cuda_paging *p = &cuda->paging;
    assert(slot >= 0 && slot < PAGE_SLOTS);
    if (!p->open)
        TRY(open_streams(p));
    *ret = &p->slot[slot];
    return OK;
}

/* An event that was never recorded is over. */
err_t cuda_page_in(struct backend *be, int slot, void *to, const void *from, size_t bytes)
{
    struct cuda *cuda = cuda_of(be);
    struct cuda_page_slot *s = NULL;
    TRY(take_slot(cuda, slot, &s));
    TRY_CUDA(cudaStreamWaitEvent(cuda->paging.in, s->emptied, 0));
    TRY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, cuda->paging.in));
    TRY_CUDA(cudaEventRecord(s->filled, cuda->paging.in));
    return OK;
}

err_t cuda_page_wait(struct backend *be, int slot)
{
    struct cuda *cuda = cuda_of(be);
    struct cuda_page_slot *s = NULL;
    TRY(take_slot(cuda, slot, &s));
    TRY_CUDA(cudaStreamWaitEvent(cuda->stream, s->filled, 0));
    return OK;
}

err_t cuda_page_out(struct backend *be, int slot, void *to, const void *from, size_t bytes)
{
    struct cuda *cuda = cuda_of(be);
    struct cuda_page_slot *s = NULL;
    TRY(take_slot(cuda, slot, &s));
    TRY_CUDA(cudaEventRecord(s->used, cuda->stream));
    TRY_CUDA(cudaStreamWaitEvent(cuda->paging.out, s->used, 0));
    TRY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, cuda->paging.out));
    TRY_CUDA(cudaEventRecord(s->emptied, cuda->paging.out));
    return OK;
}

err_t paging_sync(struct cuda_paging *p)
{
    if (!p->open)
        return OK;
    TRY_CUDA(cudaStreamSynchronize(p->in));
    TRY_CUDA(cudaStreamSynchronize(p->out));
    return OK;
}

void paging_done(struct cuda_paging *p)
{
    cudaStream_t *const streams[] = {&p->in, &p->out};
    for (int i = 0; i < 2; i++)
        if (*streams[i])
            cudaStreamSynchronize(*streams[i]);
    for (int i = 0; i < PAGE_SLOTS; i++) {
        cudaEvent_t events[] = {p->slot[i].filled, p->slot[i].used, p->slot[i].emptied};
        for (int e = 0; e < 3; e++)
            if (events[e])
                cudaEventDestroy(events[e]);
    }
    for (int i = 0; i < 2; i++)
        if (*streams[i])
            cudaStreamDestroy(*streams[i]);
}
