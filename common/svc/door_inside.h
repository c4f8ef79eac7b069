/* Private to the door's sources: the connections and the rules by which they go. Everything under
 * the door's mutex. */
#pragma once
#include "svc/door.h"
#include "svc/security.h"
#include "tls/tunnel.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/stat.h>

enum { DOOR_PEERS = 1024, PER_MESSAGE = 64 };

/* WAITING: its descriptor is the door's. SERVED: the server's. CUT: shut down, the server has not
 * closed it yet. With TLS the descriptor is the socket, then the server's end of the tunnel; the
 * tunnel's own stay the door's. */
enum connection_state { WAITING, SERVED, CUT };

union door_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

struct connection {
    int fd;
    struct tunnel *tunnel; // NULL: plaintext, or hands are not shaken yet, or over
    bool more;             // the tunnel could go on at once
    bool refused;          // which was counted and logged
    int64_t leaves_ms;     // since then one side of the tunnel has closed; 0: none
    struct identity *identity;
    uint32_t serial;
    ino_t inode; // 0: the system does not tell
    enum connection_state state;
    bool greeted;
    union door_address from;
    unsigned peer; // its bucket
    int64_t accepted_ms, idle_since_ms;
    int calls, kept[2];
    double wasted; // calls, of which some are forgiven every second
    int64_t wasted_ms;
    uint64_t calls_made, used; // messages' bytes
    int64_t forgiven, unused;  // received bytes that nothing explains
};

/* Peers whose addresses meet in one bucket share its tokens. */
struct peer_bucket {
    double spent;
    int64_t at_ms;
};

enum cut {
    CUT_FULL,
    CUT_SILENT,
    CUT_RESETS,
    CUT_UNUSED,
    CUT_REFUSED,     // no good certificate, or no TLS
    CUT_CERTIFICATE, // was good, and is no longer
    CUT_REASONS
};

struct door {
    struct door_options options;
    struct security security; // a copy of options.tls.security
    bool speaks_tls;
    int listening[8];
    size_t listening_count;
    int epoll, wake;
    uint16_t port;
    pthread_t thread;
    bool running;

    pthread_mutex_t mutex; // of what follows
    bool closing, closed;  // no more connections; seen by the thread
    int64_t stop_ms; // the thread ends when all tunnels are over, at the latest then; 0: never
    pthread_cond_t changed;
    struct connection **live;
    size_t count, room;
    struct connection **by_fd;
    size_t slots;
    uint32_t serials;
    struct peer_bucket peers[DOOR_PEERS];
    int64_t trim_ms, trimmed_ms;    // memory goes back then; 0: nothing to give
    uint64_t calls_gone;            // with connections that have closed; since the last trim_ms
    int pause_ms;                   // between two ticks; -1: none is due
    int64_t listen_ms;              // no connection is accepted before that; 0: any is
    int64_t due_ms, hurry_until_ms; // the next tick; ticks are close together until then
    int64_t told_ms;
    uint64_t cuts[CUT_REASONS], told[CUT_REASONS];
    uint64_t generation; // of the keys that all connections were last verified by
    bool busy;           // at least one tunnel could go on at once
};

/* ---- door_table.c */
void table_metrics(void);
struct connection *table_find(struct door *door, struct door_ticket ticket);
struct connection *table_add(struct door *door, int fd, const union door_address *from,
                             int64_t now);
/* Frees the connection and its tunnel. A descriptor that no tunnel owns stays open. */
void table_remove(struct door *door, size_t at);
/* The same, and closes that descriptor. */
void table_forget(struct door *door, struct connection *connection);
/* From now on table_find, and events of fd, lead to the connection. */
void table_own(struct door *door, int fd, struct connection *connection);
/* With TLS: fd is the server's end of the tunnel, by which the server names the connection. */
void table_handed(struct door *door, struct connection *connection, int fd);
/* With TLS: the tunnel is over. The connection is forgotten once the server has closed its end. */
void table_over(struct door *door, struct connection *connection);
char *table_peer_text(const struct connection *connection); // as door_peer
void table_sort(struct door *door);                         // the oldest first
void table_sweep(struct door *door);                        // those whose server has closed them
bool table_has_cut(const struct door *door);
void table_count(struct door *door, enum cut why);
void table_cut(struct door *door, struct connection *connection, enum cut why, int64_t now);
bool table_make_room(struct door *door, unsigned peer, int64_t now); // false: none
unsigned table_peer(const union door_address *from);
bool table_take_token(struct door *door, unsigned peer, int64_t now);
void table_refused(struct door *door, unsigned peer, int64_t now); // costs its peer some tokens

/* ---- door_bytes.c */
void bytes_measure(struct door *door, int64_t now); // cuts what holds too much

/* ---- door_tls.c: on the door's thread alone, which lets the mutex go while it computes */
/* Counts and logs a connection that has no business here. */
void tls_refused(struct door *door, struct connection *c, const char *why, int64_t now);
void tls_shake(struct door *door, struct connection *c, int64_t now); // may forget c
void tls_carry(struct door *door, struct connection *c);
void tls_carry_all(struct door *door); // those with more
/* False: there is nothing else to be done for c now, which may be forgotten. */
bool tls_tick(struct door *door, struct connection *c, int64_t now, bool *ret_hurry);
void tls_renew(struct door *door, int64_t now); // by newer keys; cuts whom they do not let in
