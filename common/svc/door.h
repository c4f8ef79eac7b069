/* The door of a port: accepts connections, hands them to the server, and closes those that would
 * crowd out others.
 *
 *     TRY(door_open(&(struct door_options){.address = "127.0.0.1:0", .connections = 256, .hand = hand}, &door));
 *     struct door_ticket ticket = door_ticket(door, fd);  -- names the connection that hand() gave to the server
 *     door_used(door, ticket, len);                       -- a request of len bytes came whole
 *     door_keep(door, ticket, DOOR_BUSY, 1);              -- and is being served; -1 when it is over
 *
 * A connection is idle until it is kept. When there are too many, the one that was idle longest
 * gives way; with none idle the newcomer is closed. The door owns no descriptor that it has handed
 * over. The door knows a socket by its inode. So it sees by itself when the descriptor's number has
 * become another file's. The door has a thread of its own; every call from any thread. */
#pragma once
#include "base/err.h"
#include "base/scoped.h"
#include "tls/spiffe.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct door;
struct security;

/* With keys (svc/security.h) the door speaks TLS. Its own thread shakes hands, encrypts and
 * decrypts. The server gets one end of a socket pair, which carries plain bytes. A client without a
 * good certificate never reaches the server; it is told why in its protocol. */
struct door_tls {
    const struct security *security; // copied; NULL, or without keys: plaintext
    const char *alpn;                // the protocol inside: "h2"; NULL: none is agreed on
    bool client;                     // clients need a certificate of the security's run
    bool optional;                   // or none: the server asks them for something else
};

struct door_options {
    const char *address;
    int connections; // the most at a time
    int idle;        // of them idle; 0: all
    int per_s;       // new connections of one peer, after a burst of four times as many; 0: any
    int idle_ms;     // one that was idle so long is closed; 0: never
    const char *greeting; // first bytes of each client, awaited before hand(); NULL: none
    int calls;            // open calls of one connection; more are made by resetting them. 0: any
    size_t unused_bytes;  // received on one connection and not used; 0: any
    struct door_tls tls;
    void (*hand)(void *arg, int fd); // takes fd; on the door's thread
    void *arg;
};

/* INVALID: no address; UNAVAILABLE: in use, or not ours. */
err_t door_open(const struct door_options *options, struct door **ret);
uint16_t door_port(const struct door *door);

/* A connection. One that is gone makes every call below do nothing. */
struct door_ticket {
    int fd;
    uint32_t serial; // 0: none
};
struct door_ticket door_ticket(struct door *door, int fd);

/* A whole message of so many bytes came: the connection is not idle from now on, but begins to
 * be. */
void door_used(struct door *door, struct door_ticket ticket, size_t bytes);

/* DOOR_QUIET: something is open that may be silent; it gives way, but is not closed for silence.
 * DOOR_BUSY: it serves. */
enum door_keep { DOOR_QUIET, DOOR_BUSY };
void door_keep(struct door *door, struct door_ticket ticket, enum door_keep keep, int change);

/* A call begins and ends. wasted: its client gave it up before it was served; too many of those
 * close the connection. False: it is closed, the call is not worth a beginning. */
bool door_call(struct door *door, struct door_ticket ticket);
void door_call_over(struct door *door, struct door_ticket ticket, bool wasted);

/* "ipv4:10.0.0.7:4711", "ipv6:[::1]:4711"; owned by the caller; NULL: it is gone. */
char *door_peer(struct door *door, struct door_ticket ticket);

/* The identity of its client. False: it is gone, or has shown no certificate. */
bool door_identity(struct door *door, struct door_ticket ticket, struct identity *ret);

/* Accepts no more; returns when hand() is not running and will not be called again. */
void door_close(struct door *door);
void door_free(struct door *door); // the server is gone by now
DEFINE_SCOPED(door)
