/* The way of the host's bytes to the device: through pinned memory, on one stream, without waiting
 * for the device. The memory is a ring of parts; a part is taken again when its copies are done.
 *
 *     TRY(staging_open(stream, &staging));
 *     TRY(staging_put(&staging, to, rows, bytes));        -- any length; `rows` is free on return
 *     TRY(staging_stage(&staging, token, bytes, &there)); -- a copy in the ring's own device memory
 *
 * Device memory of the ring is used again in the stream's order, so what was staged is good until
 * STAGING_ARRAYS later arrays were. Owner: the thread that gives the stream its work. */
#pragma once
#include "base/err.h"
#include <cuda_runtime_api.h>
#include <stddef.h>

enum { STAGING_ARRAYS = 8, STAGING_PART = 512 << 10, STAGING_GROWTHS = 12 };

struct cuda_staging {
    cudaStream_t stream;
    char *pinned, *device;            // STAGING_ARRAYS parts each
    size_t part;                      // bytes of one; doubled when a larger array is staged
    int at;                           // the part under way
    size_t used;                      // bytes of it
    cudaEvent_t done[STAGING_ARRAYS]; // of a part: its copies
    char *retired[STAGING_GROWTHS];   // smaller rings, which the op under way may still read
    int growths;
};

/* stream: borrowed. EXHAUSTED: there is not so much memory of either kind. */
err_t staging_open(cudaStream_t stream, struct cuda_staging *ret);
err_t staging_put(struct cuda_staging *staging, void *to, const void *from, size_t bytes);
/* Waits where an array is larger than any before it. EXHAUSTED, too: more than 2 GiB. */
err_t staging_stage(struct cuda_staging *staging, const void *from, size_t bytes, const void **ret);
void staging_done(struct cuda_staging *staging); // {0} is allowed; its stream is idle
