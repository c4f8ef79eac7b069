/* The runtime's beginning and end: core, its two queues, a thread for each. */
#include "rpc/rpc.h"
#include "base/mem.h"
#include "rpc/call_state.h"
#include "rpc/outcomes.h"
#include "svc/loop.h"
#include <stdlib.h>

/* Servers' calls. This thread never reads from the network. A connection that sends without a pause
 * keeps its reader busy, and another thread must be free to hear of it and to close it. */
static void *queue_thread(void *arg)
{
    struct rpc *rpc = arg;
    pthread_setname_np(pthread_self(), "rpc-queue");
    rpc_run_queue(rpc, rpc->queue);
    return NULL;
}

/* Clients' calls, and all reading. */
static void *poll_thread(void *arg)
{
    struct rpc *rpc = arg;
    pthread_setname_np(pthread_self(), "rpc-poll");
    rpc_run_queue(rpc, rpc->poll);
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
    outcomes_register();
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
    rpc_drain_inbox(rpc);
    rpc_destroy(rpc);
}
