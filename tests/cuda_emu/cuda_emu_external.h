/* Work of another library on a stream, as NCCL's kernels are. The work goes on by itself, beside
 * the host and the other streams; the stream's next operation waits for it. Valid C and C++. The
 * module exports the call.
 *
 *     cuda_emu_external(stream, poll, arg, to, bytes);
 *
 * When its turn has come the emulator calls poll(arg) again and again, with its lock held, so the
 * call must not wait: the first one begins the work. Not 0: it is over, and there is no further
 * call. `to` (bytes): the device's memory that it wrote; NULL: none. */
#pragma once
#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C"
#endif
    cudaError_t
    cuda_emu_external(cudaStream_t stream, int (*poll)(void *arg), void *arg, void *to,
                      size_t bytes);
