/* The launches of one step of decoding. They are collected while the ops are called, and the device
 * gets all of them at once. A step that was seen before goes as a CUDA graph.
 *
 *     TRY(steps_begin(cuda));
 *     ... ops: launch() and the calls below collect instead of doing ...
 *     TRY(steps_end(cuda));                       -- all of it goes to the stream
 *
 * A step is a list: kernels with their grids and arguments, copies, fills. Equal lists are the same
 * work, so a graph of one serves the other. Arrays of the host lie in an arena, in places that
 * depend on their rounded sizes alone; one copy brings them. A list that comes for the second time
 * is captured on a stream of its own, where no other thread's calls are. Without a graph the list
 * is launched from its beginning to its end, and nothing else differs.
 *
 * The first op that waits, reads, or changes memory ends the step (cuda_of). Owner: the thread that
 * owns the backend; steps_collects is false on any other. */
#pragma once
#include "base/err.h"
#include "tensor/cuda/step_launch.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cuda;

enum {
    STEP_GRAPHS = 32,     // kept; the one that was not used for the longest time goes
    STEP_SEEN = 64,       // lists remembered, of which there is no graph yet
    STEP_ARENA = 1 << 20, // bytes at first, of pinned and of device memory
    STEP_ARENA_MOST = 256 << 20,
};

struct cuda_steps {
    bool off;             // steps are not collected
    cudaStream_t capture; // NULL until the first graph
    /* The list. */
    char *list;
    size_t bytes, room;
    unsigned launches;
    /* The arena. wanted: as large as the next step finds it. */
    char *pinned, *device;
    size_t size, used, wanted;
    cudaEvent_t copied;
    struct step_graph {
        char *list;
        size_t bytes;
        cudaGraphExec_t exec;
        uint64_t used; // turn
    } graph[STEP_GRAPHS];
    int graphs;
    uint64_t turn, names, seen[STEP_SEEN]; // seen: hashes, names of them so far
    err_t failed;                          // of a step that cuda_of ended
};

err_t steps_begin(struct cuda *cuda);
err_t steps_end(struct cuda *cuda); // without a beginning: nothing
bool steps_collects(const struct cuda *cuda);
void steps_done(struct cuda_steps *steps); // {0} is allowed

/* Of a step that is collected. ret_full: the arena has no room, and the step has ended. */
err_t steps_stage(struct cuda *cuda, const void *host, size_t bytes, const void **ret,
                  bool *ret_full);
void steps_copy(struct cuda *cuda, void *to, const void *from, size_t bytes);
void steps_zero(struct cuda *cuda, void *at, size_t bytes);

/* A size, rounded up so that nearby ones are the same: at most an eighth more. */
static inline size_t steps_rounded(size_t n)
{
    size_t unit = 1;
    while (n / unit > 15)
        unit *= 2;
    return (n + unit - 1) / unit * unit;
}
