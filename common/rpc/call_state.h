/* Private to common/rpc: a call and a server from the inside.
 *
 * client.c and server.c make calls, each with its side. call.c receives and outgoing.c sends; to
 * them a side is a table. Both stand on batch.c.
 *
 * The call's mutex guards flags and queue, and is held while a batch starts. All else that a
 * callback needs belongs to the callbacks' thread. Every batch underway holds a reference, and so
 * does being open. */
#pragma once
#include "rpc/core.h"
#include "svc/door.h"

/* Initial metadata by which our servers say that they have accepted a stream. Without it a client
 * could not tell an acceptance from a refusal until the status arrives: core reports both as empty
 * initial metadata. */
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

/* The differences between a server's call and a client's. The functions run on the callbacks'
 * thread, without the mutex. */
struct call_side {
    bool answers; // the server's side: accepts the call, ends it with a status
    void (*heard)(struct rpc_call *call, size_t bytes);  // a message has come
    void (*ended)(struct rpc_call *call);                // the peer has sent its last message
    void (*malformed)(struct rpc_call *call, err_t why); // a message was; takes why
    err_t (*outcome)(struct rpc_call *call);             // for the close handler
    void (*over)(struct rpc_call *call);                 // its last callback has returned
};

struct rpc_call {
    atomic_int refs;
    struct rpc *rpc;
    const struct call_side *side;
    struct rpc_entry *entry; // server: the method's
    const struct rpc_method *method;
    const struct ProtobufCMessageDescriptor *expected; // of the messages that come; NULL: raw
    struct rpc_handlers handlers;
    void *user, *context;
    char *target;                  // client: for errors
    bool secure;                   // client: the channel speaks TLS
    char *peer;                    // server: who calls; NULL: core knows
    struct door_ticket ticket;     // server: its connection
    struct identity *identity;     // server: of who calls; NULL: plaintext
    bool denied;                   // server: its row has not this caller
    struct rpc_call *next_waiting; // server: for its turn (pace.h)
    bool unary_client;
    bool opened; // callbacks' thread only: the client's open handler has been called
    grpc_call *call;
    gpr_timespec deadline;
    size_t queue_limit;
    uint32_t initial_flags;
    struct rpc_tag on_open, on_recv, on_send, on_writable, on_close;
    struct rpc_call *next_open, **prev_open; // in rpc->calls

    pthread_mutex_t mutex; // of the flags and the queue, and of the order in which batches start
    bool open_now;         // send the initial metadata without waiting for a message
    bool initial_sent, sending, finishing, status_sent, half_close_wanted, half_close_sent;
    bool deaf;   // deliver no more: a malformed message came, or it was dropped
    bool closed; // nothing can be sent any more
    bool close_seen, receiving, received_all, paused, held, choked, was_full, writable_pushed;
    struct rpc_out *queue, **queue_end;
    size_t queued, sending_len;
    grpc_byte_buffer *received, *outgoing;
    err_t finish;           // server: the status to send
    enum err_code ended_as; // its code

    /* Filled in by core. */
    grpc_metadata_array metadata, trailers;
    grpc_call_details details; // catch-all only
    grpc_status_code status;
    grpc_slice status_text;
    int cancelled;

    /* Server, callbacks' thread. */
    bool one_request; // one message, then an answer
    bool used, quiet; // the door keeps the connection for this call: DOOR_BUSY, DOOR_QUIET
};

/* ---- batch.c */
void call_batch(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag);
void call_receive_next(struct rpc_call *call); // mutex held
void call_free_queue(struct rpc_call *call);   // mutex held, or the last reference gone

/* ---- outgoing.c */
void call_on_send(struct rpc_tag *tag, bool ok);
void call_on_writable(struct rpc_tag *tag, bool ok);
void call_send_next(struct rpc_call *call); // mutex held: starts the next batch if there is any

/* ---- call.c */
struct rpc_call *call_new(struct rpc *rpc, const struct call_side *side,
                          const struct rpc_method *method); // NULL: server: unknown
void call_on_close(struct rpc_tag *tag, bool ok);
void call_deliver(struct rpc_call *call, grpc_byte_buffer *buffer); // takes buffer

/* ---- server.c */
struct rpc_server {
    struct rpc *rpc;
    grpc_server *core;
    grpc_server_credentials *credentials;
    struct door *door; // NULL: a socket in a directory
    bool checks;       // callers, by their certificates
    struct pace *pace;
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
