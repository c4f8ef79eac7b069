/* Private to common/rpc: the runtime from the inside. Only this and call_state.h include gRPC's and
 * protobuf-c's headers.
 *
 * A completion's tag is a struct embedded in its subject. The queue's thread either runs it (inline
 * methods) or hands it to the loop's thread through the inbox. */
#pragma once
#include "rpc/call.h"
#include "rpc/rpc.h"
#include "rpc/server.h"
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <protobuf-c/protobuf-c.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

/* ThreadSanitizer does not see the synchronisation inside the uninstrumented libgrpc: it is
 * told. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define TSAN_RELEASE(p) __tsan_release(p)
#define TSAN_ACQUIRE(p) __tsan_acquire(p)
#else
#define TSAN_RELEASE(p) ((void)(p))
#define TSAN_ACQUIRE(p) ((void)(p))
#endif

#define CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

struct rpc_tag {
    struct rpc_tag *next;
    void (*fn)(struct rpc_tag *tag, bool ok);
    bool ok, is_inline;
};

/* ---- queue.c */
struct rpc {
    grpc_completion_queue *queue; // of the servers' calls: not polled
    grpc_completion_queue *poll;  // of the clients'
    pthread_t thread, poll_thread;
    struct loop *loop;
    pthread_mutex_t mutex;  // of what follows
    pthread_cond_t arrived; // the inbox got something, or a pending count went down
    struct rpc_tag *inbox, **inbox_end;
    struct rpc_call *calls; // the clients' open calls
    int open_calls;
    bool posted;           // the loop has been told and has not come yet
    struct rpc_tag *ready; // the loop's thread only: taken from the inbox
};

void rpc_push(struct rpc *rpc, struct rpc_tag *tag); // any thread -> the loop's runs it
void rpc_wait(struct rpc *rpc, const int *pending);  // loop's thread: runs tags until *pending is 0
void rpc_count(struct rpc *rpc, int *pending, int change); // under the mutex; wakes who waits
void rpc_run_queue(struct rpc *rpc, grpc_completion_queue *queue); // until it is shut down
void rpc_drain_inbox(struct rpc *rpc); // the threads have ended: runs the tags left behind

/* ---- corelog.c */
void rpc_log_install(void);
/* This thread's messages go into text, not into the log, until it is called with NULL. */
void rpc_log_capture(char *text, size_t size);

/* ---- options.c */
struct channel_args {
    grpc_arg list[32];
    size_t count;
};
struct rpc_channel_options;
void server_args(const struct rpc_server_options *options, struct channel_args *ret);
void client_args(const struct rpc_channel_options *options, struct channel_args *ret);
int recv_limit(size_t bytes);  // 0: the default
enum { RPC_MAX_STREAMS = 64 }; // of one connection

/* ---- message.c */
struct rpc_message *message_of(grpc_byte_buffer *buffer);            // takes buffer
grpc_byte_buffer *message_buffer(const struct rpc_message *message); // a copy that shares the bytes
