/* The gRPC runtime of a process: one completion queue and one thread that waits on it.
 *
 *     SCOPED(rpc) rpc = NULL;                                    -- after the loop, before servers, channels and streams
 *     TRY(rpc_new(loop, &rpc));
 *     SCOPED(rpc_server) server = NULL;
 *     TRY(rpc_server_start(rpc, &options, &server));             -- rpc/server.h
 *     return loop_run(loop);
 *
 * Callbacks of calls run on the loop's thread; those of methods flagged RPC_INLINE run on the
 * queue's thread, and must not wait. Callbacks of one call are never concurrent. Owner: the loop's
 * thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"

struct loop;
struct rpc;

/* Starts the queue's thread. Routes gRPC core's own errors into base/log.h as warnings. Do not fork
 * afterwards, unless the child execs at once. The loop outlives the runtime. UNAVAILABLE: no
 * thread. */
err_t rpc_new(struct loop *loop, struct rpc **ret);

/* Cancels open calls, runs their last callbacks here, joins the thread. Servers, channels and
 * streams are freed before, and so are messages (rpc/message.h). Not from a callback. */
void rpc_free(struct rpc *rpc);
DEFINE_SCOPED(rpc)
