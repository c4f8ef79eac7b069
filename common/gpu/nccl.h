/* CUDA's runtime and NCCL, found at run time. A build needs no header and no library of theirs, and
 * serves nodes with and without GPUs.
 *
 *     SCOPED(nccl) nccl = NULL;
 *     TRY(nccl_open("libnccl.so.2", "", &nccl));            -- NOT_FOUND, UNAVAILABLE: says what is missing
 *     TRY(nccl_check_device(nccl, 0));
 *     int rc = nccl->call.init(&comm, ranks, id, rank, &config);
 *
 * Their few types and numbers that we use are declared here again.
 * tests/unit/weights/nccl_abi_test.c compares them with the real headers where these are installed.
 * Libraries once opened stay: theirs have threads. Any thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NCCL_ID_BYTES = 128 };
struct nccl_id {
    char byte[NCCL_ID_BYTES];
};

/* ncclConfig_t as of 2.18: later libraries read `size` bytes, and take defaults for fields newer
 * than `version`. */
struct nccl_config {
    size_t size;
    unsigned magic, version;
    int blocking, cga_cluster_size, min_ctas, max_ctas;
    const char *net_name;
    int split_share;
};
enum {
    NCCL_CONFIG_MAGIC = (int)0xcafebeef,
    NCCL_CONFIG_VERSION = 21800,
    NCCL_UNDEFINED = INT32_MIN,
};

/* ncclResult_t, ncclDataType_t, cudaError_t, cudaMemcpyKind and flags: those that we look at. */
enum {
    NCCL_SUCCESS = 0,
    NCCL_SYSTEM_ERROR = 2,
    NCCL_REMOTE_ERROR = 6,
    NCCL_IN_PROGRESS = 7,
    NCCL_UINT8 = 1,
    CUDA_SUCCESS = 0,
    CUDA_NOT_READY = 600,
    CUDA_TO_DEVICE = 1,
    CUDA_TO_HOST = 2,
    CUDA_STREAM_NON_BLOCKING = 1,
    CUDA_EVENT_DISABLE_TIMING = 2,
};

/* X(member, symbol, result, arguments) */
#define NCCL_CALLS(X)                                                                              \
    X(version, ncclGetVersion, int, (int *version))                                                \
    X(unique_id, ncclGetUniqueId, int, (struct nccl_id * id))                                      \
    X(init, ncclCommInitRankConfig, int,                                                           \
      (void **comm, int ranks, struct nccl_id id, int rank, struct nccl_config *config))           \
    X(async_error, ncclCommGetAsyncError, int, (void *comm, int *error))                           \
    X(broadcast, ncclBroadcast, int,                                                               \
      (const void *from, void *to, size_t count, int type, int root, void *comm, void *stream))    \
    X(abort, ncclCommAbort, int, (void *comm))                                                     \
    X(error_text, ncclGetErrorString, const char *, (int error))                                   \
    X(last_error, ncclGetLastError, const char *, (void *comm))
#define CUDA_CALLS(X)                                                                              \
    X(device_count, cudaGetDeviceCount, int, (int *count))                                         \
    X(set_device, cudaSetDevice, int, (int device))                                                \
    X(malloc, cudaMalloc, int, (void **memory, size_t bytes))                                      \
    X(free, cudaFree, int, (void *memory))                                                         \
    X(malloc_host, cudaMallocHost, int, (void **memory, size_t bytes))                             \
    X(free_host, cudaFreeHost, int, (void *memory))                                                \
    X(copy, cudaMemcpyAsync, int,                                                                  \
      (void *to, const void *from, size_t bytes, int kind, void *stream))                          \
    X(stream_create, cudaStreamCreateWithFlags, int, (void **stream, unsigned flags))              \
    X(stream_query, cudaStreamQuery, int, (void *stream))                                          \
    X(stream_destroy, cudaStreamDestroy, int, (void *stream))                                      \
    X(event_create, cudaEventCreateWithFlags, int, (void **event, unsigned flags))                 \
    X(event_record, cudaEventRecord, int, (void *event, void *stream))                             \
    X(event_query, cudaEventQuery, int, (void *event))                                             \
    X(event_destroy, cudaEventDestroy, int, (void *event))                                         \
    X(cuda_text, cudaGetErrorString, const char *, (int error))

#define NCCL_POINTER(member, symbol, result, arguments) result(*member) arguments;
struct nccl_calls {
    NCCL_CALLS(NCCL_POINTER) CUDA_CALLS(NCCL_POINTER)
};

struct nccl {
    struct nccl_calls call;
    int version; // code: 22809 is 2.28.9
};

/* cuda_library "": the libcudart.so that the process has already, as a backend's module links it;
 * else the newest of the known versions. NOT_FOUND: a library, or a function in it;
 * UNAVAILABLE: NCCL is older than 2.18, or says no version. Names which, and the setting that
 * chooses it. */
err_t nccl_open(const char *nccl_library, const char *cuda_library, struct nccl **ret);

/* UNAVAILABLE: there is no such device, with the runtime's reason. */
err_t nccl_check_device(const struct nccl *nccl, int device);

/* For the non-blocking communicator of few blocks that every session is. */
struct nccl_config nccl_config_default(void);

/* Whether a call into NCCL never returned (lane_free, transport_free, attend_free said false).
 * Memory that NCCL's threads know is kept then. The process must end by _exit, as exit handlers
 * would wait for those threads. Called by the thread that frees lanes. */
bool nccl_is_stuck(void);
void nccl_set_stuck(void);
void nccl_free(struct nccl *nccl);
DEFINE_SCOPED(nccl)
