/* Private to the door's sources: the connections and the rules by which they go. Everything under
 * the door's mutex. */
#pragma once
#include "svc/door.h"
#include <netinet/in.h>
#include <pthread.h>
#include <sys/stat.h>

enum { DOOR_PEERS = 1024, PER_MESSAGE = 64 };

/* WAITING: its descriptor is the door's. SERVED: the server's. CUT: shut down, the server has not
 * closed it yet. */
enum connection_state { WAITING, SERVED, CUT };

union door_address {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
};

struct connection {
    int fd;
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

enum cut { CUT_FULL, CUT_SILENT, CUT_RESETS, CUT_UNUSED, CUT_REASONS };

struct door {
    struct door_options options;
    int listening[8];
    size_t listening_count;
    int epoll, wake;
    pthread_t thread;
    bool running;

    pthread_mutex_t mutex; // of what follows
    bool stopping;
    struct connection **live;
    size_t count, room;
    struct connection **by_fd;
    size_t slots;
    uint32_t serials;
    struct peer_bucket peers[DOOR_PEERS];
    int64_t trim_ms, trimmed_ms;    // memory goes back then; 0: nothing to give
    int64_t due_ms, hurry_until_ms; // the next tick; ticks are close together until then
    int64_t told_ms;
    uint64_t cuts[CUT_REASONS], told[CUT_REASONS];
};

/* ---- door_table.c */
void table_metrics(void);
struct connection *table_find(struct door *door, struct door_ticket ticket);
struct connection *table_add(struct door *door, int fd, const union door_address *from,
                             int64_t now);
void table_remove(struct door *door, size_t at); // and forgets it
void table_sort(struct door *door);              // the oldest first
void table_sweep(struct door *door);             // those whose server has closed them
bool table_has_cut(const struct door *door);
void table_count(struct door *door, enum cut why);
void table_cut(struct door *door, struct connection *connection, enum cut why, int64_t now);
bool table_make_room(struct door *door, unsigned peer, int64_t now); // false: none
unsigned table_peer(const union door_address *from);
bool table_take_token(struct door *door, unsigned peer, int64_t now);

/* ---- door_bytes.c */
void bytes_measure(struct door *door, int64_t now); // cuts what holds too much
