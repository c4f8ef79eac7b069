/* Counts of device memory's bytes, and of tensor cores' floating-point operations, by kernel. The
 * checked build has them: it sees every access.
 *
 *     cuda_emu_count_begin();
 *     ... launches; cudaDeviceSynchronize() ...
 *     struct cuda_emu_count rows[50];
 *     const size_t count = cuda_emu_count_end(rows, 50);
 *
 * Bulk copies and cp.async count, shared memory does not. Unique bytes are 32 for each aligned
 * piece of 32 that one launch touches, however often, summed over launches: the least that a cache
 * could leave over. A product of mma.sync or wgmma counts two operations for each of its terms,
 * zeros too. The runtime's own copies are rows, too, whose names begin with "cuda".
 *
 * A program that opens the module finds both with dlsym. CUDA_EMU_COUNT=FILE counts everything
 * until the process ends, and then writes a line of JSON for each row. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct cuda_emu_count {
    const char *name; /* of the kernel; as long as the process lives */
    uint64_t launches;
    uint64_t read, written; /* bytes that threads asked for */
    uint64_t unique_read, unique_written;
    uint64_t flops; /* of tensor cores */
};

#ifdef __cplusplus
extern "C" {
#endif
/* From zero. From the first call on, races and unwritten bytes of device memory are no longer
 * looked for: that would take twelve times the memory. A build that is not checked ends the
 * process. */
void cuda_emu_count_begin(void);
/* How many rows there are, of which `ret` has the first `room`, in the order of first launches. */
size_t cuda_emu_count_end(struct cuda_emu_count *ret, size_t room);

/* Calls of the runtime since the process began, and device memory, in any build. */
struct cuda_emu_calls {
    uint64_t memory;              /* made or freed, the device's or pinned */
    uint64_t waits;               /* of the host for a stream, an event or the device */
    uint64_t bytes, bytes_most;   /* allocated; at most since none were */
    uint64_t pinned, pinned_most; /* the same of the host's */
    uint64_t launches;            /* of a kernel, or of a graph; not those that are captured */
    uint64_t graphs_made, graphs_updated; /* instantiated; made another by cudaGraphExecUpdate */
};
void cuda_emu_calls(struct cuda_emu_calls *ret);
#ifdef __cplusplus
}
#endif
