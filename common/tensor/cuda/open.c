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

err_t cuda_error(cudaError_t error, const char *where)
{
    if (error == cudaSuccess)
        return OK;
    return err_new(error == cudaErrorMemoryAllocation ? ERR_EXHAUSTED : ERR_INTERNAL, "%s: %s (%s)",
                   where, cudaGetErrorString(error), cudaGetErrorName(error));
}

/* CUDA's versions are 1000 * major + 10 * minor; 0: there is no driver. */
static err_t old_driver(void)
{
    int driver = 0, needed = 0;
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&needed);
    if (!driver)
        return err_new(ERR_NOT_FOUND, "this machine has no driver of CUDA");
    return err_new(ERR_NOT_FOUND, "the driver is too old: it is of CUDA %d.%d, and %d.%d is needed",
                   driver / 1000, driver % 1000 / 10, needed / 1000, needed % 1000 / 10);
}

static err_t find_device(int device)
{
    int devices = 0;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error == cudaErrorInsufficientDriver)
        return old_driver();
    if (error == cudaErrorNoDevice)
        return err_new(ERR_NOT_FOUND, "there is no device: %s", cudaGetErrorString(error));
    TRY_CUDA(error);
    if (device < 0 || device >= devices)
        return err_new(ERR_INVALID, "device=%d: this machine has %d, from 0 on", device, devices);
    return OK;
}

/* Capabilities for which cmake/cuda.cmake builds code. The code of 9.0 runs nowhere else. */
static bool has_code(int sm)
{
    return (sm >= 80 && sm < 90) || sm == 90 || (sm >= 100 && sm < 110);
}

/* The device's number and properties. */
static err_t take_device(struct cuda *cuda, int device)
{
    int major = 0, minor = 0;
    TRY(find_device(device));
    TRY_CUDA(cudaSetDevice(device));
    TRY_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    TRY_CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    TRY_CUDA(
        cudaDeviceGetAttribute(&cuda->multiprocessors, cudaDevAttrMultiProcessorCount, device));
    cuda->device = device;
    cuda->sm = 10 * major + minor;
    if (!has_code(cuda->sm))
        return err_new(ERR_NOT_FOUND,
                       "device %d is of compute capability %d.%d: the module has code for 8.x, 9.0 "
                       "and 10.x",
                       device, major, minor);
    return OK;
}

/* Of a device that is not made of silicon: how it rounds. The emulator has its own. */
__attribute__((weak)) const char *cuda_device_words(void);
__attribute__((weak)) const char *cuda_device_words(void)
{
    return "";
}

extern const char cuda_build[]; // a name of the module's sources (cmake/cuda_build.cmake)

static struct numerics numerics_of(const struct cuda *cuda)
{
    struct numerics n = {.repeats = NUMERICS_INVARIANT};
    snprintf(n.id, sizeof n.id, "backend=cuda build=%s arch=sm_%d%s%s", cuda_build, cuda->sm,
             cuda->sm == 90 ? "a" : "", cuda_device_words());
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
    cuda->base.rounds = cuda->base.apart = true;
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
const struct backend_module rlhfd_backend_module = {
    .abi = BACKEND_ABI, .open = cuda_open, .missing = cuda_missing};
