/* Private to common/rpc: what its sources share. The only header here that knows gRPC's and protobuf-c's.
 *
 * A completion's tag is a struct embedded in what it is about; the queue's thread either runs it (inline methods) or
 * hands it to the loop's thread through the inbox. */
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

/* ThreadSanitizer does not see the synchronisation inside the uninstrumented libgrpc: it is told. */
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
    grpc_completion_queue *queue;
    pthread_t thread;
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

/* ---- corelog.c */
void rpc_log_install(void);
void rpc_log_capture(
    char *text,
    size_t size); // this thread's next messages go here, not into the log; NULL: ends it

/* ---- options.c */
struct channel_args {
    grpc_arg list[24];
    size_t count;
};
struct rpc_channel_options;
void server_args(const struct rpc_server_options *options, struct channel_args *ret);
void client_args(const struct rpc_channel_options *options, struct channel_args *ret);
err_t address_check(const char *address, bool insecure); // INVALID, DENIED

/* ---- call.c */
/* Initial metadata by which our servers say that they have accepted a stream. Without it a client could not tell an
 * acceptance from a refusal until the status arrives: core reports both as empty initial metadata. */
#define ACCEPTED_KEY "rlhfd-accepted"

struct rpc_out {
    struct rpc_out *next;
    grpc_byte_buffer *buffer;
    size_t len;
};

/* One registered method of a server, or the catch-all for unknown ones (method == NULL). */
struct rpc_entry {
    const struct rpc_method *method;
    void *handle;
    void *user;
    struct rpc_server *server;
};

struct rpc_call {
    atomic_int refs;
    struct rpc *rpc;
    struct rpc_entry *entry; // NULL: a client's
    const struct rpc_method *method;
    struct rpc_handlers handlers;
    void *user, *context;
    char *target; // client: for errors
    bool unary_client;
    bool opened; // callbacks' thread only: the client's open handler has been called
    grpc_call *call;
    gpr_timespec deadline;
    size_t queue_limit;
    uint32_t initial_flags;
    struct rpc_tag on_open, on_recv, on_send, on_close;
    struct rpc_call *next_open, **prev_open; // in rpc->calls

    pthread_mutex_t mutex; // of the flags and the queue, and of the order in which batches start
    bool open_now;         // send the initial metadata without waiting for a message
    bool initial_sent, sending, finishing, status_sent, half_close_wanted, half_close_sent;
    bool deaf;   // deliver no more: a malformed message came
    bool closed; // nothing can be sent any more
    bool close_seen, receiving, received_all, paused, held, was_full;
    struct rpc_out *queue, **queue_end;
    size_t queued, sending_len;
    grpc_byte_buffer *received, *outgoing;
    err_t finish; // server: the status to send

    /* Filled in by core. */
    grpc_metadata_array metadata, trailers;
    grpc_call_details details; // catch-all only
    grpc_status_code status;
    grpc_slice status_text;
    int cancelled;
};

struct rpc_call *call_new(struct rpc *rpc, const struct rpc_method *method, bool is_inline);
void call_batch(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag);
void call_send_next(
    struct rpc_call *call); // mutex held: starts the next batch of sends, if there is any
void call_receive_next(struct rpc_call *call);                      // mutex held
void call_tell_open(struct rpc_call *call);                         // client: once
void call_deliver(struct rpc_call *call, grpc_byte_buffer *buffer); // takes buffer

/* ---- server.c */
struct rpc_server {
    struct rpc *rpc;
    grpc_server *core;
    int port;
    struct rpc_entry *entries; // by method, then the catch-all
    size_t entry_count;
    int pending; // calls, armed or open, and the shutdown; rpc->mutex
    atomic_bool stopping;
    bool is_down;
    struct rpc_tag on_down;
    void (*down)(void *arg);
    void *down_arg;
    struct loop_timer *grace;
};
void server_call_over(struct rpc_call *call); // its last callback has returned

/* ---- client.c */
void client_call_over(struct rpc_call *call);

/* ---- message.c */
struct rpc_message *message_of(grpc_byte_buffer *buffer);            // takes buffer
grpc_byte_buffer *message_buffer(const struct rpc_message *message); // a copy that shares the bytes
