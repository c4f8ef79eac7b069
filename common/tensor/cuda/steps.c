#include "tensor/cuda/steps.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tensor/cuda/cuda.h"
#include <stdio.h>
#include <string.h>

static _Thread_local struct cuda *collecting; // whose step this thread collects

bool steps_collects(const struct cuda *cuda)
{
    return collecting == cuda;
}

/* ---- the list */

static struct step_launch *put(struct cuda_steps *s, const struct step_launch *head)
{
    const size_t bytes = sizeof *head + head->bytes;
    if (bytes > s->room - s->bytes) {
        s->room = 2 * (s->bytes + bytes);
        s->list = mem_grow(s->list, s->room, 1);
    }
    struct step_launch *to = (struct step_launch *)(s->list + s->bytes);
    *to = *head;
    memset(to + 1, 0, head->bytes); // gaps between arguments, too: lists are compared as bytes
    s->bytes += bytes;
    s->launches++;
    return to;
}

void *steps_put(cudaStream_t stream, const struct step_launch *head)
{
    if (!collecting || stream != collecting->stream)
        return NULL;
    return put(&collecting->steps, head) + 1;
}

struct copy {
    void *to;
    const void *from; // NULL: zeros
    size_t bytes, zero;
};

static cudaError_t copy_again(const struct step_launch *l, cudaStream_t stream)
{
    const struct copy *c = (const struct copy *)(l + 1);
    return c->from ? cudaMemcpyAsync(c->to, c->from, c->bytes, cudaMemcpyDeviceToDevice, stream)
                   : cudaMemsetAsync(c->to, 0, c->bytes, stream);
}

static void put_copy(struct cuda *cuda, void *to, const void *from, size_t bytes)
{
    const struct step_launch head = {.again = copy_again, .bytes = sizeof(struct copy)};
    if (bytes)
        *(struct copy *)(put(&cuda->steps, &head) + 1) = (struct copy){to, from, bytes, 0};
}

void steps_copy(struct cuda *cuda, void *to, const void *from, size_t bytes)
{
    put_copy(cuda, to, from, bytes);
}

void steps_zero(struct cuda *cuda, void *at, size_t bytes)
{
    put_copy(cuda, at, NULL, bytes);
}

static cudaError_t run_list(const struct cuda_steps *s, cudaStream_t stream)
{
    for (size_t at = 0; at < s->bytes;) {
        const struct step_launch *l = (const struct step_launch *)(s->list + at);
        const cudaError_t error = l->again(l, stream);
        if (error != cudaSuccess)
            return error;
        at += sizeof *l + l->bytes;
    }
    return cudaSuccess;
}

/* ---- the arena */

static void drop_arena(struct cuda_steps *s)
{
    cudaFree(s->device);
    if (s->pinned)
        cudaFreeHost(s->pinned);
    s->device = s->pinned = NULL;
    s->size = 0;
}

static err_t make_arena(struct cuda_steps *s, size_t size)
{
    void *device = NULL, *pinned = NULL;
    drop_arena(s);
    TRY(device_memory(size, &device));
    s->device = device;
    TRY_CUDA(cudaMallocHost(&pinned, size));
    s->pinned = pinned;
    s->size = size;
    if (!s->copied)
        TRY_CUDA(cudaEventCreateWithFlags(&s->copied, cudaEventDisableTiming));
    return OK;
}

err_t steps_stage(struct cuda *cuda, const void *host, size_t bytes, const void **ret,
                  bool *ret_full)
{
    enum { ALIGN = 256 };
    struct cuda_steps *s = &cuda->steps;
    const size_t some = steps_rounded((bytes + ALIGN - 1) / ALIGN) * ALIGN;
    *ret_full = some > s->size - s->used;
    if (*ret_full) {
        size_t wanted = 2 * s->size;
        while (wanted < s->used + some)
            wanted *= 2;
        s->wanted = wanted < STEP_ARENA_MOST ? wanted : STEP_ARENA_MOST;
        return steps_end(cuda);
    }
    if (bytes)
        memcpy(s->pinned + s->used, host, bytes);
    *ret = s->device + s->used;
    s->used += some;
    return OK;
}

static cudaError_t send_arena(struct cuda *cuda)
{
    struct cuda_steps *s = &cuda->steps;
    if (!s->used)
        return cudaSuccess;
    const cudaError_t error =
        cudaMemcpyAsync(s->device, s->pinned, s->used, cudaMemcpyHostToDevice, cuda->stream);
    return error == cudaSuccess ? cudaEventRecord(s->copied, cuda->stream) : error;
}

/* ---- graphs */

/* From now on steps are launched plainly; the backend's figures say why. */
static void turn_off(struct cuda *cuda, const char *what, cudaError_t error)
{
    struct backend_steps *figures = &cuda->base.steps;
    cudaGetLastError(); // not one that stays
    cuda->steps.off = true;
    snprintf(figures->plain, sizeof figures->plain, "%s: %s (%s)", what, cudaGetErrorString(error),
             cudaGetErrorName(error));
}

