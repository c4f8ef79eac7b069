/* The device as the environment describes it, and errors. */
#include "runtime.h"
#include <algorithm>
#include <stdio.h>
#include <stdlib.h>
#include <string>

namespace emu
{
struct settings settings = {90, (size_t)8 << 30, settings::WHOLE, 0, cudaSuccess, false};
std::recursive_mutex mutex;
static long calls;
static thread_local cudaError_t last_error;

/* ---- the environment */

static long number_of(const char *name, const char *text, long least, long most)
{
    char *end;
    const long value = strtol(text, &end, 10);
    if (!*text || *end || value < least || value > most)
        fail("%s=%s: a number from %ld to %ld", name, text, least, most);
    return value;
}

static void read_seed(const char *text)
{
    cuda_emu_seed((uint64_t)number_of("CUDA_EMU_SEED", *text ? text : "0", 0, 1l << 40));
}

static void read_mma(const char *text)
{
    static const char *const words[] = {"exact", "chain", "truncate"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(*text ? text : "exact", words[i]))
            return cuda_emu_mma(i);
    fail("CUDA_EMU_MMA=%s: one of exact, chain, truncate", text);
}

static void read_sm(const char *text)
{
    settings.sm = (int)number_of("CUDA_EMU_SM", *text ? text : "90", 70, 120);
    if (settings.sm % 10)
        fail("CUDA_EMU_SM=%s: 80, 90, 100, or 70, 110 and 120, for which there is no code", text);
}

static void read_memory(const char *text)
{
    settings.memory =
        *text ? (size_t)number_of("CUDA_EMU_MEMORY", text, 1, (long)ARENA) : (size_t)8 << 30;
}

/* All calls from the N-th on; for memory, all allocations. */
static bool read_fail_at(const char *text)
{
    static const struct {
        const char *word;
        cudaError_t error;
    } rows[] = {{"lost@", cudaErrorLaunchFailure},
                {"ecc@", cudaErrorECCUncorrectable},
                {"oom@", cudaErrorMemoryAllocation}};
    for (const auto &row : rows)
        if (!strncmp(text, row.word, strlen(row.word))) {
            settings.fail_at = number_of("CUDA_EMU_FAIL", text + strlen(row.word), 1, 1l << 40);
            settings.fail_by = row.error;
            calls = 0;
            return true;
        }
    return false;
}

static void read_fail(const char *text)
{
    settings.kind = settings::WHOLE;
    settings.fail_at = 0;
    settings.no_graphs = !strcmp(text, "graphs");
    if (read_fail_at(text))
        return;
    if (!strcmp(text, "none"))
        settings.kind = settings::NO_DEVICE;
    else if (!strcmp(text, "driver"))
        settings.kind = settings::OLD_DRIVER;
    else if (*text && !settings.no_graphs)
        fail("CUDA_EMU_FAIL=%s: one of lost@N, ecc@N, oom@N, none, driver, graphs", text);
}

void settings_read()
{
    static struct {
        const char *name;
        void (*read)(const char *text);
        std::string before;
    } rows[] = {{"CUDA_EMU_SEED", read_seed, ""},
                {"CUDA_EMU_MMA", read_mma, ""},
                {"CUDA_EMU_SM", read_sm, ""},
                {"CUDA_EMU_MEMORY", read_memory, ""},
                {"CUDA_EMU_FAIL", read_fail, ""}};
    for (auto &row : rows) {
        const char *text = getenv(row.name);
        if (row.before == (text ? text : ""))
            continue;
        row.before = text ? text : "";
        row.read(row.before.c_str());
    }
    count_settings();
}

/* ---- errors */

cudaError_t call_begin()
{
    static bool read;
    if (!read)
        settings_read();
    read = true;
    if (settings.kind != settings::WHOLE)
        return settings.kind == settings::NO_DEVICE ? cudaErrorNoDevice
                                                    : cudaErrorInsufficientDriver;
    if (!settings.fail_at || settings.fail_by == cudaErrorMemoryAllocation ||
        ++calls < settings.fail_at)
        return cudaSuccess;
    streams_drop();
    return settings.fail_by;
}

static bool ends_memory()
{
    return settings.fail_at && settings.fail_by == cudaErrorMemoryAllocation;
}

bool memory_is_gone()
{
    return ends_memory() && calls >= settings.fail_at;
}

bool memory_ends_now()
{
    calls += ends_memory();
    return memory_is_gone();
}

cudaError_t call_end(cudaError_t error)
{
    if (error && error != cudaErrorNotReady)
        last_error = error;
    return error;
}

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorECCUncorrectable, "cudaErrorECCUncorrectable", "uncorrectable ECC error encountered"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorHardwareStackError, "cudaErrorHardwareStackError", "hardware stack error"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
    {cudaErrorGraphExecUpdateFailure, "cudaErrorGraphExecUpdateFailure",
     "the graph update was not performed because it included changes which violated constraints "
     "specific to instantiated graph update"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};
} // namespace emu
using namespace emu;

