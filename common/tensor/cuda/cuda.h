/* The CUDA backend's inside: its device, the owner's stream, scratch of an op, and how the host's
 * arrays get there. An op is a C function here, and its kernels' launchers are in .cu files.
 *
 *     err_t cuda_gather(struct backend *be, float *y, const float *x, const int32_t *row,
 *                       int count, int C)
 *     {
 *         struct cuda *cuda = cuda_in_step(be);
 *         const void *there = NULL;
 *         TRY(cuda_stage(cuda, row, (size_t)count * sizeof *row, &there));
 *         TRY_CUDA(rows_gather(cuda->stream, y, x, there, count, C));
 *         return OK;
 *     }
 *
 * Nothing here waits for the device but what says so: an op is enqueued on `stream` and returns.
 * Owner: the thread that owns the backend, but for cuda_get and cuda_weight_get. */
#pragma once
#include "tensor/backend.h"
#include "tensor/cuda/staging.h"
#include "tensor/cuda/steps.h"
#include "tensor/ops_table.h"
#include <cuda_runtime_api.h>
#include <pthread.h>

struct cuda {
    struct backend base;         // first: a struct backend * of ours is a struct cuda *
    int device;                  // CUDA's number of it
    int sm;                      // compute capability: 80, 90, 100
    int multiprocessors;         // how many the device has
    cudaStream_t stream;         // of the owner: all its ops, in their order
    struct cuda_staging staging; // on `stream`
    struct cuda_steps steps;
    bool early;      // launches overlap (launch.h)
    void *workspace; // see cuda_workspace
    size_t workspace_bytes;
    struct cuda_attention *attention; // op_attention.c's: what the last calls were; NULL: none yet
    struct cuda_reader {              // of cuda_get, for any thread
        pthread_mutex_t lock;
        cudaStream_t stream;
        cudaEvent_t written; // on the owner's stream: all that was begun before the read
        cudaEvent_t copied[2];
        char *pinned;   // two halves
        void *unpacked; // device memory for cuda_weight_get, once it was called
    } reader;
    struct cuda_results { // of cuda_fetch
        void *pinned;
        size_t bytes;
        cudaEvent_t done;
    } results;
    struct cuda_paging { // of cuda_page_in and its kin
        bool open;
        cudaStream_t in, out;
        struct cuda_page_slot {
            cudaEvent_t filled, used, emptied; // on the streams in, the owner's, out
        } slot[PAGE_SLOTS];
    } paging;
};

/* reader.c. With the lock: begin, then copies on the reader's stream, of all that the owner had
 * begun to write. A copy returns when its bytes are there. */
err_t reader_open(struct cuda_reader *reader);
void reader_done(struct cuda_reader *reader); // {0} is allowed
void results_done(struct cuda_results *results);
err_t paging_sync(struct cuda_paging *paging);
void paging_done(struct cuda_paging *paging); // {0} is allowed
err_t reader_begin(struct cuda *cuda);
err_t reader_copy(struct cuda_reader *reader, void *to, const void *from, size_t bytes);

void cuda_attention_free(struct cuda_attention *attention);   // NULL is allowed, here and there:
void cuda_attention_forget(struct cuda_attention *attention); // lists are made anew

/* The device of this number, and its properties. NOT_FOUND: none, an old driver, a capability
 * without code; INVALID: the number. Names which. */
err_t cuda_take_device(struct cuda *cuda, int device);

/* Every op begins with one of these. The device becomes that of the calling thread. In cuda_of a
 * step that the thread collects ends; an error of that is the next sync's. In cuda_in_step the
 * step goes on: for ops that enqueue by launch, cuda_stage, cuda_put, cuda_copy and cuda_zero. */
struct cuda *cuda_of(struct backend *be);
struct cuda *cuda_in_step(struct backend *be);

/* OK for cudaSuccess. Else one line: the function that noticed it, CUDA's words and name for it.
 * EXHAUSTED: no memory; INTERNAL: others. After most of those the device is lost to this process,
 * and every later call says so, too. */
err_t cuda_error(cudaError_t error, const char *where);
#define TRY_CUDA(call)                                                                             \
    do {                                                                                           \
        const cudaError_t try_cuda_ = (call);                                                      \
        if (try_cuda_ != cudaSuccess)                                                              \
            return cuda_error(try_cuda_, __func__);                                                \
    } while (0)

/* Memory of the calling thread's device, not zeroed. EXHAUSTED: names what was asked and what is
 * free. */
err_t device_memory(size_t bytes, void **ret);

/* Scratch of the op under way, aligned to 256 bytes, with no defined contents; the next op has the
 * same. Waits for the device only where more is asked for than ever before. An op asks once. */
err_t cuda_workspace(struct cuda *cuda, size_t bytes, void **ret);

/* A copy of the host's array for the op under way. `host` is free again on return. An op stages at
 * most STAGING_ARRAYS arrays. No bytes: any address. */
err_t cuda_stage(struct cuda *cuda, const void *host, size_t bytes, const void **ret);

/* The result of the op under way at `from` comes to pinned memory, good until the next fetch. One
 * copy on the owner's stream, and one wait for it. bytes > 0. */
err_t cuda_fetch(struct cuda *cuda, const void *from, size_t bytes, const void **ret);

/* Every op as cuda_NAME, with the signature of struct backend_ops. */
#define CUDA_OP(op) __typeof__(*((struct backend_ops *)0)->op) cuda_##op;
BACKEND_OPS(CUDA_OP)
