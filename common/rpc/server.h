/* A gRPC server: tables of methods on one address.
 *
 *     static const struct rpc_method log_methods[] = {
 *         {"/log.v1.Log/Append", NULL, &log__v1__answer__descriptor, RPC_BIDI, CALLER_ANY, {.message = append}},
 *         {0}};
 *     struct rpc_service services[] = {{log_methods, log}, rpc_health_service(health), rpc_reflect_service(reflect)};
 *     TRY(rpc_server_start(rpc, &(struct rpc_server_options){.address = "127.0.0.1:0", RPC_SERVICES(services)}, &server));
 *
 * Unknown methods are answered UNIMPLEMENTED, malformed requests INVALID, too long ones EXHAUSTED,
 * compressed ones UNIMPLEMENTED. Owner: the loop's thread. */
#pragma once
#include "rpc/call.h"
#include "rpc/rpc.h"

struct rpc_server;
struct security;
struct rpc_service {
    const struct rpc_method *methods; // ended by a row without path; outlives the server
    void *user;                       // given to its handlers; outlives the server
};
#define RPC_SERVICES(array) .services = (array), .service_count = sizeof(array) / sizeof(array)[0]

struct rpc_server_options {
    const char *address;             // "127.0.0.1:7003", port 0: any; "[::1]:0"; "unix:/path"
    const struct security *security; // copied; NULL: plaintext on loopback alone
    const struct rpc_service *services;
    size_t service_count;
    size_t max_recv_bytes;    // longest message; 0: 4 MiB
    int keepalive_ms;         // pings a silent client; 0: 20000
    int keepalive_timeout_ms; // until it counts as gone; 0: 10000
    int min_ping_ms;          // closes clients that ping faster: < their keepalive; 0: 1000
    int max_streams;          // calls of one connection at a time; 0: 64
    int connections;          // the most at a time; 0: 512
    int idle_ms;              // a connection without a call is closed after that; 0: 30000
    int calls_per_s;          // begun in a second, after a burst of twice as many; 0: any number
};

/* Listens and serves. INVALID: address; DENIED: security does not allow it; UNAVAILABLE:
 * cannot listen there, with the system's reason. All name the address. INTERNAL: a method's row has
 * no callers. */
err_t rpc_server_start(struct rpc *rpc, const struct rpc_server_options *options,
                       struct rpc_server **ret);
int rpc_server_port(const struct rpc_server *server); // the bound one; 0 for unix:

/* Accepts nothing new and lets calls end; those open after grace_ms are cancelled. Then down(arg)
 * is called, once, on the loop's thread; down may be NULL. Set health to not serving before. A
 * second stop sets a new grace. */
void rpc_server_stop(struct rpc_server *server, int grace_ms, void (*down)(void *arg), void *arg);

/* Cancels open calls, runs their last callbacks here, and waits for their end. Not from a callback
 * of one of its calls; from down() is fine. */
void rpc_server_free(struct rpc_server *server);
DEFINE_SCOPED(rpc_server)
