/* The device: which one is taken, errors in words, memory. */
#include "tensor/cuda/cuda.h"

/* An operator's next step beside starting the process again. */
static const char *advice(cudaError_t error)
{
    const bool broken = error == cudaErrorECCUncorrectable || error == cudaErrorHardwareStackError;
    return broken ? ": the device itself failed; nvidia-smi -q -d ECC,ROW_REMAPPER says whether it "
                    "needs a reset or a repair"
                  : "";
}

err_t cuda_error(cudaError_t error, const char *where)
{
    if (error == cudaSuccess)
        return OK;
    return err_new(error == cudaErrorMemoryAllocation ? ERR_EXHAUSTED : ERR_INTERNAL,
                   "%s: %s (%s)%s", where, cudaGetErrorString(error), cudaGetErrorName(error),
                   advice(error));
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

err_t cuda_take_device(struct cuda *cuda, int device)
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

err_t device_memory(size_t bytes, void **ret)
{
    size_t free_bytes = 0, all = 0;
    int device = 0;
    const cudaError_t error = cudaMalloc(ret, bytes ? bytes : 1);
    if (error != cudaErrorMemoryAllocation)
        return cuda_error(error, __func__);
    cudaGetLastError(); // not one that stays: the next call would report it
    TRY_CUDA(cudaMemGetInfo(&free_bytes, &all));
    TRY_CUDA(cudaGetDevice(&device));
    return err_new(ERR_EXHAUSTED, "no memory for %zu bytes on device %d: %zu of its %zu are free",
                   bytes, device, free_bytes, all);
}
