/* Between the files of the runtime: device.cpp, memory.cpp and stream.cpp.
 *
 *     cudaError_t cudaX(int *ret)
 *     {
 *         return call([&] { *ret = 1; return cudaSuccess; });
 *     }
 *
 * One lock is held during every call, so any thread may make one. */
#pragma once
#include "cuda_runtime.h"
#include <atomic>
#include <mutex>
#include <stdint.h>

namespace emu
{
/* The environment's description of the device. */
struct settings {
    int sm;        // CUDA_EMU_SM: 80, 90, 100
    size_t memory; // CUDA_EMU_MEMORY: bytes
    enum { WHOLE, NO_DEVICE, OLD_DRIVER } kind;
    long fail_at; // the call from which on the device fails; 0: it does not
    /* How: out of memory, allocations alone; else every call. */
    cudaError_t fail_by;
};
extern struct settings settings;
/* Changes of the environment since the last time. A word that nobody knows ends the process. */
void settings_read();
cudaError_t call_begin();
bool memory_is_gone();
cudaError_t call_end(cudaError_t error); // cudaGetLastError remembers it
extern std::recursive_mutex mutex;

template <class F> static inline cudaError_t call(F f)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const cudaError_t error = call_begin();
    return call_end(error ? error : f());
}

/* ---- memory.cpp */
extern std::atomic<uint64_t> memory_calls, waits; // see cuda_emu_calls
void device_check(const void *at, size_t bytes, const char *call);
void slack_check();  // something wrote behind an allocation: that ends the process
void memory_reset(); // all of it is gone

/* ---- stream.cpp */
void drain_all();
void streams_drop(); // their operations never happen
} // namespace emu