const char *cudaGetErrorString(cudaError_t error)
{
    for (const auto &row : errors)
        if (row.error == error)
            return row.text;
    return "unrecognized error code";
}

const char *cudaGetErrorName(cudaError_t error)
{
    for (const auto &row : errors)
        if (row.error == error)
            return row.name;
    return "unrecognized error code";
}

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return last_error;
}

/* ---- the device */

cudaError_t cudaDriverGetVersion(int *ret)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    settings_read();
    *ret = settings.kind == settings::OLD_DRIVER ? 11040 : 12080;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *ret)
{
    *ret = 12080;
    return cudaSuccess;
}

/* The first call of whoever opens the device: the environment of now is what counts. */
cudaError_t cudaGetDeviceCount(int *ret)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    settings_read();
    const cudaError_t error = call([] { return cudaSuccess; });
    *ret = error ? 0 : 1;
    return error;
}

cudaError_t cudaSetDevice(int device)
{
    return call([&] { return device ? cudaErrorInvalidDevice : cudaSuccess; });
}

cudaError_t cudaGetDevice(int *ret)
{
    return call([&] {
        *ret = 0;
        return cudaSuccess;
    });
}

/* Figures of A100, H200 and B200. */
static struct cudaDeviceProp properties()
{
    struct cudaDeviceProp p = {};
    const bool ampere = settings.sm == 80;
    snprintf(p.name, sizeof p.name, "emulated sm_%d", settings.sm);
    p.major = settings.sm / 10;
    p.multiProcessorCount = ampere ? 108 : settings.sm == 90 ? 132 : 148;
    p.totalGlobalMem = settings.memory;
    p.sharedMemPerBlock = 48 << 10;
    p.sharedMemPerBlockOptin = shared_limit();
    p.sharedMemPerMultiprocessor = p.sharedMemPerBlockOptin + 1024;
    p.warpSize = WARP;
    p.maxThreadsPerBlock = THREADS_MAX;
    p.l2CacheSize = (ampere ? 40 : settings.sm == 90 ? 50 : 126) << 20;
    return p;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *ret, int device)
{
    return call([&] {
        if (device)
            return cudaErrorInvalidDevice;
        *ret = properties();
        return cudaSuccess;
    });
}

cudaError_t cudaDeviceGetAttribute(int *ret, cudaDeviceAttr attribute, int device)
{
    return call([&] {
        const struct cudaDeviceProp p = properties();
        const struct {
            cudaDeviceAttr attribute;
            size_t value;
        } rows[] = {{cudaDevAttrMaxThreadsPerBlock, (size_t)p.maxThreadsPerBlock},
                    {cudaDevAttrMaxSharedMemoryPerBlock, p.sharedMemPerBlock},
                    {cudaDevAttrWarpSize, (size_t)p.warpSize},
                    {cudaDevAttrMultiProcessorCount, (size_t)p.multiProcessorCount},
                    {cudaDevAttrL2CacheSize, (size_t)p.l2CacheSize},
                    {cudaDevAttrComputeCapabilityMajor, (size_t)p.major},
                    {cudaDevAttrComputeCapabilityMinor, (size_t)p.minor},
                    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, p.sharedMemPerMultiprocessor},
                    {cudaDevAttrMaxSharedMemoryPerBlockOptin, p.sharedMemPerBlockOptin}};
        for (const auto &row : rows)
            if (row.attribute == attribute && !device) {
                *ret = (int)row.value;
                return cudaSuccess;
            }
        return device ? cudaErrorInvalidDevice : cudaErrorInvalidValue;
    });
}

cudaError_t cudaDeviceSynchronize(void)
{
    return call([] {
        waits++;
        if (capture_forbids())
            return cudaErrorStreamCaptureUnsupported;
        drain_all();
        slack_check();
        return cudaSuccess;
    });
}

namespace emu
{
size_t shared_limit()
{
    return settings.sm == 80 ? 163 << 10 : 227 << 10;
}

void needs_sm(const char *what, int least, int most)
{
    if (settings.sm < least || settings.sm > most)
        fail("%s on sm_%d: it is of sm_%d%s", what, settings.sm, least,
             most > least ? " on" : " alone");
}
} // namespace emu

void cuda_emu_reset(void)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    drain_all();
    slack_check();
    memory_reset();
    stats = {};
    last_error = cudaSuccess;
}

void cuda_emu_sm(int sm)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    settings_read(); // once: it does not overrule what follows
    settings.sm = sm;
}
