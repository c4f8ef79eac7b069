/* The CUDA backend as a module: its table, the device it takes, and errors in words. */
#include "base/mem.h"
#include "tensor/cuda/cuda.h"
#include <stdio.h>

#define CUDA_ROW(op) .op = cuda_##op,
const struct backend_ops cuda_ops = {.name = "cuda", BACKEND_OPS(CUDA_ROW)};

struct cuda *cuda_of(struct backend *be)
{
    struct cuda *cuda = (struct cuda *)be;
    static _Thread_local int current = -1;
    if (current != cuda->device && cudaSetDevice(cuda->device) == cudaSuccess)
        current = cuda->device;
    return cuda;
}

static enum err_code code_of(cudaError_t error)
{
    switch (error) {
    case cudaErrorMemoryAllocation:
        return ERR_EXHAUSTED;
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorNoKernelImageForDevice:
        return ERR_PRECONDITION;
    default:
        return ERR_INTERNAL;
    }
}

err_t cuda_error(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return OK;
    return err_new(code_of(error), "%s: %s (%s)", what, cudaGetErrorString(error),
                   cudaGetErrorName(error));
}

/* The device's number and properties. */
static err_t take_device(struct cuda *cuda, int device)
{
    int devices = 0, major = 0, minor = 0;
    TRY_CUDA(cudaGetDeviceCount(&devices));
    if (device < 0 || device >= devices)
        return err_new(ERR_PRECONDITION, "device=%d: this machine has %d, from 0 on", device,
                       devices);
    TRY_CUDA(cudaSetDevice(device));
    TRY_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    TRY_CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    TRY_CUDA(
        cudaDeviceGetAttribute(&cuda->multiprocessors, cudaDevAttrMultiProcessorCount, device));
    cuda->device = device;
    cuda->sm = 10 * major + minor;
    return OK;
}

static struct numerics numerics_of(const struct cuda *cuda)
{
    struct numerics n = {.repeats = NUMERICS_INVARIANT};
    snprintf(n.id, sizeof n.id, "backend=cuda arch=sm_%d", cuda->sm);
    return n;
}

void cuda_free(struct backend *be)
{
    struct cuda *cuda = cuda_of(be);
    if (cuda->stream)
        cudaStreamSynchronize(cuda->stream);
    reader_done(&cuda->reader);
    results_done(&cuda->results);
    pthread_mutex_destroy(&cuda->reader.lock);
    staging_done(&cuda->staging);
    cudaFree(cuda->workspace);
    cuda_attention_free(cuda->attention);
    if (cuda->stream)
        cudaStreamDestroy(cuda->stream);
    mem_free(cuda);
}

static err_t fill(struct cuda *cuda, const struct backend_config *config)
{
    TRY(take_device(cuda, config->device));
    TRY_CUDA(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking));
    TRY(staging_open(cuda->stream, &cuda->staging));
    TRY(reader_open(&cuda->reader));
    cuda->base.forward = cuda->base.training = numerics_of(cuda);
    return OK;
}

static err_t cuda_open(const struct backend_config *config, struct backend **ret)
{
    struct cuda *cuda = mem_new(sizeof *cuda);
    SCOPED(backend) be = &cuda->base;
    cuda->base.ops = &cuda_ops;
    pthread_mutex_init(&cuda->reader.lock, NULL);
    TRY(fill(cuda, config));
    *ret = STEAL(be);
    return OK;
}

extern const struct backend_module rlhfd_backend_module;
const struct backend_module rlhfd_backend_module = {.abi = BACKEND_ABI, .open = cuda_open};
