/* What gpu/nccl.h declares again of NCCL and CUDA, against their own headers. Skipped where these
 * are not installed. */
#include "gpu/nccl.h"
#include "testing/testing.h"
#include <stdio.h>
#if __has_include(<nccl.h>) && __has_include(<cuda_runtime_api.h>)
#include <cuda_runtime_api.h>
#include <nccl.h>

#define SAME_FIELD(ours, theirs)                                                                   \
    _Static_assert(offsetof(struct nccl_config, ours) == offsetof(ncclConfig_t, theirs) &&         \
                       sizeof((struct nccl_config){0}.ours) == sizeof((ncclConfig_t){0}.theirs),   \
                   #theirs)
SAME_FIELD(size, size);
SAME_FIELD(magic, magic);
SAME_FIELD(version, version);
SAME_FIELD(blocking, blocking);
SAME_FIELD(cga_cluster_size, cgaClusterSize);
SAME_FIELD(min_ctas, minCTAs);
SAME_FIELD(max_ctas, maxCTAs);
SAME_FIELD(net_name, netName);
SAME_FIELD(split_share, splitShare);
_Static_assert(sizeof(struct nccl_id) == sizeof(ncclUniqueId), "ncclUniqueId");
_Static_assert(NCCL_UNDEFINED == NCCL_CONFIG_UNDEF_INT, "NCCL_CONFIG_UNDEF_INT");
_Static_assert((int)NCCL_SUCCESS == (int)ncclSuccess && (int)NCCL_UINT8 == (int)ncclUint8 &&
                   (int)NCCL_SYSTEM_ERROR == (int)ncclSystemError &&
                   (int)NCCL_REMOTE_ERROR == (int)ncclRemoteError &&
                   (int)NCCL_IN_PROGRESS == (int)ncclInProgress,
               "ncclResult_t, ncclDataType_t");
_Static_assert((int)CUDA_SUCCESS == (int)cudaSuccess &&
                   (int)CUDA_NOT_READY == (int)cudaErrorNotReady &&
                   (int)CUDA_TO_DEVICE == (int)cudaMemcpyHostToDevice &&
                   (int)CUDA_TO_HOST == (int)cudaMemcpyDeviceToHost &&
                   CUDA_STREAM_NON_BLOCKING == cudaStreamNonBlocking &&
                   CUDA_EVENT_DISABLE_TIMING == cudaEventDisableTiming,
               "cudaError_t, cudaMemcpyKind, flags");
_Static_assert(sizeof(ncclResult_t) == sizeof(int) && sizeof(cudaError_t) == sizeof(int) &&
                   sizeof(ncclDataType_t) == sizeof(int),
               "enumerations are passed as int");

/* Calls through our pointers are calls of theirs: the same number of parameters, each of the same
 * size or a pointer. */
#define SAME_CALL(ours, theirs, ...)                                                               \
    _Static_assert(_Generic(theirs, __VA_ARGS__ : 1, default : 0), #theirs)
SAME_CALL(init, &ncclCommInitRankConfig,
          ncclResult_t (*)(ncclComm_t *, int, ncclUniqueId, int, ncclConfig_t *));
SAME_CALL(broadcast, &ncclBroadcast,
          ncclResult_t (*)(const void *, void *, size_t, ncclDataType_t, int, ncclComm_t,
                           cudaStream_t));
SAME_CALL(async_error, &ncclCommGetAsyncError, ncclResult_t (*)(ncclComm_t, ncclResult_t *));
SAME_CALL(abort, &ncclCommAbort, ncclResult_t (*)(ncclComm_t));
SAME_CALL(copy, &cudaMemcpyAsync,
          cudaError_t (*)(void *, const void *, size_t, enum cudaMemcpyKind, cudaStream_t));
SAME_CALL(event_record, &cudaEventRecord, cudaError_t (*)(cudaEvent_t, cudaStream_t));

static void the_configuration_is_theirs(void **state)
{
    const ncclConfig_t initial = NCCL_CONFIG_INITIALIZER;
    const struct nccl_config ours = nccl_config_default();
    (void)state;
    assert_int_equal(ours.magic, initial.magic);
    assert_true(ours.size <= initial.size);
    assert_true(ours.version <= initial.version);
    assert_int_equal(ours.blocking, 0);
    print_message("nccl.h is of %d.%d.%d\n", NCCL_MAJOR, NCCL_MINOR, NCCL_PATCH);
}
TESTS(cmocka_unit_test(the_configuration_is_theirs))
#else
int main(void)
{
    puts("skipped: nccl.h or cuda_runtime_api.h is not installed");
    return 77;
}
#endif
