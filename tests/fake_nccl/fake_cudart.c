/* A stand-in for CUDA's runtime: device memory is host memory; a stream is a thread that does one
 * operation after the other, so that what is used too early, or again too soon, comes out wrong
 * here too.
 *
 * The emulator of a GPU (tests/cuda_emu) has a runtime of its own, whose streams go on while
 * somebody waits for them. A broadcast has to go on by itself here, beside a thread that only asks,
 * and in builds under sanitizers, which have no emulator.
 *
 * FAKE_CUDA="devices=0": how many devices there are (1); "malloc_error=1": memory runs out;
 * "signal_in_malloc=N": the process gets signal N; "query_ms=N": an event is asked that slowly. */
#include "fake_nccl/fake.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SUCCESS = 0, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, NOT_READY = 600 };

struct op {
    struct op *next;
    void (*fn)(void *arg);
    void *arg;
};

struct stream {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct op *first, **last;
    int pending;
    bool stop;
};

static void *stream_main(void *arg)
{
    struct stream *stream = arg;
    pthread_mutex_lock(&stream->mutex);
    for (;;) {
        while (!stream->first && !stream->stop)
            pthread_cond_wait(&stream->changed, &stream->mutex);
        struct op *op = stream->first;
        if (!op)
            break;
        stream->first = op->next;
        if (!stream->first)
            stream->last = &stream->first;
        pthread_mutex_unlock(&stream->mutex);
        op->fn(op->arg);
        free(op);
        pthread_mutex_lock(&stream->mutex);
        stream->pending--;
    }
    pthread_mutex_unlock(&stream->mutex);
    return NULL;
}

void fake_stream_push(void *handle, void (*fn)(void *arg), void *arg, void *, size_t)
{
    struct stream *stream = handle;
    struct op *op = malloc(sizeof *op);
    *op = (struct op){NULL, fn, arg};
    pthread_mutex_lock(&stream->mutex);
    *stream->last = op;
    stream->last = &op->next;
    stream->pending++;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
}

int cudaStreamCreateWithFlags(void **ret, unsigned flags)
{
    struct stream *stream = calloc(1, sizeof *stream);
    (void)flags;
    pthread_mutex_init(&stream->mutex, NULL);
    pthread_cond_init(&stream->changed, NULL);
    stream->last = &stream->first;
    if (pthread_create(&stream->thread, NULL, stream_main, stream)) {
        free(stream);
        return OUT_OF_MEMORY;
    }
    *ret = stream;
    return SUCCESS;
}

int cudaStreamQuery(void *handle)
{
    struct stream *stream = handle;
    pthread_mutex_lock(&stream->mutex);
    const int pending = stream->pending;
    pthread_mutex_unlock(&stream->mutex);
    return pending ? NOT_READY : SUCCESS;
}

int cudaStreamDestroy(void *handle)
{
    struct stream *stream = handle;
    pthread_mutex_lock(&stream->mutex);
    stream->stop = true;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->mutex);
    pthread_join(stream->thread, NULL);
    pthread_mutex_destroy(&stream->mutex);
    pthread_cond_destroy(&stream->changed);
    free(stream);
    return SUCCESS;
}

/* ---- events */

int cudaEventCreateWithFlags(void **ret, unsigned flags)
{
    (void)flags;
    *ret = calloc(1, sizeof(atomic_int));
    return *ret ? SUCCESS : OUT_OF_MEMORY;
}

static void pass(void *event)
{
    atomic_fetch_sub((atomic_int *)event, 1);
}

int cudaEventRecord(void *event, void *stream)
{
    atomic_fetch_add((atomic_int *)event, 1);
    fake_stream_push(stream, pass, event, NULL, 0);
    return SUCCESS;
}

int cudaEventQuery(void *event)
{
    const int slow_ms = fake_setting("FAKE_CUDA", "query_ms", 0);
    if (slow_ms)
        nanosleep(&(struct timespec){slow_ms / 1000, slow_ms % 1000 * 1000000}, NULL);
    return atomic_load((atomic_int *)event) ? NOT_READY : SUCCESS;
}

int cudaEventDestroy(void *event)
{
    free(event);
    return SUCCESS;
}

/* ---- memory */

int cudaMalloc(void **ret, size_t bytes)
{
    const int signal_number = fake_setting("FAKE_CUDA", "signal_in_malloc", 0);
    if (signal_number)
        raise(signal_number);
    *ret = fake_setting("FAKE_CUDA", "malloc_error", 0) ? NULL : malloc(bytes);
    return *ret ? SUCCESS : OUT_OF_MEMORY;
}

int cudaFree(void *memory)
{
    free(memory);
    return SUCCESS;
}

int cudaMallocHost(void **ret, size_t bytes)
{
    return cudaMalloc(ret, bytes);
}

int cudaFreeHost(void *memory)
{
    return cudaFree(memory);
}

struct copy {
    void *to;
    const void *from;
    size_t bytes;
};

static void copy(void *arg)
{
    struct copy *copy = arg;
    memcpy(copy->to, copy->from, copy->bytes);
    free(copy);
}

int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream)
{
    struct copy *owned = malloc(sizeof *owned);
    (void)kind;
    *owned = (struct copy){to, from, bytes};
    fake_stream_push(stream, copy, owned, to, bytes);
    return SUCCESS;
}

/* ---- devices */

int cudaGetDeviceCount(int *ret)
{
    *ret = fake_setting("FAKE_CUDA", "devices", 1);
    return *ret ? SUCCESS : NO_DEVICE;
}

int cudaSetDevice(int device)
{
    return device < fake_setting("FAKE_CUDA", "devices", 1) ? SUCCESS : INVALID_DEVICE;
}

const char *cudaGetErrorString(int error)
{
    switch (error) {
    case SUCCESS:
        return "no error";
    case OUT_OF_MEMORY:
        return "out of memory";
    case NO_DEVICE:
        return "no CUDA-capable device is detected";
    case INVALID_DEVICE:
        return "invalid device ordinal";
    case NOT_READY:
        return "device not ready";
    default:
        return "unrecognized error code";
    }
}
