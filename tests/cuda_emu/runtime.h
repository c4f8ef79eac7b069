/* Between the files of the runtime: device.cpp, memory.cpp, stream.cpp and graph.cpp.
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
#include <deque>
#include <memory>
#include <mutex>
#include <stdint.h>

namespace emu
{
/* The environment's description of the device. */
struct settings {
    int sm;        // CUDA_EMU_SM: 80, 90, 100
    size_t memory; // CUDA_EMU_MEMORY: bytes
    enum { WHOLE, NO_DEVICE, OLD_DRIVER } kind;
    long fail_at; // the call, or allocation, from which on the device fails; 0: it does not
    /* How: out of memory, allocations alone; else every call. */
    cudaError_t fail_by;
    bool no_graphs; // streams cannot be captured
};
extern struct settings settings;
/* Changes of the environment since the last time. A word that nobody knows ends the process. */
void settings_read();
cudaError_t call_begin();
bool memory_is_gone();                   // by CUDA_EMU_FAIL
bool memory_ends_now();                  // the same, in an allocation
cudaError_t call_end(cudaError_t error); // cudaGetLastError remembers it
extern std::recursive_mutex mutex;

template <class F> static inline cudaError_t call(F f)
{
    std::lock_guard<std::recursive_mutex> lock(mutex);
    const cudaError_t error = call_begin();
    return call_end(error ? error : f());
}

/* ---- memory.cpp */
/* See cuda_emu_calls. */
extern std::atomic<uint64_t> memory_calls, waits, launches, graphs_made, graphs_updated;
void device_check(const void *at, size_t bytes, const char *call);
void slack_check();  // something wrote behind an allocation: that ends the process
void memory_reset(); // all of it is gone

/* ---- stream.cpp */
/* One thing that a stream does. APART: nothing; but kernels on its two sides do not overlap. */
struct op {
    enum { LAUNCH, COPY, SET, RECORD, WAIT, APART, EXTERNAL } kind;
    std::shared_ptr<const launch> run;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    cudaEvent_t event;
    uint64_t turn;
    int (*poll)(void *arg) = NULL; // EXTERNAL; its arg is `from`, and value says that it is over
};
void drain_all();
void streams_drop();                                // their operations never happen
cudaStream_t stream_of(cudaStream_t s);             // one that exists; NULL is one, too
cudaError_t push(cudaStream_t stream, const op &o); // to the stream, or to what it captures

/* ---- graph.cpp */
/* Whether a call that waits, or makes or frees memory, is one that this thread's captures forbid;
 * they are invalid then. */
bool capture_forbids();
/* The same of a call that waits for `stream`. */
cudaError_t capture_broken(cudaStream_t stream);
} // namespace emu

struct CUstream_st {
    std::deque<emu::op> ops;
    uint64_t unsafe_from; // stamps of writes that an early kernel may not see; 0: there are none
    CUgraph_st *captured; // under way; NULL: none is
    bool invalid;
    cudaStreamCaptureMode mode;
    uint64_t thread; // the thread that began it
};
