#include "base/mem.h"
#include "rpc/call_state.h"
#include "svc/loop.h"
#include <stdlib.h>

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

static void run_queue(struct rpc *rpc, grpc_completion_queue *queue)
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

/* Servers' calls. This thread never reads from the network: a connection that sends without a pause
 * keeps who reads it to itself, and then somebody has to hear what came of it, to close it. */
static void *queue_thread(void *arg)
{
    struct rpc *rpc = arg;
    pthread_setname_np(pthread_self(), "rpc-queue");
    run_queue(rpc, rpc->queue);
    return NULL;
}

/* Clients' calls, and all reading. */
static void *poll_thread(void *arg)
{
    struct rpc *rpc = arg;
    pthread_setname_np(pthread_self(), "rpc-poll");
    run_queue(rpc, rpc->poll);
    return NULL;
}

static void rpc_destroy(struct rpc *rpc)
{
    grpc_completion_queue_destroy(rpc->queue);
    grpc_completion_queue_destroy(rpc->poll);
    pthread_cond_destroy(&rpc->arrived);
    pthread_mutex_destroy(&rpc->mutex);
    free(rpc);
    grpc_shutdown();
}

static err_t start_threads(struct rpc *rpc)
{
    int failed = pthread_create(&rpc->poll_thread, NULL, poll_thread, rpc);
    const bool polls = !failed;
    if (!failed)
        failed = pthread_create(&rpc->thread, NULL, queue_thread, rpc);
    if (!failed)
        return OK;
    grpc_completion_queue_shutdown(rpc->queue);
    grpc_completion_queue_shutdown(rpc->poll);
    if (polls)
        pthread_join(rpc->poll_thread, NULL);
    rpc_destroy(rpc);
    return err_errno(failed, "rpc: cannot start its threads");
}

err_t rpc_new(struct loop *loop, struct rpc **ret)
{
    rpc_log_install();
    grpc_init();
    struct rpc *rpc = mem_new(sizeof *rpc);
    rpc->loop = loop;
    rpc->inbox_end = &rpc->inbox;
    pthread_mutex_init(&rpc->mutex, NULL);
    pthread_cond_init(&rpc->arrived, NULL);
    grpc_completion_queue_attributes quiet = {.version = GRPC_CQ_CURRENT_VERSION,
                                              .cq_completion_type = GRPC_CQ_NEXT,
                                              .cq_polling_type = GRPC_CQ_NON_POLLING};
    rpc->queue =
        grpc_completion_queue_create(grpc_completion_queue_factory_lookup(&quiet), &quiet, NULL);
    rpc->poll = grpc_completion_queue_create_for_next(NULL);
    TRY(start_threads(rpc));
    *ret = rpc;
    return OK;
}

/* Cancelling frees buffers, whose release functions are the user's: not under the mutex. */
static void cancel_all(struct rpc *rpc)
{
    pthread_mutex_lock(&rpc->mutex);
    struct rpc_call **calls = mem_array((size_t)rpc->open_calls + 1, sizeof(struct rpc_call *));
    size_t count = 0;
    for (struct rpc_call *call = rpc->calls; call; call = call->next_open)
        calls[count++] = rpc_call_ref(call);
    pthread_mutex_unlock(&rpc->mutex);
    for (size_t i = 0; i < count; i++) {
        rpc_call_cancel(calls[i]);
        rpc_call_unref(calls[i]);
    }
    free(calls);
}

void rpc_free(struct rpc *rpc)
{
    if (!rpc)
        return;
    cancel_all(rpc);
    rpc_wait(rpc, &rpc->open_calls);
    grpc_completion_queue_shutdown(rpc->queue);
    pthread_join(rpc->thread, NULL); // returns once every batch started has been delivered
    grpc_completion_queue_shutdown(rpc->poll);
    pthread_join(rpc->poll_thread, NULL);
    loop_run_posted(rpc->loop); // on_wake may still be on its way
    on_wake(rpc);
    rpc_destroy(rpc);
}