/* The list as a graph, captured where nobody else launches. */
static cudaError_t capture(struct cuda_steps *s, cudaGraph_t *ret)
{
    if (!s->capture) {
        const cudaError_t error = cudaStreamCreateWithFlags(&s->capture, cudaStreamNonBlocking);
        if (error != cudaSuccess)
            return error;
    }
    const cudaError_t begun = cudaStreamBeginCapture(s->capture, cudaStreamCaptureModeThreadLocal);
    if (begun != cudaSuccess)
        return begun;
    const cudaError_t run = run_list(s, s->capture), ended = cudaStreamEndCapture(s->capture, ret);
    if (run != cudaSuccess && ended == cudaSuccess)
        cudaGraphDestroy(*ret);
    return run != cudaSuccess ? run : ended;
}

static void forget_graph(struct step_graph *g)
{
    if (g->exec)
        cudaGraphExecDestroy(g->exec);
    mem_free(g->list);
    *g = (struct step_graph){0};
}

/* A place for one more: the oldest, when there are no others. */
static struct step_graph *place(struct cuda_steps *s)
{
    struct step_graph *oldest = &s->graph[0];
    if (s->graphs < STEP_GRAPHS)
        return &s->graph[s->graphs++];
    for (int i = 1; i < STEP_GRAPHS; i++)
        if (s->graph[i].used < oldest->used)
            oldest = &s->graph[i];
    return oldest;
}

/* Mostly one batch's graph differs from another's in arguments: to change it costs less. */
static cudaError_t instantiate(struct cuda *cuda, struct step_graph *g, cudaGraph_t graph)
{
    cudaGraphExecUpdateResultInfo info;
    if (g->exec && cudaGraphExecUpdate(g->exec, graph, &info) == cudaSuccess) {
        cuda->base.steps.changed++;
        return cudaSuccess;
    }
    if (g->exec)
        cudaGetLastError();
    forget_graph(g);
    cuda->base.steps.made++;
    return cudaGraphInstantiate(&g->exec, graph, 0);
}

static struct step_graph *make_graph(struct cuda *cuda)
{
    struct cuda_steps *s = &cuda->steps;
    struct step_graph *g = place(s);
    cudaGraph_t graph = NULL;
    cudaError_t error = capture(s, &graph);
    if (error != cudaSuccess) {
        turn_off(cuda, "a step could not be captured", error);
        return NULL;
    }
    error = instantiate(cuda, g, graph);
    cudaGraphDestroy(graph);
    if (error != cudaSuccess) {
        g->exec = NULL;
        turn_off(cuda, "a graph could not be made", error);
        return NULL;
    }
    g->list = mem_grow(g->list, s->bytes, 1);
    memcpy(g->list, s->list, s->bytes);
    g->bytes = s->bytes;
    return g;
}

/* Remembers the list; whether it was there already. */
static bool seen_before(struct cuda_steps *s)
{
    const uint64_t name = hash64(s->list, s->bytes, 0);
    for (int i = 0; i < STEP_SEEN; i++)
        if (s->seen[i] == name)
            return true;
    s->seen[s->names++ % STEP_SEEN] = name;
    return false;
}

/* Of this list; NULL: it is launched plainly. */
static struct step_graph *graph_of_list(struct cuda *cuda)
{
    struct cuda_steps *s = &cuda->steps;
    struct step_graph *found = NULL;
    s->turn++;
    for (int i = 0; !found && i < s->graphs; i++)
        if (s->graph[i].bytes == s->bytes && !memcmp(s->graph[i].list, s->list, s->bytes))
            found = &s->graph[i];
    if (!found && seen_before(s))
        found = make_graph(cuda);
    if (found)
        found->used = s->turn;
    return found;
}

/* ---- a step */

err_t steps_begin(struct cuda *cuda)
{
    struct cuda_steps *s = &cuda->steps;
    if (collecting)
        TRY(steps_end(collecting));
    if (s->off)
        return OK;
    if (s->wanted > s->size)
        TRY(make_arena(s, s->wanted));
    if (cudaEventQuery(s->copied) == cudaErrorNotReady)
        TRY_CUDA(cudaEventSynchronize(s->copied));
    s->bytes = s->used = s->launches = 0;
    cuda_attention_forget(cuda->attention); // lists in the arena are the step's alone
    collecting = cuda;
    return OK;
}

/* The arena's bytes, then the list. */
static cudaError_t give(struct cuda *cuda)
{
    struct cuda_steps *s = &cuda->steps;
    struct backend_steps *figures = &cuda->base.steps;
    const cudaError_t sent = send_arena(cuda);
    if (sent != cudaSuccess || !s->bytes)
        return sent;
    figures->steps++;
    figures->launches += s->launches;
    const struct step_graph *graph = graph_of_list(cuda);
    if (!graph)
        return run_list(s, cuda->stream);
    figures->by_graph++;
    return cudaGraphLaunch(graph->exec, cuda->stream);
}

err_t steps_end(struct cuda *cuda)
{
    if (!steps_collects(cuda))
        return OK;
    collecting = NULL;
    cuda_attention_forget(cuda->attention);
    TRY_CUDA(give(cuda));
    return OK;
}

void steps_done(struct cuda_steps *s)
{
    for (int i = 0; i < s->graphs; i++)
        forget_graph(&s->graph[i]);
    drop_arena(s);
    if (s->copied)
        cudaEventDestroy(s->copied);
    if (s->capture)
        cudaStreamDestroy(s->capture);
    mem_free(s->list);
    err_free(s->failed);
    *s = (struct cuda_steps){0};
}
