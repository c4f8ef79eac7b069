/* Where completions go: out of core's queues, and from any thread into the loop's inbox. */
#include "rpc/core.h"
#include "svc/loop.h"

/* mutex held, `ready` empty: order is kept. */
static void take_inbox(struct rpc *rpc)
{
    rpc->ready = rpc->inbox;
    rpc->inbox = NULL;
    rpc->inbox_end = &rpc->inbox;
}

/* `ready` is kept in the runtime: a callback that waits (rpc_server_free) goes on where this loop
 * stands. */
static void run_ready(struct rpc *rpc)
{
    while (rpc->ready) {
        struct rpc_tag *tag = rpc->ready;
        rpc->ready = tag->next;
        tag->fn(tag, tag->ok);
    }
}

static void on_wake(void *arg)
{
    struct rpc *rpc = arg;
    run_ready(rpc); // what an rpc_wait took and left
    pthread_mutex_lock(&rpc->mutex);
    rpc->posted = false;
    take_inbox(rpc);
    pthread_mutex_unlock(&rpc->mutex);
    run_ready(rpc);
}

void rpc_push(struct rpc *rpc, struct rpc_tag *tag)
{
    tag->next = NULL;
    pthread_mutex_lock(&rpc->mutex);
    *rpc->inbox_end = tag;
    rpc->inbox_end = &tag->next;
    const bool post = !rpc->posted; // one post wakes the loop for all that follows
    rpc->posted = true;
    pthread_cond_signal(&rpc->arrived);
    pthread_mutex_unlock(&rpc->mutex);
    if (post)
        loop_post(rpc->loop, on_wake, rpc);
}

void rpc_wait(struct rpc *rpc, const int *pending)
{
    pthread_mutex_lock(&rpc->mutex);
    while (*pending > 0) {
        if (!rpc->ready)
            take_inbox(rpc);
        if (!rpc->ready) {
            pthread_cond_wait(&rpc->arrived, &rpc->mutex);
            continue;
        }
        struct rpc_tag *tag = rpc->ready;
        rpc->ready = tag->next;
        pthread_mutex_unlock(&rpc->mutex);
        tag->fn(tag, tag->ok);
        pthread_mutex_lock(&rpc->mutex);
    }
    pthread_mutex_unlock(&rpc->mutex);
}

void rpc_count(struct rpc *rpc, int *pending, int change)
{
    pthread_mutex_lock(&rpc->mutex);
    *pending += change;
    pthread_cond_signal(&rpc->arrived);
    pthread_mutex_unlock(&rpc->mutex);
}

void rpc_run_queue(struct rpc *rpc, grpc_completion_queue *queue)
{
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return;
        if (event.type != GRPC_OP_COMPLETE)
            continue;
        struct rpc_tag *tag = event.tag;
        TSAN_ACQUIRE(tag);
        tag->ok = event.success;
        if (tag->is_inline)
            tag->fn(tag, tag->ok);
        else
            rpc_push(rpc, tag);
    }
}

void rpc_drain_inbox(struct rpc *rpc)
{
    loop_run_posted(rpc->loop); // on_wake may still be on its way
    on_wake(rpc);
}
